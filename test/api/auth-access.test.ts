import { Secp256k1Keypair } from '@atproto/crypto'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type Caller, createPlcCaller } from '../support/network/caller.js'
import { mintJwt } from '../support/network/service-jwt.js'
import type { TestService } from '../support/service.js'
import { ask, askAs, askWith, expectRefused, METHOD, newAddress, startBehindProxy } from './auth-support.js'
import { type Directory, startDirectory } from './support.js'

let network: Directory
let service: TestService

beforeAll(async () => {
  network = await startDirectory()
  service = await startBehindProxy({ network })
})

afterAll(async () => {
  await service?.[Symbol.asyncDispose]()
  await network?.[Symbol.asyncDispose]()
})

describe('who may call', () => {
  let strict: TestService
  let admin: Caller
  let listed: Caller
  let stranger: Caller
  beforeAll(async () => {
    admin = await createPlcCaller(network.plc)
    listed = await createPlcCaller(network.plc)
    stranger = await createPlcCaller(network.plc)
    strict = await startBehindProxy({
      network,
      environment: { BACKFILL_ACCESS: 'allowlist', BACKFILL_ADMINS: admin.did, BACKFILL_ALLOW: listed.did },
    })
  })
  afterAll(() => strict?.[Symbol.asyncDispose]())

  test('are those listed and the admins; others are told that they are known, and may not', async () => {
    expect((await askAs(strict, listed)).status).toBe(200)
    expect((await askAs(strict, admin)).status).toBe(200)
    const answer = await askAs(strict, stranger)
    expectRefused(answer, 403, 'NotPermitted')
    expect(answer.json).toMatchObject({ message: expect.stringContaining(stranger.did) })
    const refused = strict.as(stranger).createJob({ collections: ['network.example.status'] })
    await expect(refused).rejects.toMatchObject({ status: 403, error: 'NotPermitted' })
    expect((await strict.as(stranger).describeService()).data.did).toBe(strict.did)
  })

  test('is everybody where access is open', async () => {
    expect((await askAs(service, stranger)).status).toBe(200)
  })

  test('an admin sees every job, a caller its own', async () => {
    const { data: job } = await strict.as(listed).createJob({ collections: ['network.example.status'] })
    expect((await strict.as(admin).getJobStatus({ job: job.id })).data).toEqual(job)
    const { data: theirs } = await strict.as(admin).createJob({ collections: ['network.example.status'] })
    const hidden = strict.as(listed).getJobStatus({ job: theirs.id })
    await expect(hidden).rejects.toMatchObject({ status: 400, error: 'JobNotFound' })
  })

  test('a refusal for want of permission is no failed authentication', async () => {
    const address = newAddress()
    for (let n = 0; n < 35; n += 1) {
      const token = await stranger.serviceJwt({ aud: strict.did, lxm: METHOD })
      expect((await askWith(strict, token, address)).status).toBe(403)
    }
  })
})

describe('an address that fails too often', () => {
  const unknownIssuer = async () => {
    const key = await Secp256k1Keypair.create()
    return mintJwt('did:plc:aaaaaaaaaaaaaaaaaaaaaaaa', key, { aud: service.did, lxm: METHOD })
  }

  test('is refused for a while, whatever it brings, and others are not', async () => {
    const [address, caller] = [newAddress(), await createPlcCaller(network.plc)]
    for (let n = 0; n < 30; n += 1) expect((await ask(service, null, address)).status).toBe(401)
    const token = await caller.serviceJwt({ aud: service.did, lxm: METHOD })
    const answer = await askWith(service, token, address)
    expectRefused(answer, 429, 'RateLimitExceeded')
    const header = (name: string) => answer.headers.get(name)
    expect(header('ratelimit-limit')).toBe('30')
    expect(header('ratelimit-remaining')).toBe('0')
    expect(header('ratelimit-policy')).toBe('30;w=60')
    const seconds = Number(header('retry-after'))
    expect(seconds).toBeGreaterThan(50)
    expect(seconds).toBeLessThanOrEqual(60)
    expect(Math.abs(Number(header('ratelimit-reset')) - Date.now() / 1_000 - seconds)).toBeLessThan(3)
    // Nothing looked at the token.
    expect((await askWith(service, token, newAddress())).status).toBe(200)
  })

  test('cannot make more look-ups by sending all at once', async () => {
    const address = newAddress()
    const tokens = await Promise.all(Array.from({ length: 60 }, unknownIssuer))
    network.plc.requests.reset()
    const answers = await Promise.all(tokens.map((token) => askWith(service, token, address)))
    expect(answers.filter(({ status }) => status === 401)).toHaveLength(30)
    expect(answers.filter(({ status }) => status === 429)).toHaveLength(30)
    expect(network.plc.requests.total).toBeLessThanOrEqual(30)
    expect((await ask(service, null, address)).status).toBe(429)
    expect(network.plc.requests.total).toBeLessThanOrEqual(30)
  })

  test('is one that nobody can make up', async () => {
    const [proxied, direct] = [
      service,
      await startBehindProxy({ network, environment: { TRUST_PROXY: '0' } }),
    ]
    await using _ = direct
    for (let n = 0; n < 30; n += 1) {
      // Behind the proxy its own entry counts, which comes last.
      await ask(proxied, null, `${newAddress()}, 203.0.113.9`)
      await ask(direct, null, newAddress())
    }
    expect((await ask(proxied, null, `${newAddress()}, 203.0.113.9`)).status).toBe(429)
    expect((await ask(direct, null, newAddress())).status).toBe(429)
  })

  test('is not one from which many are let in at once', async () => {
    const [address, caller] = [newAddress(), await createPlcCaller(network.plc)]
    const calls = Array.from({ length: 60 }, async () =>
      askWith(service, await caller.serviceJwt({ aud: service.did, lxm: METHOD }), address),
    )
    expect(new Set((await Promise.all(calls)).map(({ status }) => status))).toEqual(new Set([200]))
  })

  test('is not one that only cannot be helped while the directory is down', async () => {
    const [address, caller] = [newAddress(), await createPlcCaller(network.plc)]
    const call = async () => {
      const token = await caller.serviceJwt({ aud: service.did, lxm: METHOD })
      return (await askWith(service, token, address)).status
    }
    await network.plc.stop()
    try {
      for (let n = 0; n < 35; n += 1) expect(await call()).toBe(503)
    } finally {
      await network.plc.restart()
    }
    expect(await call()).toBe(200)
  })
})
