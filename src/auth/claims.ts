import { isValidDid } from '@atproto/syntax'
import { SERVICE_ID } from './did-document.js'
import { refusal } from './errors.js'
import type { ServiceJwt } from './jwt.js'

/** How far ahead `exp` may lie: as long as a `jti` has to be remembered. */
const LIFETIME_MAX_MS = 3_600_000
/** How far an issuer's clock may run ahead of ours. */
const CLOCK_SKEW_MS = 30_000
/** UTF-16 units. */
const ID_LENGTH_MAX = 128

const PLC_DID = /^did:plc:[a-z2-7]{24}$/
const HOST_LABEL = '[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?'
// One spelling per host, and no percent-encoding but the port's: `%2F`, `%40` or `%3F` would become part of the
// URL the document is fetched from. A colon would begin a path, which atproto does not have.
const WEB_DID = new RegExp(`^did:web:${HOST_LABEL}(?:\\.${HOST_LABEL})*(?:%3A[1-9][0-9]{0,4})?$`)
const WEB_DID_LENGTH_MAX = 'did:web:'.length + 253 + '%3A65535'.length

// NUL and lone surrogates cannot be stored as text; the other control characters have no business here either.
const UNPRINTABLE = /[\p{Cc}\p{Cs}]/u

/** What a token is measured against. */
export interface Expected {
  readonly serviceDid: string
  /** NSID of the method called. */
  readonly method: string
  /** ms since the epoch */
  readonly nowMs: number
}

/** The claims that are still needed once all of them hold. */
export interface AcceptedClaims {
  readonly issuer: string
  readonly id: string
  readonly expiresAt: Date
}

/**
 * Judges everything that needs no key (XRPC specification, "Inter-Service Authentication").
 * @throws AuthRequiredError named after the first claim that does not hold
 */
export function checkClaims(jwt: ServiceJwt, expected: Expected): AcceptedClaims {
  checkTimes(jwt, expected.nowMs)
  const { serviceDid, method } = expected
  if (jwt.audience !== serviceDid && jwt.audience !== `${serviceDid}#${SERVICE_ID}`) {
    throw refusal('BadJwtAudience', `jwt "aud" must be ${serviceDid} or ${serviceDid}#${SERVICE_ID}`)
  }
  if (jwt.method !== method) {
    const problem = jwt.method === undefined ? 'missing' : 'bad'
    throw refusal('BadJwtLexiconMethod', `${problem} jwt lexicon method ("lxm"); it must be ${method}`)
  }
  checkIssuer(jwt.issuer)
  checkKeyId(jwt.keyId, jwt.issuer)
  return { issuer: jwt.issuer, id: checkId(jwt.id), expiresAt: new Date(jwt.expiresAt * 1_000) }
}

function checkTimes(jwt: ServiceJwt, nowMs: number): void {
  if (jwt.expiresAt * 1_000 < nowMs) throw refusal('JwtExpired', 'jwt expired')
  if (jwt.expiresAt * 1_000 > nowMs + LIFETIME_MAX_MS) {
    throw refusal('BadJwtLifetime', 'jwt "exp" must be at most an hour ahead, in seconds since the epoch')
  }
  for (const [name, time] of [
    ['nbf', jwt.notBefore],
    ['iat', jwt.issuedAt],
  ] as const) {
    if (time !== undefined && time * 1_000 > nowMs + CLOCK_SKEW_MS) {
      throw refusal('JwtNotYetValid', `jwt "${name}" lies in the future; is the issuer's clock right?`)
    }
  }
}

/** A did:key would sign for itself, so anybody could be anybody new; other methods nobody here can resolve. */
function checkIssuer(issuer: string): void {
  const plc = PLC_DID.test(issuer)
  const web = issuer.length <= WEB_DID_LENGTH_MAX && WEB_DID.test(issuer)
  if (isValidDid(issuer) && (plc || web)) return
  throw refusal('BadJwtIss', 'jwt "iss" must be a did:plc, or a did:web without a path, and have no fragment')
}

/** The specification writes the bare `atproto`; the other two spellings can mean nothing else. */
function checkKeyId(keyId: string | undefined, issuer: string): void {
  if (keyId === undefined || ['atproto', '#atproto', `${issuer}#atproto`].includes(keyId)) return
  throw refusal(
    'BadJwtKey',
    'jwt must be signed with the issuer\'s "atproto" key, and its "kid" say so or be absent',
  )
}

function checkId(id: unknown): string {
  const fits = typeof id === 'string' && id.length >= 1 && id.length <= ID_LENGTH_MAX
  if (fits && !UNPRINTABLE.test(id)) return id
  throw refusal('BadJwtId', `jwt "jti" must be a string of 1 to ${ID_LENGTH_MAX} printable characters`)
}
