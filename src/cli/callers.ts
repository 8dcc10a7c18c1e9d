import { callerDidDocument, formatPrivateKey, generateKey, type PrivateKey } from '../client/index.js'
import { EXIT, UsageError } from './exit.js'
import { writeKeyFile } from './key-files.js'
import { print, printJson } from './stdout.js'

export interface NewCallerOptions {
  readonly didWeb: string
  readonly keyFile?: string
  readonly json?: boolean
}

/** Makes a key for a service with a did:web, and the document that makes it known. The key is shown once. */
export async function newCaller(options: NewCallerOptions): Promise<number> {
  const key = await generateKey()
  const document = documentFor(options.didWeb, key)
  const privateKey = await formatPrivateKey(key)
  const { keyFile } = options
  if (keyFile !== undefined) await writeKeyFile(keyFile, privateKey)
  if (options.json) {
    const where = keyFile === undefined ? { privateKey } : { keyFile }
    await printJson({ did: document.id, ...where, didDocument: document })
  } else {
    const shown =
      keyFile === undefined ? `# The private key of ${document.id}: keep it secret.\n${privateKey}\n\n` : ''
    await print(`${shown}${JSON.stringify(document, null, 2)}\n`)
  }
  process.stderr.write(nextSteps(document.id, keyFile))
  return EXIT.done
}

function documentFor(given: string, key: PrivateKey) {
  // People write the name with what surrounds it in a URL or a DID.
  const hostname = given
    .replace(/^https?:\/\//i, '')
    .replace(/^did:web:/i, '')
    .replace(/%3a/gi, ':')
    .replace(/\/$/, '')
  try {
    return callerDidDocument({ hostname, key })
  } catch (error) {
    if (error instanceof TypeError) throw new UsageError(`--did-web: ${error.message}.`)
    throw error
  }
}

function nextSteps(did: string, keyFile: string | undefined): string {
  const host = did.slice('did:web:'.length).replace('%3A', ':')
  const scheme = host.startsWith('localhost') ? 'http' : 'https'
  const url = `${scheme}://${host}/.well-known/did.json`
  const key = keyFile ?? 'the key'
  const store =
    keyFile === undefined ? 'Put the key into a secret store or a file that only you can read.' : ''
  const steps = [
    ...(store ? [store] : []),
    `Serve the JSON document at ${url}\n   (if there is one already, add the entry of verificationMethod to it).`,
    `Ask the operator of the Aquifer service to add ${did} to BACKFILL_ALLOW,\n   or an admin of it for: aquifer callers put ${did} --permission read create`,
    `Try it: aquifer jobs list --service https://backfill.example.com --did ${did} --key ${keyFile ?? '<file>'}`,
    `Keep ${key} secret: whoever has it can call as ${did}.`,
  ]
  return `\nNext:\n${steps.map((step, index) => `${index + 1}. ${step}`).join('\n')}\n`
}
