import type { Keypair } from '@atproto/crypto'
import { beforeEach, describe, expect, it } from 'vitest'
import { addressBucket, clientAddress } from '../../src/auth/client-address.js'
import { createFailureLimiter, TooManyFailures } from '../../src/auth/limiter.js'
import { ALICE, createWorld, makeToken, newK256, request, type World } from './auth-support.js'

let key: Keypair
let world: World
const UnknownIssuer = { status: 401, error: 'UnknownIssuer' }
const RateLimitExceeded = { status: 429, error: 'RateLimitExceeded' }

beforeEach(async () => {
  key = await newK256()
  // No limiter given: the default one, 30 failures a minute.
  world = createWorld({ [ALICE]: key }, { limiter: undefined })
})

let strangers = 0
/** A token of an issuer that nobody has heard of: the dearest kind, as each costs a look-up. */
const strangerToken = () => {
  const digits = (strangers++).toString(6).replace(/./g, (digit) => String.fromCharCode(98 + Number(digit)))
  return makeToken(key, { iss: `did:plc:${digits.padStart(24, 'a')}` })
}

describe('failed authentications', () => {
  it('are refused after thirty in a minute, before any DID is resolved', async () => {
    for (let i = 0; i < 30; i++) expect(await world.call(await strangerToken())).toMatchObject(UnknownIssuer)
    expect(world.lookUps).toHaveLength(30)
    expect(await world.call(await strangerToken())).toMatchObject(RateLimitExceeded)
    expect(await world.call(await makeToken(key))).toMatchObject({
      ...RateLimitExceeded,
      message: expect.stringContaining('60 s'),
    })
    expect(world.lookUps).toHaveLength(30)
    const elsewhere = { address: '192.0.2.2' }
    expect(await world.call(await makeToken(key), 'read', elsewhere)).toEqual({ did: ALICE })
  })

  it('are forgotten a minute after the first', async () => {
    for (let i = 0; i < 30; i++) {
      await world.call('a.b.c')
      world.nowMs += 1_000
    }
    world.nowMs += 29_999
    expect(await world.call('a.b.c')).toMatchObject({
      ...RateLimitExceeded,
      message: expect.stringContaining(' 1 s'),
    })
    world.nowMs += 1
    for (let i = 0; i < 30; i++) expect(await world.call('a.b.c')).toMatchObject({ error: 'BadJwt' })
    expect(await world.call('a.b.c')).toMatchObject(RateLimitExceeded)
  })

  it('sent all at once reach the directory no more often than one by one', async () => {
    let arrived = 0
    world.beforeLookUp = async () => {
      arrived += 1
      await new Promise((resolve) => setImmediate(resolve))
    }
    const tokens = await Promise.all(Array.from({ length: 100 }, strangerToken))
    const outcomes = await Promise.all(tokens.map((token) => world.call(token)))
    expect(arrived).toBe(30)
    expect(
      outcomes.filter((outcome) => 'error' in outcome && outcome.error === 'UnknownIssuer'),
    ).toHaveLength(30)
    expect(outcomes.filter((outcome) => 'status' in outcome && outcome.status === 429)).toHaveLength(70)
  })

  it('successes are never counted, however many come at once', async () => {
    const tokens = await Promise.all(Array.from({ length: 200 }, () => makeToken(key)))
    const outcomes = await Promise.all(tokens.map((token) => world.call(token)))
    expect(outcomes).toEqual(tokens.map(() => ({ did: ALICE })))
  })

  it('of one /64 count together', async () => {
    for (let i = 0; i < 30; i++)
      await world.call('a.b.c', 'read', { address: `2001:db8:1:2::${i.toString(16)}` })
    const call = async (address: string) => world.call(await makeToken(key), 'read', { address })
    expect(await call('2001:db8:1:2:ffff::1')).toMatchObject(RateLimitExceeded)
    expect(await call('2001:db8:1:3::1')).toEqual({ did: ALICE })
  })

  it('a missing permission, or a fault of our own, is not a failed authentication', async () => {
    let fault: Error | null = null
    const rememberJti = async () => {
      if (fault) throw fault
      return true
    }
    const limiter = createFailureLimiter({ now: () => 0, failuresMax: 1 })
    world = createWorld({ [ALICE]: key }, { limiter, rememberJti })
    for (let i = 0; i < 3; i++)
      expect(await world.call(await makeToken(key), 'admin')).toMatchObject({ status: 403 })
    fault = new Error('the database is gone')
    for (let i = 0; i < 3; i++) await expect(world.call(await makeToken(key))).rejects.toThrow()
    fault = null
    expect(await world.call(await makeToken(key))).toEqual({ did: ALICE })
  })
})

