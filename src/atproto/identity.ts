import { type DidDocument, getHandle, getPdsEndpoint } from '@atproto/common-web'
import {
  type DidCache,
  DidNotFoundError,
  DidResolver,
  getKey,
  HandleResolver,
  PoorlyFormattedDidDocumentError,
  PoorlyFormattedDidError,
  UnsupportedDidMethodError,
  UnsupportedDidWebPathError,
} from '@atproto/identity'
import { isValidDid, isValidHandle } from '@atproto/syntax'
import { cooldownUntil } from './cooldown.js'
import { normalizeHost } from './host.js'
import { type HttpClient, HttpFailure } from './http.js'
import { Failure, RateLimited, Unavailable } from './outcome.js'
import { readAnswer } from './xrpc.js'

/** Where an account lives, by its DID document. */
export interface Located {
  readonly did: string
  readonly handle: string | null
  /** Its PDS, as one spelling. */
  readonly origin: string
}

/** All that counts of an account's DID document. */
export interface Account extends Located {
  /** The did:key it signs with; undefined when the document has no usable `#atproto` key. */
  readonly signingKey: string | undefined
}

export interface IdentityOptions {
  readonly http: HttpClient
  readonly cache: DidCache
  readonly directoryUrl: string
  /** A service that answers `com.atproto.identity.resolveHandle`; null: DNS and https, as the spec has it. */
  readonly handleResolverUrl: string | null
  readonly allowPrivateNetwork: boolean
  readonly now: () => number
  readonly random: () => number
  /** Called before each request to the directory or a did:web host. */
  readonly beforeRequest?: () => Promise<void>
}

const TIMEOUT_MS = 10_000
const HANDLE_ANSWER_BYTES_MAX = 16 * 1024

/** Looks up accounts: DIDs by the directory and did:web, handles by DNS and https. */
export class Identities {
  readonly #options: IdentityOptions
  readonly #dids: DidResolver
  readonly #handles: HandleResolver

  constructor(options: IdentityOptions) {
    this.#options = options
    this.#dids = new DidResolver({
      plcUrl: options.directoryUrl,
      didCache: options.cache,
      timeout: TIMEOUT_MS,
      fetch: this.#fetch,
    })
    this.#handles = new HandleResolver({ timeout: TIMEOUT_MS, fetch: options.http.fetch })
  }

  /**
   * An account's PDS.
   * @param fresh ask the directory even if a document is at hand
   * @throws Failure `did-not-found`, `did-invalid`, `directory-unavailable` or a transport class; Unavailable
   *   for a tombstone; RateLimited; what the cache or `beforeRequest` threw, as it is
   */
  async locate(did: string, fresh: boolean): Promise<Located> {
    return locatedIn(did, await this.#document(did, fresh), this.#options)
  }

  /**
   * An account by a document that is not older than a moment.
   * @param since when it must have been looked up, ms; one that was before is looked up afresh
   * @throws as `locate`
   */
  async account(did: string, since: number): Promise<Account> {
    const cached = await this.#options.cache.checkCache(did)
    const document = cached && cached.updatedAt >= since ? cached.doc : await this.#document(did, true)
    return { ...locatedIn(did, document, this.#options), signingKey: keyIn(document) }
  }

  /**
   * The did:key an account signs with.
   * @throws as `locate`; Failure `did-invalid` when the document has no `#atproto` key
   */
  async signingKey(did: string, fresh: boolean): Promise<string> {
    const key = keyIn(await this.#document(did, fresh))
    if (key === undefined) throw new Failure('did-invalid', `${did}: the document has no usable #atproto key`)
    return key
  }

  /**
   * The DID a handle stands for, if the DID's document names the handle too.
   * @returns null when the handle does not resolve or the two do not agree
   * @throws as `locate`; Failure `directory-unavailable` when the handle resolver gives no answer
   */
  async resolveHandle(handle: string): Promise<string | null> {
    const did = this.#options.handleResolverUrl
      ? await this.#askForHandle(this.#options.handleResolverUrl, handle)
      : await this.#handles.resolve(handle)
    if (did === undefined || did === null || !isValidDid(did)) return null
    const document = await this.#document(did, false)
    return handleOf(document) === handle.toLowerCase() ? did : null
  }

  async #document(did: string, fresh: boolean): Promise<DidDocument> {
    try {
      return await this.#dids.ensureResolve(did, fresh)
    } catch (error) {
      throw this.#classed(did, error)
    }
  }

  async #askForHandle(service: string, handle: string): Promise<string | null> {
    const { http, now, random } = this.#options
    const url = new URL('/xrpc/com.atproto.identity.resolveHandle', service)
    url.searchParams.set('handle', handle)
    try {
      const response = await http.get({ url, maxBytes: HANDLE_ANSWER_BYTES_MAX, timeoutMs: TIMEOUT_MS })
      const answer = readAnswer(response, now(), random())
      // 400 is how a resolver says that there is no such handle; anything else is not about the handle.
      if (!answer.ok && answer.status !== 400) throw new Failure('host-error', `answered ${answer.status}`)
      const { did } = answer.ok ? (answer.body as { did?: unknown }) : { did: null }
      return typeof did === 'string' ? did : null
    } catch (error) {
      if (!(error instanceof Failure || error instanceof HttpFailure)) throw error
      throw new Failure('directory-unavailable', `the handle resolver: ${error.message}`, { cause: error })
    }
  }

  /**
   * The fetch that @atproto/identity uses. It takes a did:web host's 500 for "not found", so what is not an
   * answer about the account is thrown from here.
   */
  readonly #fetch = async (input: string | URL | Request, init?: RequestInit): Promise<Response> => {
    await this.#options.beforeRequest?.()
    // The library's own timer has run since before the wait for a turn.
    const signal = AbortSignal.timeout(TIMEOUT_MS)
    const response = await this.#options.http.fetch(input as string | URL, { ...init, signal })
    if (response.status === 410) throw new Unavailable('tombstoned')
    if (response.status === 429) {
      const { now, random } = this.#options
      throw new RateLimited(
        new Date(cooldownUntil((name) => response.headers.get(name) ?? undefined, now(), random())),
      )
    }
    if (response.status >= 500) throw new Failure('host-error', `answered ${response.status}`)
    return response
  }

  /** What an error means for the account; the error itself where it means nothing: an abort, a lost database. */
  #classed(did: string, error: unknown): unknown {
    const message = `${did}: ${error instanceof Error ? error.message : String(error)}`
    if (error instanceof DidNotFoundError) return new Failure('did-not-found', message)
    if (error instanceof PoorlyFormattedDidDocumentError)
      return new Failure('did-invalid', `${did}: the document is malformed or names another account`)
    const plc = did.startsWith('did:plc:')
    if (isAboutDid(error, plc)) return new Failure('did-invalid', message, { cause: error })
    const transport = transportFailure(error)
    if (transport === null) return error
    return new Failure(plc ? 'directory-unavailable' : transport, message, { cause: error })
  }
}

