import { verifySignature } from '@atproto/crypto'
import type { ServiceJwt } from './jwt.js'

export type SignatureVerdict = 'valid' | 'malleable' | 'invalid'

/**
 * Checks a token's signature. `malleable`: the key made it, but s is in the upper half of the curve's order,
 * which atproto forbids and many general JWT libraries produce every other time; worth telling apart, because
 * neither a fresh key nor a retry will help.
 * @param didKey the issuer's key as a did:key; one of another curve than `alg` says verifies nothing
 */
export async function checkSignature(jwt: ServiceJwt, didKey: string): Promise<SignatureVerdict> {
  if (await holds(jwt, didKey, false)) return 'valid'
  return (await holds(jwt, didKey, true)) ? 'malleable' : 'invalid'
}

async function holds(jwt: ServiceJwt, didKey: string, allowMalleableSig: boolean): Promise<boolean> {
  try {
    return await verifySignature(didKey, jwt.signedBytes, jwt.signature, {
      jwtAlg: jwt.algorithm,
      allowMalleableSig,
    })
  } catch {
    // It throws for a key of another curve or of no known kind, and for numbers outside of the curve's order.
    return false
  }
}
