import type { ServerResponse } from 'node:http'
import {
  AuthRequiredError,
  ForbiddenError,
  RateLimitExceededError,
  ResponseType,
  XRPCError,
} from '@atproto/xrpc-server'
import type { TooManyFailures } from './limiter.js'
import type { Permission } from './permissions.js'
import { type Requests, WINDOW_MS } from './requests.js'

/**
 * Why a request was not authenticated: the `error` of a 401. Callers branch on these, so they never change.
 * The first group is what `verifyJwt` of xrpc-server says in the same case.
 */
export type RefusalName =
  | 'AuthMissing'
  | 'BadJwt'
  | 'BadJwtType'
  | 'BadJwtAudience'
  | 'BadJwtLexiconMethod'
  | 'BadJwtIss'
  | 'BadJwtSignature'
  | 'JwtExpired'
  | 'BadJwtLifetime'
  | 'JwtNotYetValid'
  | 'BadJwtKey'
  | 'BadJwtId'
  | 'JwtReplayed'
  | 'UnknownIssuer'

/**
 * For `resolveKey` to throw: the issuer's DID certainly does not exist, is tombstoned, or its document names
 * no usable `#atproto` key. The caller gets a 401.
 */
export class UnknownIssuer extends Error {
  override readonly name = 'UnknownIssuer'
}

/** For `resolveKey` to throw: nobody could say whether the issuer exists. The caller gets a 503. */
export class IssuerUnresolvable extends Error {
  override readonly name = 'IssuerUnresolvable'
}

/** A 401. The message is for people and never repeats what the token said. */
export function refusal(name: RefusalName, message: string, options?: ErrorOptions): AuthRequiredError {
  return new AuthRequiredError(message, name, options)
}

/** The 503 of an issuer that cannot be resolved now; `cause` is what `resolveKey` threw, for the log. */
export class DirectoryUnavailable extends XRPCError {
  /** @param issuersOwnHost the document was to come from a host that the issuer named (did:web) */
  constructor(
    readonly issuersOwnHost: boolean,
    cause: unknown,
  ) {
    super(ResponseType.NotEnoughResources, 'the issuer cannot be resolved now', 'DirectoryUnavailable', {
      cause,
    })
  }
}

/** The 403 of a caller that proved who it is and lacks the permission. */
export function notPermitted(did: string, permission: Permission): ForbiddenError {
  return new ForbiddenError(`${did} lacks the permission "${permission}"`, 'NotPermitted')
}

/** The 429 of an address that failed too often. */
export function tooManyFailures(refused: TooManyFailures): RateLimitExceededError {
  const seconds = Math.ceil(refused.resetMs / 1_000)
  return new RateLimitExceededError(
    {
      limit: refused.failuresMax,
      duration: Math.ceil(refused.windowMs / 1_000),
      remainingPoints: 0,
      msBeforeNext: refused.resetMs,
      consumedPoints: refused.failuresMax,
      isFirstInDuration: false,
    },
    `too many failed authentications from this address; try again in ${seconds} s`,
  )
}

/** The 429 of a caller that has asked too often in this minute. */
export function tooManyRequests(did: string, requests: Requests, nowMs: number): RateLimitExceededError {
  const { limit, count, resetMs } = requests
  const msBeforeNext = Math.max(resetMs - nowMs, 1)
  return new RateLimitExceededError(
    {
      limit,
      duration: WINDOW_MS / 1_000,
      remainingPoints: 0,
      msBeforeNext,
      consumedPoints: count,
      isFirstInDuration: count === 1,
    },
    `${did} may make ${limit} requests a minute; try again in ${Math.ceil(msBeforeNext / 1_000)} s`,
  )
}

/**
 * Puts the headers of an authentication failure on the response; xrpc-server renders the error later and
 * leaves them alone. Errors of another kind add nothing.
 * @param realm our DID, so that a challenge says which `aud` to use
 * @param nowMs ms since the epoch
 */
export function setFailureHeaders(res: ServerResponse, error: unknown, realm: string, nowMs: number): void {
  if (error instanceof RateLimitExceededError) {
    const { limit, duration, msBeforeNext } = error.status
    setLimitHeaders(res, { limit, remaining: 0, resetMs: nowMs + msBeforeNext, seconds: duration })
    res.setHeader('Retry-After', Math.ceil(msBeforeNext / 1_000))
    expose(res, 'Retry-After')
  } else if (error instanceof AuthRequiredError) {
    res.setHeader('WWW-Authenticate', `Bearer realm="${realm}", error="${error.error}"`)
    expose(res, 'WWW-Authenticate')
  }
}

/** Tells a caller how many requests it has left in this minute. */
export function setRequestHeaders(res: ServerResponse, { limit, count, resetMs }: Requests): void {
  setLimitHeaders(res, { limit, remaining: limit - count, resetMs, seconds: WINDOW_MS / 1_000 })
}

function setLimitHeaders(
  res: ServerResponse,
  window: { limit: number; remaining: number; resetMs: number; seconds: number },
): void {
  const { limit, remaining, resetMs, seconds } = window
  res.setHeader('RateLimit-Limit', limit)
  res.setHeader('RateLimit-Remaining', remaining)
  res.setHeader('RateLimit-Reset', Math.ceil(resetMs / 1_000))
  res.setHeader('RateLimit-Policy', `${limit};w=${seconds}`)
  expose(res, 'RateLimit-Limit, RateLimit-Remaining, RateLimit-Reset, RateLimit-Policy')
}

/** Lets a browser client read the headers too (CORS). */
function expose(res: ServerResponse, names: string): void {
  res.appendHeader('Access-Control-Expose-Headers', names)
}
