import type { DidDocument } from '@atproto/common-web'
import { Secp256k1Keypair } from '@atproto/crypto'
import type { Store } from '../../src/store/database.js'
import { PostgresDidCache } from '../../src/store/did-cache.js'
import type { Caller } from '../support/network/caller.js'
import { mintJwt } from '../support/network/service-jwt.js'
import { didDocument } from '../support/simulation/documents.js'

const DID = 'did:plc:oraclecaller222222222222'

/** Somebody whose document a service knows already: the simulated directory has but one caller. */
export async function knownCaller(store: Pick<Store, 'db'>): Promise<Pick<Caller, 'did' | 'serviceJwt'>> {
  const key = await Secp256k1Keypair.create()
  const document = didDocument({ did: DID, handles: [], signingKey: key.did(), pds: null })
  await new PostgresDidCache(store.db, Date.now).cacheDid(DID, document as DidDocument)
  return { did: DID, serviceJwt: (parts) => mintJwt(DID, key, parts) }
}
