import { describe, expect, test } from 'vitest'
import { SYSTEM_CLOCK } from '../../src/client/clock.js'
import { BackfillError, RateLimitExceeded, ServiceUnreachable, TimeoutError } from '../../src/client/index.js'
import { retryDelay, retryPolicy } from '../../src/client/retry.js'
import { findFreePort } from '../support/network/loopback.js'
import {
  claimsOf,
  hang,
  jobView,
  ok,
  refuse,
  type Step,
  scriptedClient,
  startScripted,
  testClock,
} from './support.js'

const JOB = '3lbackfilljob'
const CREATE_JOB = 'network.example.backfill.createJob'

describe('attempts', () => {
  test.each([
    ['a 503', refuse(503, 'DirectoryUnavailable')],
    ['a 500', refuse(500, 'InternalServerError')],
    ['a 502 of a proxy', (response) => void response.writeHead(502).end('<html>Bad Gateway</html>')],
    ['a 429', refuse(429, 'RateLimitExceeded')],
    ['a connection that is cut', (_response, request) => void request.socket.destroy()],
    [
      'an answer that is cut in the middle',
      (response, request) => {
        response.writeHead(200, { 'content-type': 'application/json', 'content-length': '1000' })
        response.write('{"id":', () => request.socket.destroy())
      },
    ],
  ] as [string, Step][])(
    'after %s the call is made again, with the same client token and a new token',
    async (_, failure) => {
      await using service = await startScripted(failure, failure, ok(jobView()))
      const client = await scriptedClient(service.url)
      const before = Math.floor(Date.now() / 1_000)
      expect(await client.createJob({ collections: ['com.example.post'] })).toMatchObject({ id: JOB })
      expect(service.requests).toHaveLength(3)
      const inputs = new Set(service.requests.map(({ body }) => body))
      expect(inputs.size).toBe(1)
      expect(JSON.parse([...inputs][0]!)).toEqual({
        collections: ['com.example.post'],
        clientToken: expect.stringMatching(/^.{20,128}$/),
      })
      const claims = service.requests.map(claimsOf)
      for (const { iss, aud, lxm, iat, exp } of claims) {
        expect({ iss, aud, lxm }).toEqual({
          iss: 'did:web:caller.example.com',
          aud: 'did:web:service.example.com',
          lxm: CREATE_JOB,
        })
        expect(iat).toBeGreaterThanOrEqual(before)
        expect(exp).toBe((iat as number) + 60)
      }
      expect(new Set(claims.map(({ jti }) => jti)).size).toBe(3)
    },
  )

  test('two jobs get two client tokens, and one that is given is kept', async () => {
    await using service = await startScripted(ok(jobView()))
    const client = await scriptedClient(service.url)
    await client.createJob({ collections: ['com.example.post'] })
    await client.createJob({ collections: ['com.example.post'] })
    await client.createJob({ collections: ['com.example.post'], clientToken: 'mine' })
    const tokens = service.requests.map(({ body }) => JSON.parse(body).clientToken)
    expect(new Set(tokens).size).toBe(3)
    expect(tokens[2]).toBe('mine')
  })

  test('waits as long as the service says, and otherwise longer and longer', async () => {
    const clock = testClock(0.5)
    await using service = await startScripted(
      refuse(429, 'RateLimitExceeded', { 'retry-after': '7' }),
      refuse(503, 'Busy', { 'retry-after': 'Tue, 01 Jan 2030 00:00:30 GMT' }),
      refuse(503, 'Busy'),
      ok(jobView()),
    )
    const client = await scriptedClient(service.url, { clock, retry: {} })
    await client.getJobStatus(JOB)
    expect(clock.slept).toEqual([7_000, 30_000, 0.5 * 2_000])
  })

  test('leaves a wait that is too long to the caller', async () => {
    const clock = testClock()
    await using service = await startScripted(refuse(429, 'RateLimitExceeded', { 'retry-after': '61' }))
    const client = await scriptedClient(service.url, { clock, retry: {} })
    const error = await client.getJobStatus(JOB).catch((thrown: unknown) => thrown)
    expect(error).toBeInstanceOf(RateLimitExceeded)
    expect(error).toMatchObject({ status: 429, retryAfter: 61 })
    expect(service.requests).toHaveLength(1)
    expect(clock.slept).toEqual([])
  })

  test('ends after as many attempts as were asked for, with the last error', async () => {
    await using service = await startScripted(refuse(500, 'InternalServerError'), refuse(503, 'Busy'))
    const client = await scriptedClient(service.url, { retry: { attempts: 3, firstDelayMs: 1 } })
    const error = await client.listJobs().catch((thrown: unknown) => thrown)
    expect(error).toBeInstanceOf(BackfillError)
    expect(error).toMatchObject({ name: 'Busy', status: 503, message: 'because of Busy' })
    expect(service.requests).toHaveLength(3)
  })

  test.each([
    [400, 'InvalidRequest'],
    [401, 'JwtExpired'],
    [403, 'NotPermitted'],
    [413, 'PayloadTooLarge'],
    [501, 'MethodNotImplemented'],
  ])('a %i is final', async (status, name) => {
    await using service = await startScripted(refuse(status, name))
    const client = await scriptedClient(service.url)
    await expect(client.getJobStatus(JOB)).rejects.toMatchObject({ name, status })
    expect(service.requests).toHaveLength(1)
  })

  test('the delays stay between nothing and the limit', () => {
    const policy = retryPolicy({ attempts: 20 })
    const error = new BackfillError({ name: 'Busy', message: '', status: 503 })
    const most = Array.from({ length: 8 }, (_, index) => retryDelay(policy, error, index + 1, 1))
    expect(most).toEqual([500, 1_000, 2_000, 4_000, 8_000, 10_000, 10_000, 10_000])
    expect(retryDelay(policy, error, 3, 0)).toBe(0)
    expect(retryDelay(policy, error, 20, 0)).toBeNull()
  })
})

