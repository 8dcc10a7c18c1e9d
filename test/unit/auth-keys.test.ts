import type { Keypair } from '@atproto/crypto'
import { beforeEach, describe, expect, it } from 'vitest'
import { IssuerUnresolvable } from '../../src/auth/errors.js'
import { createKeyRefresher } from '../../src/auth/key-refresh.js'
import { createFailureLimiter } from '../../src/auth/limiter.js'
import { ALICE, createWorld, makeToken, newK256, newP256, SERVICE_B, type World } from './auth-support.js'

let oldKey: Keypair
let newKey: Keypair
let world: World
const BadJwtSignature = { status: 401, error: 'BadJwtSignature' }
const DirectoryUnavailable = { status: 503, error: 'DirectoryUnavailable' }

beforeEach(async () => {
  oldKey = await newK256()
  newKey = await newP256()
  world = createWorld({ [ALICE]: oldKey })
})

async function rotate(): Promise<void> {
  await world.call(await makeToken(oldKey))
  world.directory.set(ALICE, newKey.did())
  world.lookUps.length = 0
}

describe('a rotated key', () => {
  it('is found with one look-up, across curves, and the old one works no more', async () => {
    await rotate()
    expect(await world.call(await makeToken(newKey))).toEqual({ did: ALICE })
    expect(world.lookUps).toEqual([ALICE])
    expect(await world.call(await makeToken(newKey))).toEqual({ did: ALICE })
    expect(await world.call(await makeToken(oldKey))).toMatchObject(BadJwtSignature)
    expect(world.lookUps).toEqual([ALICE])
  })

  it('lets all requests pass that arrive together', async () => {
    await rotate()
    const tokens = await Promise.all(Array.from({ length: 20 }, () => makeToken(newKey)))
    const outcomes = await Promise.all(tokens.map((token) => world.call(token)))
    expect(outcomes).toEqual(tokens.map(() => ({ did: ALICE })))
    expect(world.lookUps).toEqual([ALICE])
  })

  it('that was withdrawn does not come back while refreshes pause', async () => {
    await rotate()
    await world.call(await makeToken(newKey))
    // Another process learns of a second rotation and writes the shared cache.
    const third = await newK256()
    world.cache.set(ALICE, third.did())
    expect(await world.call(await makeToken(newKey))).toMatchObject(BadJwtSignature)
    expect(await world.call(await makeToken(third))).toEqual({ did: ALICE })
  })
})

describe('bad signatures', () => {
  it('cost the directory one look-up per issuer and minute', async () => {
    await world.call(await makeToken(oldKey))
    world.lookUps.length = 0
    const bad = async () => expect(await world.call(await makeToken(newKey))).toMatchObject(BadJwtSignature)
    for (let i = 0; i < 5; i++) await bad()
    expect(world.lookUps).toHaveLength(1)
    world.nowMs += 59_999
    await bad()
    expect(world.lookUps).toHaveLength(1)
    world.nowMs += 1
    await bad()
    expect(world.lookUps).toHaveLength(2)
  })

  it('of one issuer do not delay another', async () => {
    world = createWorld({ [ALICE]: oldKey, [SERVICE_B]: oldKey })
    await world.call(await makeToken(newKey))
    await world.call(await makeToken(oldKey, { iss: SERVICE_B }))
    world.directory.set(SERVICE_B, newKey.did())
    expect(await world.call(await makeToken(newKey, { iss: SERVICE_B }))).toEqual({ did: SERVICE_B })
  })

  it('are remembered for a bounded number of issuers', async () => {
    const forced: string[] = []
    const resolve = async (did: string, forceRefresh: boolean) => {
      if (forceRefresh) forced.push(did)
      return did
    }
    const refresh = createKeyRefresher({ resolve, now: () => 0, issuersMax: 2 })
    for (const did of ['a', 'b', 'b', 'c', 'b', 'a']) await refresh(did)
    expect(forced).toEqual(['a', 'b', 'c', 'a'])
  })
})

describe('issuers that cannot be resolved', () => {
  it('an unknown issuer is a 401', async () => {
    world.directory.delete(ALICE)
    expect(await world.call(await makeToken(oldKey))).toMatchObject({ status: 401, error: 'UnknownIssuer' })
    expect(world.remembered).toEqual([])
  })

  it('an issuer that is found to be gone when its key is asked for again is a 401', async () => {
    await rotate()
    world.directory.delete(ALICE)
    expect(await world.call(await makeToken(newKey))).toMatchObject({ status: 401, error: 'UnknownIssuer' })
  })

  it('a failing directory is a 503', async () => {
    const fault = new IssuerUnresolvable('timeout')
    world.beforeLookUp = () => Promise.reject(fault)
    const outcome = await world.call(await makeToken(oldKey))
    expect(outcome).toMatchObject({ ...DirectoryUnavailable, cause: fault })
    expect(outcome).not.toMatchObject({ message: expect.stringContaining(fault.message) })
    world.beforeLookUp = async () => {}
    expect(await world.call(await makeToken(oldKey))).toEqual({ did: ALICE })
  })

  it('a fault of our own is not taken for a failing directory', async () => {
    const fault = new TypeError('a bug')
    world.beforeLookUp = () => Promise.reject(fault)
    await expect(world.call(await makeToken(oldKey))).rejects.toMatchObject({ cause: fault })
  })

  it('a directory that fails when a key may have been rotated is a 503 too, and is left alone for a minute', async () => {
    await rotate()
    world.beforeLookUp = () => Promise.reject(new IssuerUnresolvable('timeout'))
    for (let i = 0; i < 3; i++) {
      expect(await world.call(await makeToken(newKey))).toMatchObject(DirectoryUnavailable)
    }
    expect(world.lookUps).toHaveLength(1)
    world.beforeLookUp = async () => {}
    world.nowMs += 60_000
    const expiry = { exp: world.nowMs / 1_000 + 60 }
    expect(await world.call(await makeToken(newKey, expiry))).toEqual({ did: ALICE })
  })

  it('the failure of a did:web counts against its address, that of the directory does not', async () => {
    const limiter = createFailureLimiter({ now: () => world.nowMs, failuresMax: 1 })
    world = createWorld({}, { limiter })
    world.beforeLookUp = () => Promise.reject(new IssuerUnresolvable('timeout'))
    const plc = async () => world.call(await makeToken(oldKey))
    const web = async () => world.call(await makeToken(oldKey, { iss: 'did:web:slow.example' }))
    expect(await plc()).toMatchObject(DirectoryUnavailable)
    expect(await plc()).toMatchObject(DirectoryUnavailable)
    expect(await web()).toMatchObject(DirectoryUnavailable)
    expect(await web()).toMatchObject({ status: 429 })
  })
})
