import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { purgeAccounts, tellAccounts } from '../../src/store/accounts.js'
import { deleteDetails } from '../../src/store/details.js'
import { addRepos } from '../../src/store/listings.js'
import { reachStage } from '../../src/store/transitions.js'
import { didsOf, randomOf, step, writeSteps } from '../support/fixtures.js'
import { type Caller, createPlcCaller } from '../support/network/caller.js'
import { startTestService, type TestService } from '../support/service.js'
import { endOf, openStream, type StreamMessage, startJob } from './subscribeJob-support.js'
import { type Directory, nsid, startDirectory } from './support.js'

const UNKNOWN = '3l3qo2vuowo2b'

let network: Directory
let on: TestService
let caller: Caller
let admin: Caller

beforeAll(async () => {
  network = await startDirectory()
  caller = await createPlcCaller(network.plc)
  admin = await createPlcCaller(network.plc)
  on = await startTestService({
    network,
    engine: false,
    environment: { BACKFILL_ADMINS: admin.did, QUOTA_REQUESTS_PER_MINUTE: '0' },
  })
})

afterAll(async () => {
  await on?.[Symbol.asyncDispose]()
  await network?.[Symbol.asyncDispose]()
})

const open = (job: string, cursor?: number) =>
  openStream(on, caller, { job, ...(cursor !== undefined && { cursor }) })

/** What a message says of its repo. */
const told = ({ type, did }: StreamMessage) => `${type} ${did}`

describe('without a cursor', () => {
  test('the whole job comes first, then what happens, until the job has ended', async () => {
    const job = await startJob(on, caller, 4)
    const [a, b, c, d] = job.dids as [string, string, string, string]
    await using stream = await open(job.id)
    const [snapshot] = await stream.until('#jobSnapshot')
    expect(snapshot).toMatchObject({
      job: job.id,
      view: { id: job.id, status: 'running', stage: 'pending', totalRepos: 4, resolvedRepos: 0 },
    })
    await reachStage(on.service.store.db, job.key, 'resolving-and-fetching', new Date())
    const [stage] = await stream.until('#jobStageChanged')
    expect(stage).toMatchObject({ stage: 'resolving-and-fetching' })
    await job.resolve(a, b, c, d)
    const resolved = await stream.until('#repoResolved', 4)
    expect(resolved.map(({ did, pdsEndpoint }) => [did, pdsEndpoint])).toEqual(
      job.dids.map((did) => [did, job.origin]),
    )
    await job.complete(a, b)
    await job.fail(c)
    await job.disappear(d)
    await job.finish()
    expect(await endOf(stream)).toEqual({ error: undefined, code: 1000, reason: '' })
    expect(stream.of('#repoFetched')).toMatchObject([
      { did: a, pdsEndpoint: job.origin, recordsFetched: 1, level: 'content' },
      { did: b, pdsEndpoint: job.origin, recordsFetched: 1, level: 'content' },
    ])
    expect(stream.of('#repoFailed')).toMatchObject([
      { did: c, class: 'timeout', message: 'too late', retryable: true },
    ])
    expect(stream.of('#repoUnavailable')).toMatchObject([{ did: d, reason: 'takendown' }])
    expect(stream.of('#jobCounters').at(-1)).toMatchObject({
      status: 'completed',
      stage: 'completed',
      discoveryComplete: true,
      totalRepos: 4,
      resolvedRepos: 4,
      processedRepos: 4,
      completedRepos: 2,
      unavailableRepos: 1,
      failedRepos: 1,
      totalRecords: 2,
      failures: [{ class: 'timeout', count: 1, retryable: true }],
    })
    expect(stream.messages.at(-1)).toMatchObject({ type: '#jobCompleted', status: 'completed' })
    expect(stream.messages.findIndex(({ type }) => type === '#jobSnapshot')).toBe(0)
    expect(stream.of('#jobSnapshot')).toHaveLength(1)
  })

  test('a job that has ended is told whole and as ended', async () => {
    const job = await startJob(on, caller, 1)
    await job.resolve(...job.dids)
    await job.complete(...job.dids)
    await job.finish()
    await using stream = await open(job.id)
    expect((await stream.end()).code).toBe(1000)
    expect(stream.types).toEqual(['#jobSnapshot', '#jobCompleted'])
  })

  test('repos found later are told as they are found', async () => {
    const job = await startJob(on, caller, 1)
    await using stream = await open(job.id)
    await stream.until('#jobSnapshot')
    const { db } = on.service.store
    await db.transaction().execute((trx) => addRepos(trx, job.key, didsOf(3)))
    const discovered = await stream.until('#repoDiscovered', 2)
    expect(discovered.map(({ did }) => did)).toEqual(didsOf(2, 1))
  })
})

