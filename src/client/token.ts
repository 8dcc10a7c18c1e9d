import { randomUUID } from 'node:crypto'
import type { Keypair } from './keys.js'

/** Long enough for a slow network and a clock that is a little behind, s. */
const LIFETIME_S = 60

export interface TokenRequest {
  /** Who calls. */
  readonly did: string
  /** The key that the DID's document has as `#atproto`. */
  readonly key: Keypair
  /** The DID of the service that is called. */
  readonly audience: string
  /** The NSID of the method that is called. */
  readonly lxm: string
  /** ms since the epoch; now, when absent. */
  readonly nowMs?: number
}

/**
 * Makes a service-auth token: good for one call of one method on one service, within a minute
 * (https://atproto.com/specs/xrpc#inter-service-authentication-jwt).
 */
export async function mintServiceToken(request: TokenRequest): Promise<string> {
  const { did, key, audience, lxm, nowMs = Date.now() } = request
  const issuedAt = Math.floor(nowMs / 1_000)
  const claims = {
    iss: did,
    aud: audience,
    lxm,
    iat: issuedAt,
    exp: issuedAt + LIFETIME_S,
    jti: randomUUID(),
  }
  const signed = `${base64Url({ typ: 'JWT', alg: key.jwtAlg })}.${base64Url(claims)}`
  const signature = await key.sign(Buffer.from(signed))
  return `${signed}.${Buffer.from(signature).toString('base64url')}`
}

function base64Url(part: object): string {
  return Buffer.from(JSON.stringify(part)).toString('base64url')
}
