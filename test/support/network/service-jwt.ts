import { randomUUID } from 'node:crypto'
import type { Keypair } from '@atproto/crypto'

/**
 * What goes into a service-auth token (https://atproto.com/specs/xrpc#inter-service-authentication-jwt). What is
 * left out is as it should be, null takes it out of the token, anything else stands there as it is.
 */
export interface JwtParts {
  readonly aud: string | null
  readonly lxm: string | null
  readonly iss?: unknown
  /** s since the epoch. */
  readonly exp?: unknown
  /** s since the epoch. */
  readonly iat?: unknown
  readonly jti?: unknown
  readonly kid?: unknown
  readonly alg?: unknown
  readonly typ?: unknown
  /** Signs instead of the issuer's own key. */
  readonly key?: Keypair
}

/** How long a token holds, s. */
const LIFETIME_S = 60

/** Makes a token of an issuer, signed whatever it says. */
export async function mintJwt(issuer: string, ownKey: Keypair, parts: JwtParts): Promise<string> {
  const { key = ownKey, aud, lxm } = parts
  const now = Math.floor(Date.now() / 1_000)
  const { iss = issuer, iat = now, exp = now + LIFETIME_S, jti = randomUUID() } = parts
  const { typ = 'JWT', alg = key.jwtAlg, kid = null } = parts
  return signParts(key, jsonPart({ typ, alg, kid }), jsonPart({ iss, aud, lxm, iat, exp, jti }))
}

/** Signs two parts as they are (JWS compact serialisation). */
export async function signParts(key: Keypair, header: string, payload: string): Promise<string> {
  const signature = await key.sign(Buffer.from(`${header}.${payload}`))
  return `${header}.${payload}.${base64Url(signature)}`
}

/** An object as one part of a token, without its nulls. */
export function jsonPart(fields: Readonly<Record<string, unknown>>): string {
  const present = Object.entries(fields).filter(([, value]) => value !== null)
  return base64Url(JSON.stringify(Object.fromEntries(present)))
}

export function base64Url(value: string | Uint8Array): string {
  return Buffer.from(value).toString('base64url')
}
