import { type Keypair, Secp256k1Keypair } from '@atproto/crypto'
import { didForCreateOp, signOperation } from '@did-plc/lib'
import { startDidWeb } from './did-web.js'
import type { TestPlc } from './plc.js'
import { type JwtParts, mintJwt } from './service-jwt.js'

/** Another atproto service with an identity of its own. It has no account anywhere. */
export interface Caller extends AsyncDisposable {
  readonly did: string
  /** The key that its document has as `#atproto`. */
  readonly key: Keypair
  /** A token of its own; right, unless parts of it are given. */
  serviceJwt(parts: JwtParts): Promise<string>
  /** The header that carries a fresh token. */
  authorization(parts: JwtParts): Promise<{ authorization: string }>
  /** Takes another key and publishes it. */
  rotateKey(): Promise<void>
}

/** A service with a did:plc. */
export async function createPlcCaller(plc: TestPlc): Promise<Caller> {
  const rotationKey = await Secp256k1Keypair.create()
  const key = await Secp256k1Keypair.create()
  const did = await registerDid(plc, { rotationKey, key })
  return createCaller({
    did,
    key,
    publish: async (next) => plc.client.updateAtprotoKey(did, rotationKey, next),
    close: async () => {},
  })
}

/** A did:plc by which others find a backfill service at its address. */
export async function createServiceDid(plc: TestPlc, endpoint: string): Promise<string> {
  const rotationKey = await Secp256k1Keypair.create()
  const key = await Secp256k1Keypair.create()
  const services = { atproto_backfill: { type: 'AtprotoBackfillService', endpoint } }
  return registerDid(plc, { rotationKey, key, services })
}

async function registerDid(
  plc: TestPlc,
  wish: {
    readonly rotationKey: Keypair
    readonly key: Keypair
    readonly services?: Record<string, { type: string; endpoint: string }>
  },
): Promise<string> {
  const { rotationKey, key, services = {} } = wish
  const operation = await signOperation(
    {
      type: 'plc_operation',
      rotationKeys: [rotationKey.did()],
      verificationMethods: { atproto: key.did() },
      alsoKnownAs: [],
      services,
      prev: null,
    },
    rotationKey,
  )
  const did = await didForCreateOp(operation)
  await plc.client.sendOperation(did, operation)
  return did
}

/** A service with a did:web on loopback, whose document goes off the network when it is disposed of. */
export async function createWebCaller(): Promise<Caller> {
  const web = await startDidWeb()
  const key = await Secp256k1Keypair.create()
  web.publish({ signingKey: key.did() })
  return createCaller({
    did: web.did,
    key,
    publish: async (next) => web.publish({ signingKey: next }),
    close: () => web[Symbol.asyncDispose](),
  })
}

function createCaller(identity: {
  did: string
  key: Keypair
  publish: (didKey: string) => Promise<void>
  close: () => PromiseLike<void>
}): Caller {
  const { did, publish, close } = identity
  let { key } = identity
  const serviceJwt = (parts: JwtParts) => mintJwt(did, key, parts)
  return {
    did,
    get key() {
      return key
    },
    serviceJwt,
    authorization: async (parts) => ({ authorization: `Bearer ${await serviceJwt(parts)}` }),
    async rotateKey() {
      const next = await Secp256k1Keypair.create()
      await publish(next.did())
      key = next
    },
    [Symbol.asyncDispose]: close,
  }
}
