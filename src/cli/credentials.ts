import { readFile } from 'node:fs/promises'
import { isValidDid } from '@atproto/syntax'
import {
  type Credentials,
  LoginFailed,
  PdsSession,
  type PrivateKey,
  parsePrivateKey,
} from '../client/index.js'
import type { ConnectionOptions } from './connection-options.js'
import { UsageError } from './exit.js'
import { askSecret } from './prompt.js'

/** Who calls, and with what to prove it. */
export interface Identity {
  readonly credentials: Credentials
  readonly did: string
}

/** A key file holds one line; more than this is another file, bytes. */
const KEY_FILE_MAX = 4_096

/**
 * The identity that the options name.
 * @throws UsageError; errors of the client when logging in
 */
export async function openIdentity(options: ConnectionOptions, signal: AbortSignal): Promise<Identity> {
  if (options.login) return logIn(options.login, options.pds, signal)
  const { did, key } = options
  if (!did && !key) throw new UsageError(NO_CREDENTIALS)
  if (!key) {
    throw new UsageError(
      `The key of ${did} is missing: give its file with --key or AQUIFER_KEY.\n"aquifer callers new" makes a key.`,
    )
  }
  if (!did) throw new UsageError('Whose key is it? Name its DID with --did or AQUIFER_DID.')
  if (!isValidDid(did) || !/^did:(plc|web):/.test(did)) {
    throw new UsageError(`--did is ${JSON.stringify(did)}, but must be a did:plc:… or did:web:… .`)
  }
  return { credentials: { did, key: await readKey(key) }, did }
}

const NO_CREDENTIALS = `Who is calling? The service answers only those it can recognise. Give one of
  --did did:web:app.example.com --key app.key   a service and its key (or AQUIFER_DID and AQUIFER_KEY)
  --login alice.example.com                     an account (its password: AQUIFER_PASSWORD, or you are asked)
"aquifer callers new --did-web app.example.com" makes a key for a service.`

/**
 * A key given as text, as `@file` or as a file's path.
 * @throws UsageError that never repeats what may be a key
 */
export async function readKey(given: string): Promise<PrivateKey> {
  const text = given.trim()
  const path = text.startsWith('@') ? text.slice(1) : text
  if (!text.startsWith('@')) {
    try {
      return parsePrivateKey(text)
    } catch {
      // Then it is the name of a file.
    }
  }
  const content = await readKeyFile(path, text.startsWith('@'))
  try {
    return parsePrivateKey(content)
  } catch {
    throw new UsageError(
      `${path} holds no private key. A key is one line that begins with "z"; "aquifer callers new" writes one.`,
    )
  }
}

async function readKeyFile(path: string, isSurelyPath: boolean): Promise<string> {
  try {
    const content = await readFile(path)
    return content.length > KEY_FILE_MAX ? '' : content.toString('utf8')
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    const looksLikePath = isSurelyPath || /[./\\]/.test(path)
    if (!looksLikePath && code !== 'EISDIR') {
      throw new UsageError(
        '--key (or AQUIFER_KEY) is neither a private key nor the name of a file that is there.\n' +
          'A key is one line that begins with "z"; "aquifer callers new" makes one.',
      )
    }
    const reasons: Record<string, string> = {
      ENOENT: 'there is no such file',
      EACCES: 'that is not allowed; change who may read it',
      EISDIR: 'it is a folder; name the file in it',
    }
    throw new UsageError(`The key file ${path} cannot be read: ${reasons[code ?? ''] ?? code}.`)
  }
}

async function logIn(identifier: string, pds: string | undefined, signal: AbortSignal): Promise<Identity> {
  const { AQUIFER_PASSWORD, PLC_URL, HANDLE_RESOLVER_URL } = process.env
  const login = (password: string, authFactorToken?: string) =>
    PdsSession.login({
      identifier,
      password,
      ...(authFactorToken && { authFactorToken }),
      ...(pds && { pds }),
      ...(PLC_URL && { plcUrl: PLC_URL }),
      ...(HANDLE_RESOLVER_URL && { handleResolverUrl: HANDLE_RESOLVER_URL }),
      signal,
    })
  const password = AQUIFER_PASSWORD || (await askPassword(identifier))
  const session = await login(password).catch(async (error: unknown) => {
    const needsCode = error instanceof LoginFailed && error.name === 'AuthFactorTokenRequired'
    if (!needsCode || !process.stdin.isTTY) throw error
    return login(password, (await askSecret('Code that your PDS has sent you: ')).trim())
  })
  return { credentials: { session }, did: session.did }
}

async function askPassword(identifier: string): Promise<string> {
  if (process.stdin.isTTY) {
    const password = await askSecret(`Password of ${identifier} (an app password is enough): `)
    if (password !== '') return password
    throw new UsageError('No password was typed.')
  }
  throw new UsageError(
    `The password of ${identifier} is missing: put it into AQUIFER_PASSWORD, or call this from a terminal.`,
  )
}
