import { getHandle, getPdsEndpoint } from '@atproto/common-web'
import { DidNotFoundError, DidResolver, HandleResolver } from '@atproto/identity'
import { isValidDid, isValidHandle } from '@atproto/syntax'
import { BackfillError, LoginFailed, ServiceUnreachable } from './errors.js'
import { exchange } from './exchange.js'
import { isPrivateWay, originOf } from './origin.js'

export interface LocateOptions {
  /** Origin of the directory of did:plc. */
  readonly plcUrl: string
  /** Origin of a service that answers `com.atproto.identity.resolveHandle`; null: DNS and https. */
  readonly handleResolverUrl: string | null
  readonly fetch: typeof globalThis.fetch
  /** Of one request, ms. */
  readonly timeoutMs: number
  readonly signal?: AbortSignal | undefined
  now(): number
}

export interface LocatedAccount {
  readonly did: string
  /** Origin of the account's PDS. */
  readonly pds: string
}

/**
 * Finds an account's PDS: handle → DID → DID document (https://atproto.com/specs/handle#handle-resolution).
 * @param identifier a handle or a DID
 * @throws LoginFailed for an account that does not exist or cannot be used; ServiceUnreachable, TimeoutError
 */
export async function locateAccount(identifier: string, options: LocateOptions): Promise<LocatedAccount> {
  const handle = identifier.startsWith('did:') ? null : identifier.toLowerCase()
  const did = handle === null ? identifier : await didOf(handle, options)
  if (!isValidDid(did)) throw failed(`${JSON.stringify(did)} is not a DID`)
  const document = await documentOf(did, options)
  // Without this, whoever owns a host name could have the password sent for an account that is not theirs.
  if (handle !== null && getHandle(document)?.toLowerCase() !== handle) {
    throw failed(`the handle ${handle} leads to ${did}, whose DID document does not name the handle`)
  }
  const endpoint = getPdsEndpoint(document)
  if (endpoint === undefined) throw failed(`the DID document of ${did} names no PDS`)
  return { did, pds: usableOrigin(did, endpoint) }
}

function usableOrigin(did: string, endpoint: string): string {
  try {
    const pds = originOf('the PDS', endpoint)
    if (isPrivateWay(pds)) return pds
  } catch {
    // No origin at all.
  }
  throw failed(
    `the DID document of ${did} names the PDS ${JSON.stringify(endpoint)}, which is no https origin`,
  )
}

async function didOf(handle: string, options: LocateOptions): Promise<string> {
  if (!isValidHandle(handle)) {
    const hint = handle.includes('@') ? '; to log in by e-mail address, say on which PDS' : ''
    throw failed(`${JSON.stringify(handle)} is neither a handle nor a DID${hint}`)
  }
  const { handleResolverUrl, timeoutMs } = options
  const did =
    handleResolverUrl === null
      ? await new HandleResolver({ timeout: timeoutMs, fetch: options.fetch }).resolve(handle)
      : await askForHandle(handleResolverUrl, handle, options)
  if (did === undefined) throw failed(`no account answers to the handle ${handle}`)
  return did
}

async function askForHandle(
  resolver: string,
  handle: string,
  options: LocateOptions,
): Promise<string | undefined> {
  const url = new URL('/xrpc/com.atproto.identity.resolveHandle', resolver)
  url.searchParams.set('handle', handle)
  try {
    const answer = await exchange({
      peer: 'a handle resolver',
      attributed: true,
      method: 'GET',
      headers: {},
      ...options,
      url,
    })
    const { did } = answer as { did?: unknown }
    return typeof did === 'string' ? did : undefined
  } catch (error) {
    if (error instanceof BackfillError && error.status === 400) return undefined
    throw error
  }
}

async function documentOf(did: string, { plcUrl, timeoutMs, fetch, signal }: LocateOptions) {
  signal?.throwIfAborted()
  try {
    return await new DidResolver({ plcUrl, timeout: timeoutMs, fetch }).ensureResolve(did)
  } catch (error) {
    if (error instanceof DidNotFoundError) throw failed(`there is no account ${did}`)
    const where = did.startsWith('did:plc:') ? ` by ${plcUrl}` : ''
    const message = `${did} cannot be looked up${where}: ${error instanceof Error ? error.message : error}`
    throw new ServiceUnreachable({ name: 'ServiceUnreachable', message, cause: error })
  }
}

function failed(message: string): LoginFailed {
  return new LoginFailed({ name: 'LoginFailed', message })
}
