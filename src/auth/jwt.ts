import type { AuthRequiredError } from '@atproto/xrpc-server'
import { refusal } from './errors.js'

/*
 * Why not `verifyJwt` of xrpc-server: it resolves the issuer before half of the checks that need no network
 * (lifetime, jti, kid, issuer method) could be made, lets `JSON.parse` errors through as 500, takes only one
 * audience, and accepts DER and high-S signatures. Wrapping it would mean parsing the token a second time for
 * everything it leaves out; here every check is made once, in one order, the cheap ones first.
 */

/** Characters. Real tokens have about 500; a header may hold 16 KiB in all. */
const TOKEN_LENGTH_MAX = 8 * 1024
/** r and s, 32 bytes each (RFC 7518 §3.4); both curves of atproto have the same size. */
const SIGNATURE_BYTES = 64

/** Tokens of other kinds that the same issuers make; the specification leaves the name of ours open. */
const FOREIGN_TYPES = ['at+jwt', 'refresh+jwt', 'dpop+jwt']

export type Algorithm = 'ES256' | 'ES256K'

/** A token that has the right shape; nothing in it is proven or even judged yet. Times in s since the epoch. */
export interface ServiceJwt {
  readonly algorithm: Algorithm
  readonly keyId: string | undefined
  readonly issuer: string
  readonly audience: string
  readonly method: string | undefined
  readonly expiresAt: number
  readonly issuedAt: number | undefined
  readonly notBefore: number | undefined
  /** As sent: its form is judged with the other claims. */
  readonly id: unknown
  readonly signedBytes: Uint8Array
  readonly signature: Uint8Array
}

/**
 * Takes the token out of an `Authorization` header.
 * @throws AuthRequiredError `AuthMissing`
 */
export function bearerToken(authorization: string | undefined): string {
  const token = /^bearer +(\S+) *$/i.exec(authorization ?? '')?.[1]
  if (token === undefined)
    throw refusal('AuthMissing', 'a service-auth token is needed as "Authorization: Bearer …"')
  return token
}

/**
 * Parses a service-auth token (JWS compact serialisation, RFC 7515 §3.1) without judging its claims.
 * @throws AuthRequiredError `BadJwt`, `BadJwtType` or, for an algorithm or a signature that no atproto key
 *   makes, `BadJwtSignature`
 */
export function parseServiceJwt(token: string): ServiceJwt {
  if (token.length > TOKEN_LENGTH_MAX) throw malformed(`it is longer than ${TOKEN_LENGTH_MAX} characters`)
  const [headerPart, payloadPart, signaturePart, ...rest] = token.split('.')
  if (
    headerPart === undefined ||
    payloadPart === undefined ||
    signaturePart === undefined ||
    rest.length > 0
  ) {
    throw malformed('it does not have three parts')
  }
  const header = parseObject(headerPart)
  checkType(header.typ)
  // RFC 7515 §4.1.11: extensions named here change what the token means, and we know none.
  if (header.crit !== undefined) throw malformed('it has a "crit" header')
  const payload = parseObject(payloadPart)
  return {
    algorithm: algorithmOf(header.alg),
    keyId: optionalString(header.kid, 'kid'),
    issuer: requiredString(payload.iss, 'iss'),
    audience: requiredString(payload.aud, 'aud'),
    method: optionalString(payload.lxm, 'lxm'),
    expiresAt: requiredTime(payload.exp, 'exp'),
    issuedAt: optionalTime(payload.iat, 'iat'),
    notBefore: optionalTime(payload.nbf, 'nbf'),
    id: payload.jti,
    signedBytes: Buffer.from(`${headerPart}.${payloadPart}`, 'latin1'),
    signature: signatureOf(signaturePart),
  }
}

function malformed(reason: string): AuthRequiredError {
  return refusal('BadJwt', `poorly formatted jwt: ${reason}`)
}

/** Media types: no difference between cases, and `application/` may be written out (RFC 7515 §4.1.9). */
function checkType(typ: unknown): void {
  const type = optionalString(typ, 'typ')
    ?.toLowerCase()
    .replace(/^application\//, '')
  if (type !== undefined && FOREIGN_TYPES.includes(type)) {
    throw refusal('BadJwtType', `a token of the type "${type}" is not a service-auth token`)
  }
}

function algorithmOf(alg: unknown): Algorithm {
  if (typeof alg !== 'string') throw malformed('"alg" must be a string')
  if (alg === 'ES256' || alg === 'ES256K') return alg
  throw refusal('BadJwtSignature', 'the jwt must be signed with ES256 or ES256K')
}

function signatureOf(part: string): Uint8Array {
  const bytes = part === '' ? Buffer.alloc(0) : decodeBase64Url(part)
  if (bytes.length === SIGNATURE_BYTES) return bytes
  throw refusal('BadJwtSignature', `the jwt signature must be r and s, ${SIGNATURE_BYTES} bytes, and not DER`)
}

/** Of two claims with one name the last one counts (RFC 7519 §4), which is what `JSON.parse` does. */
function parseObject(part: string): Record<string, unknown> {
  let value: unknown
  try {
    value = JSON.parse(
      new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(decodeBase64Url(part)),
    )
  } catch {
    throw malformed('its parts must be JSON objects in base64url')
  }
  if (isObject(value)) return value
  throw malformed('its parts must be JSON objects')
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

/** Buffer skips over what is not base64url; one token must have one spelling. */
function decodeBase64Url(part: string): Buffer {
  const bytes = Buffer.from(part, 'base64url')
  if (part !== '' && bytes.toString('base64url') === part) return bytes
  throw malformed('its parts must be base64url without padding')
}

function requiredString(value: unknown, name: string): string {
  if (typeof value === 'string') return value
  throw malformed(`"${name}" must be a string`)
}

function optionalString(value: unknown, name: string): string | undefined {
  return value === undefined ? undefined : requiredString(value, name)
}

/** JSON can spell numbers that overflow to Infinity, with which no later comparison would make sense. */
function requiredTime(value: unknown, name: string): number {
  if (typeof value === 'number' && Number.isFinite(value)) return value
  throw malformed(`"${name}" must be a number of seconds`)
}

function optionalTime(value: unknown, name: string): number | undefined {
  return value === undefined ? undefined : requiredTime(value, name)
}
