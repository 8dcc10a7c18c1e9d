import type { IncomingMessage, ServerResponse } from 'node:http'
import { AuthRequiredError, parseReqNsid } from '@atproto/xrpc-server'
import { checkClaims } from './claims.js'
import { addressBucket, clientAddress } from './client-address.js'
import {
  DirectoryUnavailable,
  IssuerUnresolvable,
  notPermitted,
  refusal,
  setFailureHeaders,
  setRequestHeaders,
  tooManyFailures,
  tooManyRequests,
  UnknownIssuer,
} from './errors.js'
import { bearerToken, parseServiceJwt, type ServiceJwt } from './jwt.js'
import { createKeyRefresher } from './key-refresh.js'
import { createFailureLimiter, type FailureLimiter, TooManyFailures, type Turn } from './limiter.js'
import type { Permission } from './permissions.js'
import type { Requests } from './requests.js'
import { checkSignature } from './signature.js'

export interface ServiceAuthOptions {
  /** Our own DID: `aud` must be this, or this with `#atproto_backfill`. */
  readonly serviceDid: string
  /**
   * The issuer's `#atproto` key as a did:key.
   * @param forceRefresh resolve it anew, past every cache
   * @throws UnknownIssuer for a 401, IssuerUnresolvable for a 503; anything else passes through
   */
  resolveKey(did: string, forceRefresh: boolean): Promise<string>
  /**
   * Remembers a token as used, atomically, and in every process that answers for `serviceDid`; false if it was
   * already. It must stay remembered until after `expiresAt`, by as much as the clocks involved may differ.
   */
  rememberJti(entry: { issuer: string; jti: string; expiresAt: Date }): Promise<boolean>
  /** Counts a request of a caller that has proven who it is, and says what it may do as of now. */
  admit(did: string): Promise<Standing>
  /** ms since the epoch */
  now(): number
  /** Failed authentications by address. Default: 30 a minute. */
  readonly limiter?: FailureLimiter
  /** How many proxies of our own stand in front; see `clientAddress`. Default: 0. */
  readonly trustedProxies?: number
}

/** What a caller may do at the moment. */
export interface Standing {
  readonly permissions: ReadonlySet<Permission>
  /** Other callers whose jobs it may read. */
  readonly jobsOf: readonly string[]
  /** Those of its current minute; null where they are not limited. */
  readonly requests: Requests | null
}

/** Who called, proven. */
export interface Caller extends Pick<Standing, 'permissions' | 'jobsOf'> {
  readonly did: string
}

/** What xrpc-server takes as `auth`, for methods and, without `res`, for subscriptions. */
export type AuthVerifier = (context: {
  req: IncomingMessage
  res?: ServerResponse
}) => Promise<{ credentials: Caller }>

/**
 * Service auth as the XRPC specification has it ("Inter-Service Authentication"), stricter where it leaves room:
 * `lxm` and `jti` are required, a token works once, `exp` lies at most an hour ahead.
 * @returns for the permission that a method needs, the verifier to give to xrpc-server. It throws XRPCErrors:
 *   401 with a `RefusalName`, 403 `NotPermitted`, 429 `RateLimitExceeded`, 503 `DirectoryUnavailable`. What
 *   `rememberJti` and `admit` throw passes through: it is our fault and not the caller's.
 */
export function createServiceAuth(options: ServiceAuthOptions): (permission: Permission) => AuthVerifier {
  const { serviceDid, now, admit, trustedProxies = 0 } = options
  const limiter = options.limiter ?? createFailureLimiter({ now })
  const authenticate = createAuthenticator(options)

  return (permission) =>
    async ({ req, res }) => {
      try {
        const did = await limited(limiter, clientAddress(req, trustedProxies), () => authenticate(req))
        const { permissions, jobsOf, requests } = await admit(did)
        if (requests) {
          if (requests.count > requests.limit) throw tooManyRequests(did, requests, now())
          if (res) setRequestHeaders(res, requests)
        }
        if (!permissions.has(permission)) throw notPermitted(did, permission)
        return { credentials: { did, permissions, jobsOf } }
      } catch (error) {
        if (res) setFailureHeaders(res, error, serviceDid, now())
        throw error
      }
    }
}

/** Gives the DID that a request proves, or throws; the checks stand in the order of what they cost. */
function createAuthenticator(options: ServiceAuthOptions): (req: IncomingMessage) => Promise<string> {
  const { serviceDid, now, rememberJti } = options
  const checkSignedBy = createSignatureChecker(options)
  return async (req) => {
    const jwt = parseServiceJwt(bearerToken(req.headers.authorization))
    const claims = checkClaims(jwt, { serviceDid, method: parseReqNsid(req), nowMs: now() })
    await checkSignedBy(claims.issuer, jwt)
    // Last of all, so that a token nobody signed can neither fill the store nor use up somebody's `jti`.
    const entry = { issuer: claims.issuer, jti: claims.id, expiresAt: claims.expiresAt }
    if (!(await rememberJti(entry))) throw refusal('JwtReplayed', 'jwt already used; a token works once')
    return claims.issuer
  }
}

/** The key at hand may be from before a rotation: a signature it does not explain gets a second chance. */
function createSignatureChecker(
  options: ServiceAuthOptions,
): (issuer: string, jwt: ServiceJwt) => Promise<void> {
  const { resolveKey, now } = options
  const refreshKey = createKeyRefresher({ resolve: resolveKey, now })
  return async (issuer, jwt) => {
    const key = await keyOf(issuer, () => resolveKey(issuer, false))
    let verdict = await checkSignature(jwt, key)
    if (verdict === 'invalid') {
      const freshKey = await keyOf(issuer, () => refreshKey(issuer))
      if (freshKey !== key) verdict = await checkSignature(jwt, freshKey)
    }
    if (verdict === 'malleable') throw refusal('BadJwtSignature', 'jwt signature is not in low-S form')
    if (verdict === 'invalid') throw refusal('BadJwtSignature', 'jwt signature does not match jwt issuer')
  }
}

async function keyOf(issuer: string, resolve: () => Promise<string>): Promise<string> {
  try {
    return await resolve()
  } catch (error) {
    if (error instanceof UnknownIssuer) {
      throw refusal('UnknownIssuer', 'jwt "iss" does not exist or has no key for atproto', { cause: error })
    }
    if (!(error instanceof IssuerUnresolvable)) throw error
    throw new DirectoryUnavailable(issuer.startsWith('did:web:'), error)
  }
}

/** Authenticates within the failures that the client's address has left. */
async function limited(
  limiter: FailureLimiter,
  address: string,
  authenticate: () => Promise<string>,
): Promise<string> {
  const turn = await beginTurn(limiter, address)
  let failed = false
  try {
    return await authenticate()
  } catch (error) {
    failed = isClientsFailure(error)
    throw error
  } finally {
    turn.end(failed)
  }
}

async function beginTurn(limiter: FailureLimiter, address: string): Promise<Turn> {
  try {
    return await limiter.begin(addressBucket(address))
  } catch (error) {
    throw error instanceof TooManyFailures ? tooManyFailures(error) : error
  }
}

/**
 * A did:web that does not answer counts too: whoever sends the token chose the host that we wait for. A
 * directory that is down is nobody's fault, and must not turn into a 429 for those who only try again.
 */
function isClientsFailure(error: unknown): boolean {
  return error instanceof AuthRequiredError || (error instanceof DirectoryUnavailable && error.issuersOwnHost)
}