describe('without an answer', () => {
  test('says that nobody is there, and where', async () => {
    const url = `http://localhost:${await findFreePort()}`
    const client = await scriptedClient(url, { retry: { attempts: 2, firstDelayMs: 1 } })
    const error = await client.getJobStatus(JOB).catch((thrown: unknown) => thrown)
    expect(error).toBeInstanceOf(ServiceUnreachable)
    expect(error).toMatchObject({
      name: 'ServiceUnreachable',
      status: 0,
      message: `Cannot reach Aquifer at ${url}: connection refused. Is it running there?`,
    })
  })

  test('ends each attempt after timeoutMs, also in the middle of an answer', async () => {
    const stall: Step = (response) => {
      response.writeHead(200, { 'content-type': 'application/json' })
      response.write('{')
    }
    await using service = await startScripted(hang, stall)
    const client = await scriptedClient(service.url, {
      // Enough for a request to arrive on a busy machine.
      timeoutMs: 1_000,
      retry: { attempts: 2, firstDelayMs: 1 },
    })
    const error = await client.getJobStatus(JOB).catch((thrown: unknown) => thrown)
    expect(error).toBeInstanceOf(TimeoutError)
    expect(error).toMatchObject({ message: expect.stringContaining('did not answer') })
    expect(service.requests).toHaveLength(2)
  })
})

describe('abort', () => {
  test('before the call: nothing is sent', async () => {
    await using service = await startScripted(ok(jobView()))
    const client = await scriptedClient(service.url)
    const reason = new Error('never mind')
    await expect(client.getJobStatus(JOB, { signal: AbortSignal.abort(reason) })).rejects.toBe(reason)
    expect(service.requests).toHaveLength(0)
  })

  test('during a request', async () => {
    const controller = new AbortController()
    const reason = new Error('enough')
    await using service = await startScripted(() => controller.abort(reason))
    const client = await scriptedClient(service.url)
    await expect(client.createJob({}, { signal: controller.signal })).rejects.toBe(reason)
    expect(service.requests).toHaveLength(1)
  })

  test('during the wait for another attempt', async () => {
    const controller = new AbortController()
    const reason = new Error('enough')
    await using service = await startScripted(refuse(503, 'Busy', { 'retry-after': '30' }))
    const clock = {
      sleep(ms: number, signal?: AbortSignal) {
        const slept = SYSTEM_CLOCK.sleep(ms, signal)
        controller.abort(reason)
        return slept
      },
    }
    const client = await scriptedClient(service.url, { clock })
    const began = performance.now()
    await expect(client.getJobStatus(JOB, { signal: controller.signal })).rejects.toBe(reason)
    expect(performance.now() - began).toBeLessThan(25_000)
  })

  test('while waiting for a job', async () => {
    await using service = await startScripted(ok(jobView()))
    const client = await scriptedClient(service.url)
    const controller = new AbortController()
    const onProgress = () => controller.abort()
    const waiting = client.waitForJob(JOB, { pollMs: 60_000, onProgress, signal: controller.signal })
    await expect(waiting).rejects.toMatchObject({ name: 'AbortError' })
  })
})

describe('waitForJob', () => {
  test('sees the service through an outage, but not one that lasts', async () => {
    const down = refuse(503, 'Busy')
    await using service = await startScripted(
      ok(jobView()),
      down,
      down,
      ok(jobView({ status: 'paused' })),
      ok(jobView({ status: 'cancelled' })),
    )
    const client = await scriptedClient(service.url, { retry: { attempts: 1 }, clock: testClock() })
    const seen: string[] = []
    const job = await client.waitForJob(JOB, { pollMs: 5, onProgress: ({ status }) => seen.push(status) })
    expect(job.status).toBe('cancelled')
    expect(seen).toEqual(['running', 'paused', 'cancelled'])

    let now = 0
    const clock = {
      now: () => now,
      async sleep(ms: number) {
        now += ms
      },
    }
    await using lost = await startScripted(ok(jobView()), down)
    const other = await scriptedClient(lost.url, { retry: { attempts: 1 }, clock })
    await expect(other.waitForJob(JOB, { pollMs: 10_000 })).rejects.toMatchObject({ name: 'Busy' })
    expect(now).toBe(310_000)
  })

  test('does not wait for a service that never answered, or for what will not change', async () => {
    await using service = await startScripted(refuse(503, 'Busy'))
    const client = await scriptedClient(service.url, { retry: { attempts: 1 } })
    await expect(client.waitForJob(JOB)).rejects.toMatchObject({ name: 'Busy' })
    await using gone = await startScripted(ok(jobView()), refuse(400, 'JobNotFound'))
    const other = await scriptedClient(gone.url)
    await expect(other.waitForJob(JOB, { pollMs: 1 })).rejects.toMatchObject({ name: 'JobNotFound' })
  })
})