/** The PDS a DID document names. */
export function locatedIn(
  did: string,
  document: DidDocument,
  options: { allowPrivateNetwork: boolean },
): Located {
  const endpoint = getPdsEndpoint(document)
  if (endpoint === undefined) throw new Failure('did-invalid', `${did}: the document names no PDS`)
  const origin = normalizeHost(endpoint, options)
  if (origin === null)
    throw new Failure('did-invalid', `${did}: ${endpoint.slice(0, 200)} is not a usable origin`)
  return { did, handle: handleOf(document), origin }
}

/** The did:key a document names for `#atproto`; undefined when it names none or one of an unknown kind. */
function keyIn(document: DidDocument): string | undefined {
  try {
    return getKey(document)
  } catch {
    return undefined
  }
}

/** The handle a document claims, if it is one. */
export function handleOf(document: DidDocument): string | null {
  const handle = getHandle(document)?.toLowerCase()
  return handle !== undefined && isValidHandle(handle) ? handle : null
}

/**
 * Whether an error is a definite answer: this DID, or the document it leads to, is no good.
 * @param plc the answer is the directory's, whose every document is JSON: what is not is somebody else's page
 */
function isAboutDid(error: unknown, plc: boolean): boolean {
  if (error instanceof PoorlyFormattedDidError || error instanceof UnsupportedDidMethodError) return true
  if (error instanceof UnsupportedDidWebPathError || error instanceof URIError) return true
  // A document so deeply nested that it cannot be kept.
  if (error instanceof RangeError) return true
  if (error instanceof SyntaxError) return !plc
  if (!(error instanceof Error)) return false
  const { code, status } = error as { code?: unknown; status?: unknown }
  return code === 'ERR_INVALID_URL' || status === 400
}

/** The class of a failure to get an answer at all; null if it is none. */
function transportFailure(error: unknown): 'timeout' | 'host-error' | HttpFailure['failure'] | null {
  if (error instanceof HttpFailure) return error.failure
  if (error instanceof Failure && error.failure === 'host-error') return 'host-error'
  if (error instanceof SyntaxError || (error instanceof Error && 'status' in error)) return 'host-error'
  if (error instanceof DOMException && error.name === 'TimeoutError') return 'timeout'
  if (error instanceof Error && error.cause !== undefined && error.cause !== error)
    return transportFailure(error.cause)
  return null
}
