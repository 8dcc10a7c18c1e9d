import { type Keypair, Secp256k1Keypair } from '@atproto/crypto'
import type { Caller } from '../network/caller.js'
import { type JwtParts, mintJwt } from '../network/service-jwt.js'
import { didDocument } from './documents.js'

const CALLER_DID = 'did:plc:simulationcaller22222222'

/**
 * Another atproto service, whose did:plc is in the simulated directory. It has no account anywhere.
 * @param publish takes its document, and every later one
 */
export async function createCaller(publish: (did: string, document: object) => void): Promise<Caller> {
  const takeKey = async (): Promise<Keypair> => {
    const taken = await Secp256k1Keypair.create()
    const parts = { did: CALLER_DID, handles: [], signingKey: taken.did(), pds: null }
    publish(CALLER_DID, didDocument(parts))
    return taken
  }
  let key = await takeKey()
  const serviceJwt = (parts: JwtParts) => mintJwt(CALLER_DID, key, parts)
  return {
    did: CALLER_DID,
    get key() {
      return key
    },
    serviceJwt,
    authorization: async (parts) => ({ authorization: `Bearer ${await serviceJwt(parts)}` }),
    async rotateKey() {
      key = await takeKey()
    },
    async [Symbol.asyncDispose]() {},
  }
}
