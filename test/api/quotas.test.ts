import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { JobStatus } from '../../src/verdict.js'
import { createDatabase, type TestDatabase } from '../support/database.js'
import { didsOf, failJob, findTestJob } from '../support/fixtures.js'
import { type Caller, createPlcCaller } from '../support/network/caller.js'
import { type Backfill, startTestService, type TestService } from '../support/service.js'
import { eventually } from '../support/wait.js'
import { askAs } from './auth-support.js'
import { endOf, openStream } from './subscribeJob-support.js'
import { callRaw, type Directory, nsid, refusal, startDirectory } from './support.js'

/** What a caller may use, over HTTP, on two processes that share a database. */

const INPUT = { collections: ['network.example.status'] }
const MINUTE_MS = 60_000

let network: Directory
let database: TestDatabase
let one: TestService
let two: TestService
let root: Caller
let admin: Backfill
/** What both processes take for the time: it stands still, in the middle of a minute. */
let nowMs = Math.floor(Date.now() / MINUTE_MS) * MINUTE_MS + 45_000

beforeAll(async () => {
  network = await startDirectory()
  database = await createDatabase()
  root = await createPlcCaller(network.plc)
  const environment = {
    BACKFILL_ADMINS: root.did,
    QUOTA_RUNNING_JOBS: '3',
    QUOTA_REQUESTS_PER_MINUTE: '200',
    QUOTA_STREAMS: '1',
  }
  const start = () =>
    startTestService({ network, database, engine: false, environment, overrides: { now: () => nowMs } })
  one = await start()
  two = await start()
  admin = clientAt(one, root)
})

afterAll(async () => {
  await two?.[Symbol.asyncDispose]()
  await one?.[Symbol.asyncDispose]()
  await database?.[Symbol.asyncDispose]()
  await network?.[Symbol.asyncDispose]()
})

/** A caller whose tokens hold by the clock of these tests. */
async function newCaller(): Promise<Caller> {
  return onTime(await createPlcCaller(network.plc))
}

function onTime(caller: Caller): Caller {
  const times = () => ({ iat: Math.floor(nowMs / 1_000), exp: Math.floor(nowMs / 1_000) + 60 })
  const serviceJwt: Caller['serviceJwt'] = (parts) => caller.serviceJwt({ ...times(), ...parts })
  return {
    ...caller,
    serviceJwt,
    authorization: async (parts) => ({ authorization: `Bearer ${await serviceJwt(parts)}` }),
  }
}

const clientAt = (service: TestService, caller: Caller) => service.as(onTime(caller))