describe('the limiter', () => {
  it('remembers a bounded number of addresses, those heard of last', async () => {
    const limiter = createFailureLimiter({ now: () => 0, failuresMax: 1, addressesMax: 2 })
    const fail = async (address: string) => (await limiter.begin(address)).end(true)
    await fail('a')
    await fail('b')
    await expect(limiter.begin('a')).rejects.toThrow(TooManyFailures)
    await fail('c')
    await expect(limiter.begin('a')).rejects.toThrow(TooManyFailures)
    await expect(limiter.begin('c')).rejects.toThrow(TooManyFailures)
    await fail('b')
  })

  it('keeps addresses without failures only while they have a turn', async () => {
    const limiter = createFailureLimiter({ now: () => 0, failuresMax: 1, addressesMax: 2 })
    ;(await limiter.begin('a')).end(true)
    for (const address of ['b', 'c', 'd', 'e']) (await limiter.begin(address)).end(false)
    await expect(limiter.begin('a')).rejects.toThrow(TooManyFailures)
  })

  it('lets the next one in when a turn ends well, and refuses all who wait when it does not', async () => {
    const limiter = createFailureLimiter({ now: () => 0, failuresMax: 1 })
    const first = await limiter.begin('a')
    const waiting = [limiter.begin('a'), limiter.begin('a'), limiter.begin('a')]
    const outcomes = Promise.allSettled(waiting)
    first.end(false)
    const second = await waiting[0]
    second?.end(true)
    expect((await outcomes).map((outcome) => outcome.status)).toEqual(['fulfilled', 'rejected', 'rejected'])
  })

  it('lets in those who waited past the end of the window', async () => {
    let nowMs = 0
    const limiter = createFailureLimiter({ now: () => nowMs, failuresMax: 2, windowMs: 10 })
    ;(await limiter.begin('a')).end(true)
    const slow = await limiter.begin('a')
    const waiting = [limiter.begin('a'), limiter.begin('a')]
    nowMs = 10
    slow.end(true)
    await waiting[0]
    ;(await waiting[0])?.end(false)
    expect(await waiting[1]).toBeDefined()
  })
})

describe('addresses', () => {
  it.each([
    ['192.0.2.1', '192.0.2.1'],
    ['::ffff:192.0.2.1', '192.0.2.1'],
    ['::FFFF:c000:0201', '192.0.2.1'],
    ['192.0.2.1:40312', '192.0.2.1'],
    ['2001:db8:1:2:3:4:5:6', '2001:db8:1:2::/64'],
    ['2001:DB8:1:2::9', '2001:db8:1:2::/64'],
    ['2001:db8::', '2001:db8:0:0::/64'],
    ['[2001:db8::1]:443', '2001:db8:0:0::/64'],
    ['::1', '0:0:0:0::/64'],
    ['fe80::1%eth0', 'fe80:0:0:0::/64'],
    ['', 'unknown'],
    ['unknown', 'unknown'],
    ['999.1.1.1', 'unknown'],
    ['example.com', 'unknown'],
  ])('%s counts as %s', (address, bucket) => {
    expect(addressBucket(address)).toBe(bucket)
  })

  it.each([
    [0, undefined, '10.0.0.9'],
    [0, '1.1.1.1', '10.0.0.9'],
    [1, undefined, '10.0.0.9'],
    [1, '1.1.1.1', '1.1.1.1'],
    [1, '6.6.6.6, 1.1.1.1', '1.1.1.1'],
    [2, '6.6.6.6,1.1.1.1 , 10.0.0.8', '1.1.1.1'],
    [2, '10.0.0.8', '10.0.0.8'],
    [1, ' , ,', '10.0.0.9'],
  ])('behind %i proxies, forwarded for %s: %s', (proxies, forwarded, address) => {
    const req = request(undefined, undefined, '10.0.0.9')
    if (forwarded !== undefined) req.headers['x-forwarded-for'] = forwarded
    expect(clientAddress(req, proxies)).toBe(address)
  })
})
