import { unlessAborted } from './abort.js'
import { BackfillError, LoginFailed, SessionExpired } from './errors.js'
import { type ExchangeRequest, exchange, invalid } from './exchange.js'
import { isPrivateWay, originOf } from './origin.js'

/** Of one request to a PDS or a directory, ms. */
const TIMEOUT_MS = 30_000
const PLC_URL = 'https://plc.directory'

export interface SessionOptions {
  readonly fetch?: typeof globalThis.fetch
  /** Called whenever the tokens have changed, so that a saved session stays usable: each refreshes once. */
  readonly onChange?: (session: SavedSession) => void
}

export interface LoginOptions extends SessionOptions {
  /** A handle, a DID or, together with `pds`, an e-mail address. */
  readonly identifier: string
  /** Best an app password: it is enough, and can be taken back. It is not kept. */
  readonly password: string
  /** The code that the PDS has sent, for accounts with a second factor. */
  readonly authFactorToken?: string
  /** Origin of the account's PDS. Absent: found by way of the account's DID document. */
  readonly pds?: string
  /** Origin of the directory of did:plc. Default: https://plc.directory. */
  readonly plcUrl?: string
  /** Origin of a service that answers `com.atproto.identity.resolveHandle`. Absent: DNS and https. */
  readonly handleResolverUrl?: string
  readonly signal?: AbortSignal
}

/** A session to be kept somewhere safe: its tokens are as good as a password for about two months. */
export interface SavedSession {
  /** Origin of the PDS. */
  readonly pds: string
  readonly did: string
  readonly accessJwt: string
  readonly refreshJwt: string
}

/** What is asked for a service-auth token. */
interface TokenCall {
  readonly audience: string
  readonly lxm: string
  readonly signal?: AbortSignal | undefined
}

/**
 * An account's session on its PDS, which signs service-auth tokens for it. The access token is renewed when it
 * has expired.
 */
export class PdsSession {
  #saved: SavedSession
  #refreshing: Promise<void> | null = null
  readonly #options: SessionOptions

  private constructor(saved: SavedSession, options: SessionOptions) {
    this.#saved = saved
    this.#options = options
  }

  /**
   * Opens a session. A PDS allows few of these a day (Bluesky's 300): keep one with `save` where you can.
   * @throws LoginFailed; ServiceUnreachable, TimeoutError or another BackfillError; the signal's reason
   */
  static async login(options: LoginOptions): Promise<PdsSession> {
    const { password, authFactorToken, signal } = options
    const identifier = options.identifier.trim().replace(/^@/, '')
    const { pds, did } = await placeOf(identifier, options)
    if (!isPrivateWay(pds)) throw new TypeError(`a password is only sent by https, not to ${pds}`)
    const input = {
      identifier: did ?? identifier,
      password,
      ...(authFactorToken !== undefined && { authFactorToken }),
    }
    const request = pdsRequest(pds, 'createSession', options, { method: 'POST', input, signal })
    const answer = await exchange(request).catch((error: unknown) => {
      throw refusedLogin(error) ?? error
    })
    const tokens = sessionIn(request, answer)
    if (did !== null && tokens.did !== did) throw invalid(request, `is a session of ${tokens.did}`)
    return new PdsSession({ pds, ...tokens }, options)
  }

  /** Takes up a session that was saved; whether it still holds, its first use shows. */
  static resume(saved: SavedSession, options: SessionOptions = {}): PdsSession {
    const { pds, did, accessJwt, refreshJwt } = saved
    return new PdsSession({ pds: originOf('pds', pds), did, accessJwt, refreshJwt }, options)
  }

  get did(): string {
    return this.#saved.did
  }

  /** Origin of the PDS. */
  get pds(): string {
    return this.#saved.pds
  }

