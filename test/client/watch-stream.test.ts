import { MessageFrame } from '@atproto/xrpc-server'
import { describe, expect, test } from 'vitest'
import {
  AuthenticationFailed,
  BackfillError,
  FutureCursor,
  InvalidResponse,
  JobNotFound,
  NotPermitted,
  type Reconnect,
  ServiceUnreachable,
  type StreamOptions,
  TimeoutError,
} from '../../src/client/index.js'
import { retryPolicy } from '../../src/client/retry.js'
import { reconnectDelay } from '../../src/client/stream.js'
import { findFreePort, LoopbackServer } from '../support/network/loopback.js'
import { eventually } from '../support/wait.js'
import {
  brief,
  completed,
  discovered,
  frame,
  JOB,
  type Play,
  refusal,
  sending,
  startStreaming,
  whileOpen,
} from './stream-support.js'
import { collect, jobView, scriptedClient, testClock } from './support.js'

/** A clock whose time passes only while it sleeps. */
function sleepingClock() {
  const start = Date.parse('2030-01-01T00:00:00Z')
  const slept: number[] = []
  const passed = () => slept.reduce((sum, ms) => sum + ms, 0)
  return {
    slept,
    now: () => start + passed(),
    random: () => 0.5,
    async sleep(ms: number, signal?: AbortSignal) {
      signal?.throwIfAborted()
      slept.push(ms)
    },
  }
}