describe('requests in a minute', () => {
  test('are counted over all processes, and told of in every answer', async () => {
    const caller = await newCaller()
    await admin.putCaller({ did: caller.did, permissions: ['read'], quotas: { requestsPerMinute: 5 } })
    const reset = String(Math.floor(nowMs / MINUTE_MS) * 60 + 60)
    for (const [index, service] of [one, two, two, one, two].entries()) {
      const answer = await askAs(service, caller)
      expect(answer.status).toBe(200)
      expect(limitHeaders(answer)).toEqual(['5', String(4 - index), reset, '5;w=60', null])
    }
    for (const service of [one, two]) {
      const answer = await askAs(service, caller)
      expect({ status: answer.status, json: answer.json }).toEqual({
        status: 429,
        json: { error: 'RateLimitExceeded', message: expect.stringContaining('5 requests a minute') },
      })
      expect(limitHeaders(answer)).toEqual(['5', '0', reset, '5;w=60', '15'])
    }
    // Every method counts, and no other caller.
    expect((await refusal(clientAt(two, caller).createJob(INPUT))).error).toBe('RateLimitExceeded')
    expect((await askAs(one, await newCaller())).status).toBe(200)
    nowMs += MINUTE_MS
    expect(limitHeaders(await askAs(two, caller)).slice(0, 2)).toEqual(['5', '4'])
  })

  test('are refused as an error frame where they ask for a stream', async () => {
    const caller = await newCaller()
    await admin.putCaller({ did: caller.did, permissions: ['read'], quotas: { requestsPerMinute: 1 } })
    const ask = async () => {
      await using stream = await openStream(two, caller, { job: '3l3qo2vuowo2b' })
      return await endOf(stream)
    }
    expect(await ask()).toMatchObject({ error: 'JobNotFound' })
    expect(await ask()).toMatchObject({ error: 'RateLimitExceeded', code: 1008 })
    expect((await askAs(one, caller)).status).toBe(429)
  })

  test('that come at once do not get past', async () => {
    const caller = await newCaller()
    await admin.putCaller({ did: caller.did, permissions: ['read'], quotas: { requestsPerMinute: 11 } })
    // Known from now on: look-ups of the same account by all of them take their time.
    expect((await askAs(one, caller)).status).toBe(200)
    const calls = Array.from({ length: 30 }, (_, index) => askAs(index % 2 ? one : two, caller))
    const statuses = (await Promise.all(calls)).map(({ status }) => status)
    expect(statuses.filter((status) => status === 200)).toHaveLength(10)
    expect(statuses.filter((status) => status === 429)).toHaveLength(20)
  })

  test('are as many as the settings say, for whom nothing else was said', async () => {
    const answer = await askAs(one, await newCaller())
    expect(limitHeaders(answer).slice(0, 2)).toEqual(['200', '199'])
  })

  test('are told of where the request is refused for another reason', async () => {
    const caller = await newCaller()
    await admin.putCaller({ did: caller.did, permissions: [], quotas: { requestsPerMinute: 2 } })
    const first = await askAs(one, caller)
    expect(first.status).toBe(403)
    expect(limitHeaders(first).slice(0, 2)).toEqual(['2', '1'])
    expect((await askAs(one, caller)).status).toBe(403)
    expect((await askAs(one, caller)).status).toBe(429)
  })

  test('do not count while nobody has proven who asks', async () => {
    const caller = await newCaller()
    await admin.putCaller({ did: caller.did, permissions: ['read'], quotas: { requestsPerMinute: 2 } })
    const other = await newCaller()
    for (let n = 0; n < 3; n += 1) expect((await askAs(one, caller, { key: other.key })).status).toBe(401)
    expect((await askAs(one, caller)).status).toBe(200)
  })

  test('are not limited for admins, unless that was said', async () => {
    const caller = await newCaller()
    expect(limitHeaders(await askAs(one, onTime(root)))).toEqual([null, null, null, null, null])
    await admin.putCaller({ did: caller.did, permissions: ['admin'] })
    expect(limitHeaders(await askAs(one, caller))[0]).toBeNull()
    await admin.putCaller({ did: caller.did, permissions: ['admin'], quotas: { requestsPerMinute: 7 } })
    expect(limitHeaders(await askAs(one, caller))[0]).toBe('7')
  })

  const limitHeaders = ({ headers }: { headers: Headers }) =>
    ['ratelimit-limit', 'ratelimit-remaining', 'ratelimit-reset', 'ratelimit-policy', 'retry-after'].map(
      (name) => headers.get(name),
    )
})

