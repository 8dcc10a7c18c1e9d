import { P256Keypair, Secp256k1Keypair } from '@atproto/crypto'
import type { Caller } from './caller.js'
import { base64Url, type JwtParts, jsonPart, mintJwt, signParts } from './service-jwt.js'

const HOUR_S = 60 * 60

type Mint = (caller: Caller, right: JwtParts) => Promise<string> | string

const seconds = (fromNow: number) => Math.floor(Date.now() / 1_000) + fromNow

/** A caller's own token with some parts other than they should be. */
const altered =
  (changes: () => Partial<JwtParts>): Mint =>
  (caller, right) =>
    caller.serviceJwt({ ...right, ...changes() })

/** Tokens that a service must refuse, each wrong in one way. */
export const wrongJwts = {
  'another audience': altered(() => ({ aud: 'did:web:another.example' })),
  'no audience': altered(() => ({ aud: null })),
  'another method': altered(() => ({ lxm: 'com.atproto.repo.createRecord' })),
  'no method': altered(() => ({ lxm: null })),
  expired: altered(() => ({ iat: seconds(-HOUR_S), exp: seconds(-HOUR_S / 2) })),
  'valid for two hours': altered(() => ({ exp: seconds(2 * HOUR_S) })),
  'no expiry': altered(() => ({ exp: null })),
  'issued in the future': altered(() => ({ iat: seconds(HOUR_S / 2), exp: seconds(HOUR_S / 2 + 60) })),
  'no jti': altered(() => ({ jti: null })),
  'an empty jti': altered(() => ({ jti: '' })),
  'a key that is not there': altered(() => ({ kid: '#nobody' })),
  'a session token': altered(() => ({ typ: 'at+jwt' })),
  'an issuer that is no DID': altered(() => ({ iss: 'caller.example' })),
  'an issuer that does not exist': altered(() => ({ iss: 'did:plc:aaaaaaaaaaaaaaaaaaaaaaaa' })),
  'HMAC instead of a signature': altered(() => ({ alg: 'HS256' })),
  'issued by a did:key': async (_caller, right) => {
    const key = await Secp256k1Keypair.create()
    return mintJwt(key.did(), key, right)
  },
  'signed by another key': async (caller, right) =>
    caller.serviceJwt({ ...right, key: await Secp256k1Keypair.create() }),
  'signed on another curve': async (caller, right) =>
    caller.serviceJwt({ ...right, key: await P256Keypair.create() }),
  'changed after signing': async (caller, right) => {
    const [header, payload, signature] = (await caller.serviceJwt(right)).split('.')
    const claims = JSON.parse(Buffer.from(payload!, 'base64url').toString('utf8'))
    return `${header}.${jsonPart({ ...claims, exp: claims.exp + 1 })}.${signature}`
  },
  'not signed': async (caller, right) => {
    const [, payload] = (await caller.serviceJwt(right)).split('.')
    return `${jsonPart({ typ: 'JWT', alg: 'none' })}.${payload}.`
  },
  'parts that are not JSON': (caller) => signParts(caller.key, base64Url('a'), base64Url('b')),
  'parts that are not base64url': () => 'a.b.c',
  'one part': () => 'token',
} satisfies Record<string, Mint>

export type WrongJwt = keyof typeof wrongJwts