describe('a stream', () => {
  test('gives typed messages under short names and ends with the job', async () => {
    await using service = await startStreaming(
      sending(
        frame('jobSnapshot', { seq: 1, view: jobView({ id: JOB }) }),
        frame('jobStageChanged', { seq: 2, stage: 'resolving-and-fetching' }),
        new MessageFrame({ name: 'OutdatedCursor' }, { type: '#info' }),
        frame('repoFailed', {
          seq: 3,
          did: 'did:web:a.test',
          class: 'timeout',
          message: 'no answer',
          retryable: true,
        }),
        completed(4),
        discovered(5),
      ),
    )
    const client = await scriptedClient(service.url)
    const messages = await collect(client.watch(JOB))
    expect(messages.map(brief)).toEqual([
      'jobSnapshot 1',
      'jobStageChanged 2',
      'info',
      'repoFailed 3',
      'jobCompleted 4',
    ])
    const [snapshot] = messages
    expect(snapshot).toMatchObject({ type: 'jobSnapshot', view: { id: JOB } })
    expect(snapshot).not.toHaveProperty('$type')
    await eventually(
      () => service.open,
      (open) => open === 0,
    )
    expect(service.arrivals).toHaveLength(1)
  })

  test('asks for a job and a cursor, and calls itself by name', async () => {
    await using service = await startStreaming(sending(completed(8)))
    const client = await scriptedClient(service.url, { userAgent: 'feeds/1.0' })
    await collect(client.watch(JOB, { cursor: 0 }))
    const [{ url, headers }] = service.arrivals as [(typeof service.arrivals)[0]]
    expect(url.pathname).toBe('/xrpc/network.example.backfill.subscribeJob')
    expect(Object.fromEntries(url.searchParams)).toEqual({ job: JOB, cursor: '0' })
    expect(headers['user-agent']).toMatch(/^feeds\/1\.0 aquifer-client\//)
  })

  test('skips messages that this version does not know', async () => {
    await using service = await startStreaming(
      sending(
        frame('repoPetted', { seq: 1 }),
        frame('main', { seq: 2 }),
        new MessageFrame({ seq: 3 }, { type: 'com.example.other#repoDiscovered' }),
        new MessageFrame({ seq: 4 }),
        completed(5),
      ),
    )
    const client = await scriptedClient(service.url)
    expect((await collect(client.watch(JOB))).map(brief)).toEqual(['jobCompleted 5'])
  })

  test.each([
    ['another shape', sending(frame('repoDiscovered', { seq: 1, did: 'nobody' })), 'did must be'],
    ['no frames', sending(1003), '1003'],
  ] as [string, Play, string][])('with %s is an InvalidResponse', async (_, play, message) => {
    await using service = await startStreaming(play)
    const client = await scriptedClient(service.url)
    const error = await collect(client.watch(JOB)).catch((thrown: unknown) => thrown)
    expect(error).toBeInstanceOf(InvalidResponse)
    expect((error as Error).message).toContain(message)
    expect(service.arrivals).toHaveLength(1)
  })
})

describe('a lost connection', () => {
  const losses: [how: string, lose: Play][] = [
    ['a restart (1012)', sending(discovered(1), discovered(2), 1012)],
    ['an end before the end (1000)', sending(discovered(1), discovered(2))],
    ['too slow a consumer', sending(discovered(1), discovered(2), refusal('ConsumerTooSlow'))],
    ['a fault of the service', sending(discovered(1), discovered(2), refusal('InternalServerError'))],
    ['a directory that is down', sending(discovered(1), discovered(2), refusal('DirectoryUnavailable'))],
  ]
  test.each(losses)('after %s is made again where it was', async (_, lose) => {
    await using service = await startStreaming(lose, sending(discovered(3), completed(4)))
    const reconnects: Reconnect[] = []
    const client = await scriptedClient(service.url)
    const messages = await collect(
      client.watch(JOB, { onReconnect: (reconnect) => reconnects.push(reconnect) }),
    )
    expect(messages.map(brief)).toEqual([
      'repoDiscovered 1',
      'repoDiscovered 2',
      'repoDiscovered 3',
      'jobCompleted 4',
    ])
    expect(service.arrivals.map(({ url }) => url.searchParams.get('cursor'))).toEqual([null, '2'])
    expect(reconnects).toEqual([
      { error: expect.any(BackfillError), attempt: 1, delayMs: expect.any(Number) },
    ])
  })

  test('without a close frame is made again too', async () => {
    await using service = await startStreaming(
      async function* ({ cut }) {
        yield discovered(1)
        cut()
      },
      sending(completed(2)),
    )
    const client = await scriptedClient(service.url)
    expect((await collect(client.watch(JOB))).map(brief)).toContain('jobCompleted 2')
  })

  test('is made with a fresh token every time', async () => {
    await using service = await startStreaming(sending(discovered(1), 1012), sending(completed(2)))
    const client = await scriptedClient(service.url)
    await collect(client.watch(JOB))
    const claims = service.arrivals.map(({ headers }) => {
      const [, payload = ''] = headers.authorization!.replace(/^Bearer /, '').split('.')
      return JSON.parse(Buffer.from(payload, 'base64url').toString())
    })
    expect(claims).toHaveLength(2)
    expect(claims[0].jti).not.toBe(claims[1].jti)
    for (const claim of claims) expect(claim.lxm).toBe('network.example.backfill.subscribeJob')
  })

  test('is given up when the service is away for too long', async () => {
    await using service = await startStreaming(sending(discovered(1), 1012), sending(1012))
    const clock = sleepingClock()
    const client = await scriptedClient(service.url, {
      clock,
      retry: { firstDelayMs: 10_000, maxDelayMs: 20_000 },
    })
    const following = collect(client.watch(JOB, { outageMs: 60_000 }))
    await expect(following).rejects.toBeInstanceOf(ServiceUnreachable)
    const waited = clock.slept.reduce((sum, ms) => sum + ms, 0)
    expect(waited).toBeGreaterThan(60_000)
    expect(waited).toBeLessThan(80_000)
  })

  test('is not given up for losses that each are short, however many', async () => {
    await using service = await startStreaming(
      ...Array.from({ length: 20 }, (_, index) => sending(discovered(index + 1), 1012)),
      sending(completed(21)),
    )
    const clock = sleepingClock()
    const client = await scriptedClient(service.url, { clock, retry: { firstDelayMs: 20_000 } })
    expect(await collect(client.watch(JOB, { outageMs: 30_000 }))).toHaveLength(21)
    expect(clock.slept.reduce((sum, ms) => sum + ms, 0)).toBeGreaterThan(30_000)
  })

  test('is told from a service that never was there', async () => {
    const url = `http://localhost:${await findFreePort()}`
    const client = await scriptedClient(url)
    const attempts: number[] = []
    const following = collect(client.watch(JOB, { onReconnect: ({ attempt }) => attempts.push(attempt) }))
    await expect(following).rejects.toMatchObject({
      name: 'ServiceUnreachable',
      message: `Cannot reach Aquifer at ${url}: connection refused. Is it running there?`,
    })
    expect(attempts).toEqual([1, 2, 3])
  })
})

describe('a refusal', () => {
  const refusals: [name: string, kind: typeof BackfillError, status: number][] = [
    ['JobNotFound', JobNotFound, 400],
    ['FutureCursor', FutureCursor, 400],
    ['NotPermitted', NotPermitted, 403],
    ['JwtExpired', AuthenticationFailed, 401],
    ['UnknownIssuer', AuthenticationFailed, 401],
    ['SomethingNew', BackfillError, 400],
  ]
  test.each(refusals)('of the name %s is thrown, with its status', async (name, kind, status) => {
    await using service = await startStreaming(sending(refusal(name)))
    const client = await scriptedClient(service.url)
    const error = await collect(client.watch(JOB)).catch((thrown: unknown) => thrown)
    expect(error).toBeInstanceOf(kind)
    expect(error).toMatchObject({ name, status, message: `because of ${name}` })
    expect(service.arrivals).toHaveLength(1)
  })

  test('for too many requests is waited for', async () => {
    await using service = await startStreaming(
      ...Array.from({ length: 8 }, () => sending(refusal('RateLimitExceeded'))),
      sending(completed(1)),
    )
    const clock = sleepingClock()
    const client = await scriptedClient(service.url, { clock })
    expect((await collect(client.watch(JOB))).map(brief)).toEqual(['jobCompleted 1'])
    expect(Math.min(...clock.slept)).toBeGreaterThanOrEqual(10_000)
  })

  test('by a service that has no streams has its status', async () => {
    await using server = await LoopbackServer.start((_url, _request, response) => {
      response.writeHead(404).end()
    })
    const client = await scriptedClient(server.url)
    await expect(collect(client.watch(JOB))).rejects.toMatchObject({
      status: 404,
      message: `${server.url} answered 404 where a stream was asked for. Is Aquifer running there?`,
    })
  })

  test('that never comes ends in a TimeoutError', async () => {
    await using server = await LoopbackServer.start(() => {})
    const client = await scriptedClient(server.url, { timeoutMs: 50, retry: { attempts: 1 } })
    await expect(collect(client.watch(JOB))).rejects.toBeInstanceOf(TimeoutError)
  })
})

describe('a consumer', () => {
  test('that is slow holds the service back, and misses nothing', async () => {
    const total = 300
    // A longer message than any of ours: few fill the buffers on the way.
    const long = 'x'.repeat(100_000)
    let sent = 0
    await using service = await startStreaming(async function* () {
      for (let seq = 1; seq <= total; seq += 1) {
        yield frame('repoDiscovered', { seq, did: 'did:web:repo.test', long })
        sent = seq
      }
      yield completed(total + 1)
    })
    const client = await scriptedClient(service.url)
    const stream = client.watch(JOB)
    expect((await stream.next()).value).toMatchObject({ seq: 1 })
    // What is on its way settles: nothing more is sent while nobody takes it.
    let before = -1
    await eventually(
      async () => {
        const still = before === sent
        before = sent
        await new Promise((resolve) => setTimeout(resolve, 150))
        return sent > 5 && still && before === sent
      },
      (settled) => settled,
    )
    expect(sent).toBeLessThan(total / 2)
    const rest = await collect(stream)
    expect(rest).toHaveLength(total)
  })

  test('that leaves closes the connection', async () => {
    await using service = await startStreaming(async function* (connection) {
      yield discovered(1)
      await whileOpen(connection)
    })
    const client = await scriptedClient(service.url)
    for await (const message of client.watch(JOB)) {
      expect(brief(message)).toBe('repoDiscovered 1')
      break
    }
    await eventually(
      () => service.open,
      (open) => open === 0,
    )
  })

  test.each(['while it waits for a message', 'between two connections'])('aborts %s', async (when) => {
    await using service = await startStreaming(async function* (connection) {
      yield discovered(connection.index + 1)
      if (when === 'between two connections') yield 1012
      await whileOpen(connection)
    })
    const controller = new AbortController()
    const reason = new Error('enough')
    const options: StreamOptions = { signal: controller.signal, onReconnect: () => controller.abort(reason) }
    const client = await scriptedClient(service.url, { retry: { firstDelayMs: 60_000 } })
    const stream = client.watch(JOB, options)
    await stream.next()
    const next = stream.next()
    if (when !== 'between two connections') setTimeout(() => controller.abort(reason), 20)
    await expect(next).rejects.toBe(reason)
    await eventually(
      () => service.open,
      (open) => open === 0,
    )
  })

  test('that aborts before it begins connects to nobody', async () => {
    await using service = await startStreaming(sending(completed(1)))
    const client = await scriptedClient(service.url, { clock: testClock() })
    const signal = AbortSignal.abort(new Error('never mind'))
    await expect(collect(client.watch(JOB, { signal }))).rejects.toThrow('never mind')
    expect(service.arrivals).toHaveLength(0)
  })
})

test('waits between connections grow, and stay below the longest', () => {
  const policy = retryPolicy({ attempts: 3 })
  const lost = new ServiceUnreachable({ name: 'ServiceUnreachable', message: 'gone' })
  const delay = (failures: number, worked: boolean) =>
    reconnectDelay(policy, lost, { failures, worked, sinceMs: 0 }, 0.999)
  expect([1, 2, 3].map((failures) => Math.round(delay(failures, true)!))).toEqual([500, 999, 1998])
  expect(delay(1_000, true)).toBeLessThanOrEqual(policy.maxDelayMs)
  expect([delay(2, false), delay(3, false)]).toEqual([expect.any(Number), null])
  expect(reconnectDelay(policy, new Error('a bug'), { failures: 1, worked: true, sinceMs: 0 }, 0)).toBeNull()
})