describe('jobs that have not ended', () => {
  const move = (job: string, status: JobStatus) =>
    one.service.store.db.updateTable('job').set({ status }).where('id', '=', job).execute()

  test('are no more than allowed, however many are asked for at once in two processes', async () => {
    const caller = await newCaller()
    const input = { repos: didsOf(200) }
    const calls = Array.from({ length: 10 }, (_, index) =>
      clientAt(index % 2 ? one : two, caller)
        .createJob(input)
        .then(
          () => 'made',
          ({ status, error }: { status: number; error: string }) => `${status} ${error}`,
        ),
    )
    const outcomes = (await Promise.all(calls)).sort()
    expect(outcomes).toEqual([...Array(7).fill('429 QuotaExceeded'), ...Array(3).fill('made')])
    expect((await clientAt(one, caller).listJobs({})).data.jobs).toHaveLength(3)
  })

  test('are named in the refusal, which says nothing of when to come back', async () => {
    const caller = await newCaller()
    for (let n = 0; n < 3; n += 1) await clientAt(one, caller).createJob(INPUT)
    const { status, json, headers } = await callRaw(two, caller, 'createJob', { body: JSON.stringify(INPUT) })
    expect({ status, json }).toEqual({
      status: 429,
      json: {
        error: 'QuotaExceeded',
        message: `${caller.did} has 3 jobs that have not ended, and may have 3 at the same time`,
      },
    })
    expect(headers.get('retry-after')).toBeNull()
    expect(headers.get('ratelimit-limit')).toBe('200')
  })

  test('count while they pause, and no longer when they have ended', async () => {
    const caller = await newCaller()
    const backfill = clientAt(one, caller)
    const create = async () => (await backfill.createJob(INPUT)).data.id
    const jobs = [await create(), await create(), await create()] as const
    for (const status of ['pausing', 'paused', 'cancelling'] as const) {
      await move(jobs[0], status)
      expect((await refusal(create())).error).toBe('QuotaExceeded')
    }
    for (const [index, status] of (['cancelled', 'completed', 'failed'] as const).entries()) {
      await move(jobs[index]!, status)
      await create()
      expect((await refusal(create())).error).toBe('QuotaExceeded')
    }
  })

  test('are each caller’s own, and as many as were allowed to it', async () => {
    const [few, none, any] = [await newCaller(), await newCaller(), await newCaller()]
    const allow = (caller: Caller, permissions: string[], quotas: { runningJobs?: number }) =>
      admin.putCaller({ did: caller.did, permissions, quotas })
    await allow(few, ['create'], { runningJobs: 1 })
    await allow(none, ['create'], { runningJobs: 0 })
    await allow(any, ['admin'], {})
    await clientAt(one, few).createJob(INPUT)
    expect((await refusal(clientAt(one, few).createJob(INPUT))).message).toContain(
      'has 1 job that has not ended',
    )
    expect((await refusal(clientAt(one, none).createJob(INPUT))).error).toBe('QuotaExceeded')
    for (let n = 0; n < 5; n += 1) await clientAt(one, any).createJob(INPUT)
    // An admin too can be told how much.
    await allow(any, ['admin'], { runningJobs: 5 })
    expect((await refusal(clientAt(one, any).createJob(INPUT))).error).toBe('QuotaExceeded')
    await allow(few, ['create'], { runningJobs: 2 })
    await clientAt(two, few).createJob(INPUT)
  })

  test('are given again for the same client token, where no other could be made', async () => {
    const caller = await newCaller()
    const input = { ...INPUT, clientToken: 'monday' }
    const { data: job } = await clientAt(one, caller).createJob(input)
    for (let n = 0; n < 2; n += 1) await clientAt(one, caller).createJob(INPUT)
    expect((await clientAt(two, caller).createJob(input)).data.id).toBe(job.id)
    const conflict = clientAt(two, caller).createJob({ repos: didsOf(1), clientToken: 'monday' })
    expect((await refusal(conflict)).error).toBe('ClientTokenConflict')
  })

  test('are one for a client token that several bring at once, the last that was free', async () => {
    const caller = await newCaller()
    await admin.putCaller({ did: caller.did, permissions: ['create'], quotas: { runningJobs: 1 } })
    const input = { repos: didsOf(100), clientToken: 'tuesday' }
    const calls = Array.from({ length: 8 }, (_, index) =>
      clientAt(index % 2 ? one : two, caller).createJob(input),
    )
    const ids = (await Promise.all(calls)).map(({ data }) => data.id)
    expect(new Set(ids).size).toBe(1)
  })

  test('are those of their owner when an admin takes one up again', async () => {
    const caller = await newCaller()
    const { store } = one.service
    const { data: job } = await clientAt(one, caller).createJob(INPUT)
    const failed = await findTestJob(store.db, job.id)
    await store.db.updateTable('listing').set({ failure: 'gone' }).where('job', '=', failed.key).execute()
    await failJob(store.db, failed.key, 'gone')
    const others: string[] = []
    for (let n = 0; n < 3; n += 1) others.push((await clientAt(one, caller).createJob(INPUT)).data.id)
    for (const asker of [caller, root]) {
      const refused = await refusal(clientAt(two, asker).retryJob({ job: job.id }))
      expect(refused).toMatchObject({
        status: 429,
        error: 'QuotaExceeded',
        message: expect.stringContaining(caller.did),
      })
    }
    expect((await clientAt(one, caller).getJobStatus({ job: job.id })).data.status).toBe('failed')
    await move(others[0]!, 'cancelled')
    expect((await clientAt(two, caller).retryJob({ job: job.id })).data.status).toBe('running')
  })
})