describe('status', () => {
  test('a pause is told within the second, with a notice or without, and counters once a second at most', async () => {
    const job = await startJob(on, caller, 1)
    await using stream = await open(job.id)
    await stream.until('#jobSnapshot')
    const moves = [
      ['pause', 'pausing'],
      ['quiet', 'paused'],
      ['resume', 'running'],
      ['cancel', 'cancelling'],
    ] as const
    for (const [index, [event, status]] of moves.entries()) {
      const began = performance.now()
      await job.move(event)
      if (index % 2 === 0) on.service.notices.tell([job.key])
      const counters = await stream.until('#jobCounters', index + 1)
      expect(counters.at(-1)).toMatchObject({ status })
      // On a quiet machine about a second.
      expect(performance.now() - began).toBeLessThan(8_000)
    }
    await job.move('quiet')
    expect((await stream.end()).code).toBe(1000)
    const times = stream.of('#jobCounters').map(({ time }) => Date.parse(String(time)))
    expect(times).toHaveLength(moves.length + 1)
    // A message that is sent late is closer to the next.
    for (const [index, time] of times.slice(1).entries()) expect(time - times[index]!).toBeGreaterThan(500)
    expect(times.at(-1)! - times[0]!).toBeGreaterThan(moves.length * 1_000 - 500)
    expect(stream.messages.at(-1)).toMatchObject({ type: '#jobCompleted', status: 'cancelled' })
    expect(stream.of('#jobStageChanged')).toMatchObject([{ stage: 'cancelled' }])
  })

  test('a notice brings word sooner than the next look', async () => {
    const job = await startJob(on, caller, 40)
    await using stream = await open(job.id)
    await stream.until('#jobSnapshot')
    await job.resolve(...job.dids)
    const delays: number[] = []
    for (const [index, did] of job.dids.slice(0, 8).entries()) {
      const began = performance.now()
      await job.complete(did)
      on.service.notices.tell([job.key])
      await stream.until('#repoFetched', index + 1)
      delays.push(performance.now() - began)
    }
    // Without notices it would be a second each: the last look has just been made. A busy machine may spoil some.
    expect(Math.min(...delays)).toBeLessThan(700)
  })
})