  /** The session as it is now, for `resume`. */
  save(): SavedSession {
    return { ...this.#saved }
  }

  /**
   * A token for one call of `lxm` on the service `audience` (`com.atproto.server.getServiceAuth`).
   * @throws SessionExpired; ServiceUnreachable, TimeoutError or another BackfillError; the signal's reason
   */
  async serviceToken(call: TokenCall): Promise<string> {
    const { accessJwt } = this.#saved
    try {
      return await this.#askForToken(call)
    } catch (error) {
      if (!(error instanceof BackfillError) || error.name !== 'ExpiredToken') throw error
    }
    // Somebody else's refresh may have ended in the meantime.
    if (accessJwt === this.#saved.accessJwt) await unlessAborted(this.#refresh(), call.signal)
    return this.#askForToken(call)
  }

  /** Ends the session on the PDS. */
  async logout(): Promise<void> {
    const { pds, refreshJwt } = this.#saved
    const request = pdsRequest(pds, 'deleteSession', this.#options, { method: 'POST', token: refreshJwt })
    await exchange(request).catch((error: unknown) => {
      // A session that is over needs no end.
      if (!(error instanceof BackfillError) || !isOver(error)) throw error
    })
  }

  async #askForToken({ audience, lxm, signal }: TokenCall): Promise<string> {
    const { pds, accessJwt } = this.#saved
    const request = pdsRequest(pds, 'getServiceAuth', this.#options, {
      method: 'GET',
      token: accessJwt,
      signal,
    })
    request.url.searchParams.set('aud', audience)
    request.url.searchParams.set('lxm', lxm)
    const answer = (await exchange(request).catch((error: unknown) => {
      throw expired(this.did, error) ?? error
    })) as { token?: unknown } | null
    if (typeof answer?.token !== 'string') throw invalid(request, 'has no token')
    return answer.token
  }

  /** One at a time: a refresh token is good for one refresh. */
  #refresh(): Promise<void> {
    this.#refreshing ??= this.#renew().finally(() => {
      this.#refreshing = null
    })
    return this.#refreshing
  }

  async #renew(): Promise<void> {
    const { pds, refreshJwt } = this.#saved
    const request = pdsRequest(pds, 'refreshSession', this.#options, { method: 'POST', token: refreshJwt })
    const answer = await exchange(request).catch((error: unknown) => {
      throw expired(this.did, error, 'ExpiredToken') ?? error
    })
    this.#saved = { pds, ...sessionIn(request, answer) }
    this.#options.onChange?.(this.save())
  }
}

/** Where to log in; `did` where it is known for sure who must come out. */
async function placeOf(
  identifier: string,
  options: LoginOptions,
): Promise<{ pds: string; did: string | null }> {
  const { pds, plcUrl = PLC_URL, handleResolverUrl, fetch = globalThis.fetch, signal } = options
  if (pds !== undefined) return { pds: originOf('pds', pds), did: null }
  // Loaded only here: whoever calls with a key needs none of it.
  const { locateAccount } = await import('./locate.js')
  const located = locateAccount(identifier, {
    plcUrl: originOf('plcUrl', plcUrl),
    handleResolverUrl:
      handleResolverUrl === undefined ? null : originOf('handleResolverUrl', handleResolverUrl),
    fetch,
    timeoutMs: TIMEOUT_MS,
    signal,
    now: Date.now,
  })
  return unlessAborted(located, signal)
}

function pdsRequest(
  pds: string,
  method: string,
  { fetch = globalThis.fetch }: SessionOptions,
  parts: Pick<ExchangeRequest, 'method' | 'input' | 'signal'> & { readonly token?: string },
): ExchangeRequest {
  const { token, ...rest } = parts
  return {
    peer: 'a PDS',
    attributed: true,
    url: new URL(`/xrpc/com.atproto.server.${method}`, pds),
    headers: token === undefined ? {} : { authorization: `Bearer ${token}` },
    timeoutMs: TIMEOUT_MS,
    fetch,
    now: Date.now,
    ...rest,
  }
}

function sessionIn(request: ExchangeRequest, answer: unknown): Omit<SavedSession, 'pds'> {
  const { did, accessJwt, refreshJwt } = (answer ?? {}) as Record<string, unknown>
  if (typeof did === 'string' && typeof accessJwt === 'string' && typeof refreshJwt === 'string') {
    return { did, accessJwt, refreshJwt }
  }
  throw invalid(request, 'is no session')
}

function refusedLogin(error: unknown): LoginFailed | null {
  if (!(error instanceof BackfillError) || error.status !== 401) return null
  const { name, message, status } = error
  if (name !== 'AuthFactorTokenRequired') return new LoginFailed({ name, message, status, cause: error })
  const needed = 'the account has a second factor: log in again with the code that its PDS has sent'
  return new LoginFailed({ name, message: needed, status, cause: error })
}

/** A PDS that does not know a token any more. An access token that has only expired can still be renewed. */
function expired(did: string, error: unknown, ...alsoOver: string[]): SessionExpired | null {
  if (!(error instanceof BackfillError)) return null
  if (!isOver(error) && !alsoOver.includes(error.name)) return null
  const { name, status } = error
  const message = `the session of ${did} is over (${error.message}): log in again`
  return new SessionExpired({ name, message, status, cause: error })
}

function isOver(error: BackfillError): boolean {
  return error.status === 401 || error.name === 'InvalidToken'
}