describe('repos of a job', () => {
  const limitOf = async (id: string) =>
    (
      await one.service.store.db
        .selectFrom('job')
        .select('repo_limit')
        .where('id', '=', id)
        .executeTakeFirstOrThrow()
    ).repo_limit

  test('are no more than allowed where they are named, each counted once', async () => {
    const caller = await newCaller()
    await admin.putCaller({ did: caller.did, permissions: ['create'], quotas: { reposPerJob: 5 } })
    const backfill = clientAt(one, caller)
    expect(await refusal(backfill.createJob({ repos: didsOf(6) }))).toEqual({
      status: 429,
      error: 'QuotaExceeded',
      message: `A job of ${caller.did} may have 5 repos; 6 are named`,
    })
    const { data: job } = await backfill.createJob({ repos: [...didsOf(5), ...didsOf(5)] })
    expect(job.totalRepos).toBe(5)
    // The refused one has left nothing behind.
    expect((await admin.listJobs({ caller: caller.did })).data.jobs.map(({ id }) => id)).toEqual([job.id])
  })

  test('are bounded for discovery by what was allowed when the job was made', async () => {
    const caller = await newCaller()
    const create = async () => (await clientAt(one, caller).createJob(INPUT)).data.id
    expect(await limitOf(await create())).toBeNull()
    await admin.putCaller({ did: caller.did, permissions: ['create'], quotas: { reposPerJob: 70_000 } })
    expect(await limitOf(await create())).toBe(70_000)
    await admin.putCaller({ did: caller.did, permissions: ['create'], quotas: { reposPerJob: 0 } })
    expect(await refusal(create())).toMatchObject({
      error: 'QuotaExceeded',
      message: expect.stringContaining('0 repos'),
    })
  })
})

describe('streams open at a process', () => {
  test('are those of all methods together, as many as was said of the caller', async () => {
    const caller = await newCaller()
    const allow = (streams: number) =>
      admin.putCaller({ did: caller.did, permissions: ['read', 'create'], quotas: { streams } })
    await allow(2)
    const client = clientAt(one, caller)
    const job = (await client.createJob(INPUT)).data.id
    const follow = async (on: TestService) => {
      const stream = await openStream(on, caller, { job })
      await stream.until('#jobSnapshot')
      return stream
    }
    const exported = () => refusal(client.exportRecords({ job }))
    await using first = await follow(one)
    await using _second = await follow(one)
    for (const method of ['subscribeJob', 'subscribeRecords']) {
      await using refused = await openStream(one, caller, { job }, {}, nsid(method))
      expect(await endOf(refused)).toMatchObject({ error: 'QuotaExceeded', code: 1008 })
    }
    expect(await exported()).toMatchObject({
      error: 'QuotaExceeded',
      message: expect.stringContaining('2 streams open, and may have 2'),
    })
    await using _elsewhere = await follow(two)
    await allow(3)
    await using _third = await follow(one)
    expect(await exported()).toMatchObject({ error: 'QuotaExceeded' })
    await first[Symbol.asyncDispose]()
    await eventually(
      () =>
        client
          .exportRecords({ job })
          .then(() => true)
          .catch(() => false),
      (isLetIn) => isLetIn,
    )
  })

  test('are as many as the settings say for whom nothing else was said, and any for admins', async () => {
    const caller = await newCaller()
    const job = (await clientAt(one, caller).createJob(INPUT)).data.id
    const follow = async (as: Caller) => {
      const stream = await openStream(one, onTime(as), { job })
      await stream.until('#jobSnapshot')
      return stream
    }
    await using _first = await follow(caller)
    await using refused = await openStream(one, caller, { job })
    expect(await endOf(refused)).toMatchObject({ error: 'QuotaExceeded' })
    await using _one = await follow(root)
    await using _other = await follow(root)
  })
})

test('the service describes the quotas that hold where nothing else was said', async () => {
  const { limits } = (await clientAt(one, await newCaller()).describeService()).data
  expect(limits).toMatchObject({ runningJobs: 3, requestsPerMinute: 200, streams: 1 })
  expect(limits).not.toHaveProperty('reposPerJob')
})