describe('with a cursor', () => {
  test('everything since is told again in its latest state and in order, then the end', async () => {
    const job = await startJob(on, caller, 5)
    const [a, b, c, d, e] = job.dids as [string, string, string, string, string]
    await reachStage(on.service.store.db, job.key, 'resolving-and-fetching', new Date())
    await job.resolve(a, b, c)
    await job.complete(b)
    await job.fail(a)
    await using before = await open(job.id, 0)
    await before.until('#jobCounters')
    expect(before.messages.map(told)).toEqual([
      `#repoDiscovered ${d}`,
      `#repoDiscovered ${e}`,
      '#jobStageChanged undefined',
      `#repoResolved ${c}`,
      `#repoFetched ${b}`,
      `#repoFailed ${a}`,
      '#jobCounters undefined',
    ])
    const cursor = before.of('#repoResolved')[0]!.seq
    await using between = await open(job.id, cursor)
    await between.until('#jobCounters')
    expect(between.messages.map(told)).toEqual([
      `#repoFetched ${b}`,
      `#repoFailed ${a}`,
      '#jobCounters undefined',
    ])
    await job.resolve(d, e)
    await job.complete(c, d, e)
    await job.finish()
    const tail = [
      '#repoFetched',
      '#repoFetched',
      '#repoFetched',
      '#jobStageChanged',
      '#jobCounters',
      '#jobCompleted',
    ]
    for (const stream of [before, between]) {
      expect((await stream.end()).code).toBe(1000)
      expect(stream.types.slice(-6)).toEqual(tail)
    }
    await using after = await open(job.id, cursor)
    expect((await after.end()).code).toBe(1000)
    expect(after.types).toEqual(['#repoFetched', '#repoFailed', ...tail])
    await using again = await open(job.id, after.lastSeq)
    expect((await again.end()).code).toBe(1000)
    expect(again.types).toEqual(['#jobCompleted'])
    expect(again.lastSeq).toBe(after.lastSeq)
  })

  test('a job that was taken up again after its end goes on from the end', async () => {
    const job = await startJob(on, caller, 2)
    const [a, b] = job.dids as [string, string]
    await job.resolve(a, b)
    await job.complete(a)
    await job.fail(b)
    await job.finish()
    await using ended = await open(job.id, 0)
    expect((await ended.end()).code).toBe(1000)
    await on.as(caller).retryJob({ job: job.id })
    await using again = await open(job.id, ended.lastSeq)
    await again.until('#jobCounters')
    expect(again.messages).toMatchObject([
      { type: '#jobStageChanged', stage: 'resolving-and-fetching' },
      { type: '#repoResolved', did: b },
      { type: '#jobCounters', status: 'running', failedRepos: 0, completedRepos: 1 },
    ])
    await job.complete(b)
    await job.finish()
    expect((await again.end()).code).toBe(1000)
    expect(again.types.slice(3)).toEqual([
      '#repoFetched',
      '#jobStageChanged',
      '#jobCounters',
      '#jobCompleted',
    ])
  })

  test('an account that has gone since is told as unavailable, and as fetched when it is back', async () => {
    const { store } = on.service
    const [job, later] = [await startJob(on, caller, 3), await startJob(on, caller, 3)]
    const [hidden, deleted, stays] = job.dids as [string, string, string]
    for (const each of [job, later]) await each.resolve(...each.dids)
    await job.complete(hidden, deleted, stays)
    await job.finish()
    await using first = await open(job.id, 0)
    await first.end()
    const had = first.of('#repoFetched').map(({ seq }) => Number(seq))

    // Another job is the one that learns of it.
    await later.disappear(hidden)
    const forgotten = { status: 'unavailable', reason: 'deleted' } as const
    await writeSteps(store, step(later, deleted, later.host, forgotten))
    await tellAccounts(store.db)
    while (await purgeAccounts(store.db, 100)) {}
    const gone = [
      { type: '#repoUnavailable', did: hidden, reason: 'takendown' },
      { type: '#repoUnavailable', did: deleted, reason: 'deleted' },
    ]
    const since = async (cursor: number) => {
      await using stream = await open(job.id, cursor)
      await stream.end()
      return stream.messages.filter(({ did }) => did !== undefined)
    }
    expect(await since(Math.max(...had))).toMatchObject(gone)
    const all = await since(0)
    expect(all).toMatchObject([{ type: '#repoFetched', did: stays }, ...gone])

    const again = await startJob(on, caller, 3)
    await again.resolve(...again.dids)
    await again.complete(...again.dids)
    await tellAccounts(store.db)
    expect(await since(Number(all.at(-1)!.seq))).toMatchObject([
      { type: '#repoFetched', did: hidden },
      { type: '#repoFetched', did: deleted },
    ])
  })

  test('a cursor ahead of the job is FutureCursor', async () => {
    const job = await startJob(on, caller, 1)
    await using stream = await open(job.id, 1_000_000)
    expect(await endOf(stream)).toEqual({ error: 'FutureCursor', code: 1008, reason: 'FutureCursor' })
    expect(stream.messages).toEqual([])
  })

  test('when the details are gone, that is said and the whole job follows', async () => {
    const job = await startJob(on, caller, 2)
    await job.resolve(...job.dids)
    await job.complete(...job.dids)
    await job.finish()
    await deleteDetails(on.service.store.db, { key: job.key }, ['completed'])
    await using stream = await open(job.id, 1)
    expect((await stream.end()).code).toBe(1000)
    expect(stream.types).toEqual(['#info', '#jobSnapshot', '#jobCompleted'])
    expect(stream.messages[0]).toMatchObject({ name: 'OutdatedCursor' })
    // Who has seen the end has missed nothing.
    await using end = await open(job.id, stream.lastSeq)
    expect((await end.end()).code).toBe(1000)
    expect(end.types).toEqual(['#jobCompleted'])
  })

  test('pages of a long replay join without a gap while the job goes on', async () => {
    const job = await startJob(on, caller, 2_300)
    const rest = [...job.dids]
    await job.resolve(...rest)
    const moving = (async () => {
      while (rest.length > 0) await job.complete(...rest.splice(0, 100))
      await job.finish()
    })()
    const streams = await Promise.all([0, 0, 700, undefined].map((cursor) => open(job.id, cursor)))
    await moving
    for (const stream of streams) {
      expect((await stream.end()).code).toBe(1000)
      const fetched = stream.of('#repoFetched').map(({ did }) => did)
      expect(new Set(fetched).size).toBe(fetched.length)
      if (stream.types[0] !== '#jobSnapshot') expect(new Set(fetched)).toEqual(new Set(job.dids))
    }
  })

  test('a consumer that leaves and comes back at any message knows every repo at the end', async () => {
    const job = await startJob(on, caller, 400)
    const random = randomOf(7)
    const work = (async () => {
      const rest = [...job.dids]
      while (rest.length > 0) {
        const some = rest.splice(0, 1 + Math.floor(random() * 8))
        await job.resolve(...some)
        const [first, ...others] = some as [string, ...string[]]
        await (random() < 0.5 ? job.fail(first) : job.disappear(first))
        if (others.length > 0) await job.complete(...others)
        if (random() < 0.5) on.service.notices.tell([job.key])
      }
      await job.finish()
    })()
    const consume = async (chance: () => number) => {
      const known = new Map<string, string>()
      let cursor = 0
      for (;;) {
        await using stream = await open(job.id, cursor)
        const leaveAfter = 1 + Math.floor(chance() * 20)
        while (stream.ending === null && stream.messages.length < leaveAfter)
          await new Promise((resolve) => setTimeout(resolve, 5))
        if (stream.faults.length > 0) throw stream.faults[0]
        const ended = stream.messages.some(({ type }) => type === '#jobCompleted')
        for (const { type, did } of ended ? stream.messages : stream.messages.slice(0, leaveAfter))
          if (did) known.set(did, type)
        cursor = (ended ? stream.messages : stream.messages.slice(0, leaveAfter)).at(-1)?.seq ?? cursor
        if (ended) return known
      }
    }
    const consumers = [1, 2, 3].map((seed) => consume(randomOf(seed)))
    await work
    const rows = await on.service.store.db
      .selectFrom('job_repo')
      .select(['did', 'status'])
      .where('job', '=', job.key)
      .execute()
    const names = { completed: '#repoFetched', failed: '#repoFailed', unavailable: '#repoUnavailable' }
    const truth = new Map(rows.map(({ did, status }) => [did, names[status as keyof typeof names]]))
    for (const known of await Promise.all(consumers)) expect(known).toEqual(truth)
  }, 60_000)
})

