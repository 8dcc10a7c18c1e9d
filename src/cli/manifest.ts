import { createReadStream } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { pipeline } from 'node:stream'
import { createGunzip } from 'node:zlib'
import { DidResolver } from '@atproto/identity'
import { InvalidManifest, type ManifestHead, type VerifiedManifest, verifyManifest } from '../client/index.js'
import { CommandError, EXIT } from './exit.js'
import { printJson, printLine } from './stdout.js'
import { count, counted, plain } from './text.js'

export interface VerifyOptions {
  readonly signedBy?: string
  readonly didDocument?: string
  readonly json?: boolean
}

/** Of one look-up, ms. */
const TIMEOUT_MS = 10_000

/** Checks a manifest in a file. @throws CommandError for one that does not hold, or cannot be checked */
export async function verifyFile(path: string, options: VerifyOptions): Promise<number> {
  const { head, hash } = await verify(path, options)
  await (options.json ? printJson({ hash, ...head }) : printLine(summaryOf(head, hash)))
  return EXIT.done
}

async function verify(path: string, options: VerifyOptions): Promise<VerifiedManifest> {
  // The last line says whose document is wanted.
  const document = async (service: string) => {
    const { signedBy = service, didDocument } = options
    if (service !== signedBy) throw new CommandError(`${path} is of ${plain(service)}, not of ${signedBy}.`)
    return didDocument === undefined ? resolve(service) : readDocument(didDocument)
  }
  try {
    return await verifyManifest(contentOf(path), document)
  } catch (error) {
    if (error instanceof CommandError) throw error
    if (error instanceof InvalidManifest) {
      throw new CommandError(`${path} does not hold: ${plain(error.message)}.`, { cause: error })
    }
    throw new CommandError(`${path} cannot be read: ${(error as Error).message}.`, { cause: error })
  }
}

/** The bytes of a file, or of standard input, decompressed where they are compressed. */
async function* contentOf(path: string): AsyncGenerator<Uint8Array> {
  const input: AsyncIterable<Uint8Array> = path === '-' ? process.stdin : createReadStream(path)
  const pieces = input[Symbol.asyncIterator]()
  const first = await pieces.next()
  if (first.done) return
  const whole = async function* () {
    yield first.value
    yield* { [Symbol.asyncIterator]: () => pieces }
  }
  const isGzip = first.value[0] === 0x1f && first.value[1] === 0x8b
  // What goes wrong with its source, the last stream of a pipeline tells too.
  yield* isGzip ? pipeline(whole, createGunzip(), () => {}) : whole()
}

async function readDocument(path: string): Promise<unknown> {
  try {
    return JSON.parse(await readFile(path, 'utf8'))
  } catch (error) {
    throw new CommandError(`The DID document ${path} cannot be read: ${(error as Error).message}.`, {
      cause: error,
    })
  }
}

async function resolve(did: string): Promise<unknown> {
  try {
    // Asks public addresses only: anybody may have named the service. One on this machine is being tried out.
    const fetch = /^did:web:localhost(%3A|$)/.test(did) ? { fetch: globalThis.fetch } : {}
    return await new DidResolver({ timeout: TIMEOUT_MS, ...fetch }).ensureResolve(did)
  } catch (error) {
    throw new CommandError(
      `${plain(did)} cannot be looked up: ${plain((error as Error).message)}.\nName a file with its DID document (--did-document).`,
      { cause: error },
    )
  }
}

function summaryOf({ job, service, builtAt, status, repos, records, ...head }: ManifestHead, hash: string) {
  const open = repos.total - repos.completed - repos.unavailable - repos.failed
  const outcomes = [
    `${count(repos.completed)} completed`,
    `${count(repos.unavailable)} unavailable`,
    `${count(repos.failed)} failed`,
    ...(open > 0 ? [`${count(open)} without an outcome`] : []),
  ]
  return [
    `Signed by ${plain(service)} at ${plain(builtAt)}.`,
    `  job ${plain(job)}, ${plain(status)}${head.discoveryComplete ? '' : ', with repos that may be missing'}`,
    `  ${counted(repos.total, 'repo')}: ${outcomes.join(', ')}`,
    `  ${counted(records, 'record')} in ${counted(head.receipts, 'receipt')}`,
    `  SHA-256 ${hash}`,
  ].join('\n')
}
