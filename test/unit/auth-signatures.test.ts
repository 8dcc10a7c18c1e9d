import type { Keypair } from '@atproto/crypto'
import { beforeAll, describe, expect, it } from 'vitest'
import {
  ALICE,
  base64Url,
  createWorld,
  goodClaims,
  jsonPart,
  makeToken,
  newK256,
  newP256,
  SERVICE_B,
  START_MS,
  type World,
} from './auth-support.js'

let k256: Keypair
let p256: Keypair
let stranger: Keypair
let world: World
const now = START_MS / 1_000

beforeAll(async () => {
  k256 = await newK256()
  p256 = await newP256()
  stranger = await newK256()
})

/** A fresh world per call, so that look-ups and remembered tokens belong to one token. */
async function call(token: string) {
  world = createWorld({ [ALICE]: k256, [SERVICE_B]: p256 })
  return world.call(token)
}

describe('signatures', () => {
  const BadJwtSignature = { status: 401, error: 'BadJwtSignature' }

  it('of another key of the same curve', async () => {
    expect(await call(await makeToken(stranger))).toMatchObject(BadJwtSignature)
    expect(world.remembered).toEqual([])
  })

  it('of another curve than the issuer has', async () => {
    expect(await call(await makeToken(p256))).toMatchObject(BadJwtSignature)
  })

  it('of the right key under the wrong alg', async () => {
    expect(await call(await makeToken(k256, {}, { alg: 'ES256' }))).toMatchObject(BadJwtSignature)
  })

  it('of other claims', async () => {
    const [header, , signature] = (await makeToken(k256)).split('.')
    expect(await call(`${header}.${jsonPart(goodClaims())}.${signature}`)).toMatchObject(BadJwtSignature)
  })

  it('of another header', async () => {
    const [, payload, signature] = (await makeToken(k256)).split('.')
    const header = jsonPart({ alg: 'ES256K', typ: 'JWT' })
    expect(await call(`${header}.${payload}.${signature}`)).toMatchObject(BadJwtSignature)
  })

  it.each(['', base64Url(new Uint8Array(63)), base64Url(new Uint8Array(65))])(
    'of the wrong length',
    async (signature) => {
      const [header, payload] = (await makeToken(k256)).split('.')
      expect(await call(`${header}.${payload}.${signature}`)).toMatchObject(BadJwtSignature)
      expect(world.lookUps).toEqual([])
    },
  )

  it('of zeros, and of numbers above the order', async () => {
    const [header, payload] = (await makeToken(k256)).split('.')
    for (const byte of [0, 255]) {
      const signature = base64Url(new Uint8Array(64).fill(byte))
      expect(await call(`${header}.${payload}.${signature}`)).toMatchObject(BadJwtSignature)
    }
  })

  it.each([
    ['K-256', () => k256, ALICE, 0xfffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141n],
    ['P-256', () => p256, SERVICE_B, 0xffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551n],
  ] as const)(
    'that are malleable, on %s: the message tells the issuer what to mend',
    async (_, key, issuer, order) => {
      const [header, payload, signature] = (await makeToken(key(), { iss: issuer })).split('.')
      const bytes = Buffer.from(signature ?? '', 'base64url')
      const high = order - BigInt(`0x${bytes.subarray(32).toString('hex')}`)
      const flipped = Buffer.concat([
        bytes.subarray(0, 32),
        Buffer.from(high.toString(16).padStart(64, '0'), 'hex'),
      ])
      const outcome = await call(`${header}.${payload}.${base64Url(flipped)}`)
      expect(outcome).toMatchObject({ ...BadJwtSignature, message: expect.stringContaining('low-S') })
      // The key was right: nobody needs to be asked again.
      expect(world.lookUps).toEqual([issuer])
      expect(await world.call(`${header}.${payload}.${signature}`)).toEqual({ did: issuer })
    },
  )

  it('by a key of a kind that we do not know', async () => {
    world = createWorld({ [ALICE]: k256 })
    world.directory.set(ALICE, 'did:key:z6MkhaXgBZDvotDkL5257faiztiGiC2QtKLGpbnnEGta2doK')
    expect(await world.call(await makeToken(k256))).toMatchObject(BadJwtSignature)
  })
})

describe('replays', () => {
  it('a token works once', async () => {
    world = createWorld({ [ALICE]: k256, [SERVICE_B]: p256 })
    const token = await makeToken(k256, { jti: 'same' })
    expect(await world.call(token)).toEqual({ did: ALICE })
    expect(await world.call(token)).toMatchObject({ status: 401, error: 'JwtReplayed' })
    expect(await world.call(await makeToken(k256, { jti: 'same', exp: now + 9 }))).toMatchObject({
      error: 'JwtReplayed',
    })
    expect(await world.call(await makeToken(p256, { iss: SERVICE_B, jti: 'same' }))).toEqual({
      did: SERVICE_B,
    })
  })

  it('of two requests at the same time, one is refused', async () => {
    world = createWorld({ [ALICE]: k256 })
    const token = await makeToken(k256)
    const outcomes = await Promise.all([world.call(token), world.call(token)])
    expect(outcomes).toContainEqual({ did: ALICE })
    expect(outcomes).toContainEqual(expect.objectContaining({ error: 'JwtReplayed' }))
  })

  it('a forged token does not use up the jti of a real one', async () => {
    world = createWorld({ [ALICE]: k256 })
    expect(await world.call(await makeToken(stranger, { jti: 'mine' }))).toMatchObject({
      error: 'BadJwtSignature',
    })
    expect(await world.call(await makeToken(k256, { jti: 'mine' }))).toEqual({ did: ALICE })
  })
})