describe('refusals are error frames, and the stream is closed with 1008', () => {
  const refused = async (by: Caller | null, wish: Record<string, unknown>) => {
    await using stream = await openStream(on, by, wish)
    const { error, code, reason } = await endOf(stream)
    expect({ code, reason }).toEqual({ code: 1008, reason: error })
    expect(stream.messages).toEqual([])
    return error
  }

  test('an unknown job, and one of somebody else', async () => {
    const job = await startJob(on, caller, 1)
    const other = await createPlcCaller(network.plc)
    expect(await refused(caller, { job: UNKNOWN })).toBe('JobNotFound')
    expect(await refused(other, { job: job.id })).toBe('JobNotFound')
    await using seen = await openStream(on, admin, { job: job.id })
    await seen.until('#jobSnapshot')
  })

  test('parameters that are none', async () => {
    expect(await refused(caller, {})).toBe('InvalidRequest')
    expect(await refused(caller, { job: 'no tid' })).toBe('InvalidRequest')
    expect(await refused(caller, { job: UNKNOWN, cursor: -1 })).toBe('InvalidRequest')
    for (const cursor of ['x', '1.5', '', '9'.repeat(20)]) {
      expect(await refused(caller, { job: UNKNOWN, cursor })).toBe('InvalidRequest')
    }
  })

  test('rights that were taken away while the stream was open', async () => {
    let ahead = 0
    await using asTimeGoes = await startTestService({
      network,
      engine: false,
      environment: { BACKFILL_ADMINS: admin.did },
      overrides: { now: () => Date.now() + ahead },
    })
    const reader = await createPlcCaller(network.plc)
    const put = (wish: { permissions: string[]; jobsOf?: string[] }) =>
      asTimeGoes.as(admin).putCaller({ did: reader.did, ...wish })
    const withdrawn: [Parameters<typeof put>[0], string][] = [
      [{ permissions: ['read'] }, 'JobNotFound'],
      [{ permissions: [], jobsOf: [caller.did] }, 'NotPermitted'],
    ]
    for (const [without, error] of withdrawn) {
      await put({ permissions: ['read'], jobsOf: [caller.did] })
      const job = await startJob(asTimeGoes, caller, 3)
      const [first, second, third] = job.dids as [string, string, string]
      await using stream = await openStream(asTimeGoes, reader, { job: job.id })
      await stream.until('#jobSnapshot')
      await job.resolve(first)
      await stream.until('#repoResolved')
      ahead += 10_000
      await job.resolve(second)
      await stream.until('#repoResolved', 2)
      await put(without)
      ahead += 10_000
      await job.resolve(third)
      expect(await endOf(stream)).toMatchObject({ error, code: 1008 })
      expect(stream.of('#repoResolved')).toHaveLength(2)
    }
  })

  test('nobody, a token for another method, and a caller without permission', async () => {
    expect(await refused(null, { job: UNKNOWN })).toBe('AuthMissing')
    const wrong = {
      ...caller,
      authorization: () => caller.authorization({ aud: on.did, lxm: nsid('getJobStatus') }),
    }
    expect(await refused(wrong, { job: UNKNOWN })).toBe('BadJwtLexiconMethod')
    await using closed = await startTestService({
      network,
      engine: false,
      environment: { BACKFILL_ACCESS: 'allowlist' },
    })
    await using stream = await openStream(closed, caller, { job: UNKNOWN })
    expect(await endOf(stream)).toMatchObject({ error: 'NotPermitted', code: 1008 })
  })

  test('connections count as requests', async () => {
    await using strict = await startTestService({
      network,
      engine: false,
      environment: { QUOTA_REQUESTS_PER_MINUTE: '1' },
    })
    const errors: (string | undefined)[] = []
    // Three, because a minute may end between two of them.
    for (let connection = 0; connection < 3; connection++) {
      await using stream = await openStream(strict, caller, { job: UNKNOWN })
      errors.push((await endOf(stream)).error)
    }
    expect(errors[0]).toBe('JobNotFound')
    expect(errors).toContain('RateLimitExceeded')
  })
})
