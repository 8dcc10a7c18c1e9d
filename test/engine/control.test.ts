import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, beforeAll, expect, test } from 'vitest'
import type { JobView } from '../../codegen/client/types/network/example/backfill/defs.js'
import type { Overrides } from '../../src/service.js'
import { refusal } from '../api/support.js'
import { collectRepos } from '../support/jobs.js'
import { createWebCaller } from '../support/network/caller.js'
import type { StandInPds } from '../support/network/stand-in-pds.js'
import type { Backfill } from '../support/service.js'
import { eventually } from '../support/wait.js'
import { slowWorld } from './slow-world.js'
import {
  ALIVE_EVERY_MS,
  type Bench,
  expectCounters,
  expectRecords,
  finished,
  StandIns,
  told,
} from './support.js'

const LIST = 'com.atproto.repo.listRecords'
const RELAY_LIST = 'com.atproto.sync.listReposByCollection'

/** As in the tests of restarts: what may be read again of one repo that was under way. */
const PAGES_IN_FLIGHT = 3

/** A job has to stop so soon after its last page in flight. On a quiet machine that is a moment. */
const STOPPED_MS = 10_000

/** How long a process may be silent here. It says that it is alive many times as often. */
const SILENT_MS = 4_000

let standIns: StandIns

beforeAll(async () => {
  standIns = await StandIns.start({ relayPageSize: 20 })
})

afterAll(async () => {
  await standIns?.[Symbol.asyncDispose]()
})

const statusOf = async (backfill: Backfill, job: string) => (await backfill.getJobStatus({ job })).data.status

const reached = (backfill: Backfill, job: string, status: string, timeoutMs?: number): Promise<JobView> =>
  eventually(
    async () => (await backfill.getJobStatus({ job })).data,
    (seen) => seen.status === status,
    timeoutMs,
  )

/** An engine that works for the jobs of a bench. */
const engineOn = ({ database }: Bench, overrides: Overrides = {}) =>
  standIns.service({ database, api: false, overrides: { aliveEveryMs: ALIVE_EVERY_MS, ...overrides } })

/** Has a page of a host wait until it is let go: the next one, or the one after so many others. */
function holdPage(pds: StandInPds, { did, others = 0 }: { did?: string; others?: number } = {}) {
  const gate = Promise.withResolvers<void>()
  let seen = 0
  const plan = pds.faults.plan(
    { kind: 'after', what: () => gate.promise },
    (asked) => {
      if (asked.method !== LIST || (did !== undefined && asked.did !== did)) return false
      seen += 1
      return seen > others
    },
    1,
  )
  return {
    release: gate.resolve,
    isHeld: () =>
      eventually(
        () => plan.fired,
        (fired) => fired > 0,
      ),
  }
}

test('a job that is paused stops, keeps what it has, and goes on from its last page', async () => {
  const collection = 'network.example.paused'
  const world = await slowWorld(standIns, collection, { repos: 18, pauseMs: 10 })
  const { total, records, needed, asked, askedAgain } = world
  await using bench = await standIns.bench()
  await using _engine = await engineOn(bench)
  const { backfill } = bench
  const pauses = [0.02, 0.3, 0.6, 0.9]
  let pages = world.holdFrom(needed * pauses[0]!)
  const { data } = await backfill.createJob({ collections: [collection] })
  const job = data.id
  for (const index of pauses.keys()) {
    await pages.isHeld()
    expect((await backfill.pauseJob({ job })).data).toMatchObject({ id: job, status: 'pausing' })
    await told(bench)
    pages.release()
    const paused = await reached(backfill, job, 'paused')
    const still = asked()
    await expectCounters(bench.api)
    await sleep(200)
    expect(asked()).toBe(still)
    expect((await backfill.getJobStatus({ job })).data).toEqual(paused)
    pages = world.holdFrom(needed * (pauses[index + 1] ?? Number.POSITIVE_INFINITY))
    expect((await backfill.resumeJob({ job })).data).toMatchObject({ status: 'running' })
  }
  expect(await finished(backfill, job)).toMatchObject({ status: 'completed', completedRepos: total })
  await expectRecords(bench, job, records())
  expect(askedAgain()).toBeLessThanOrEqual(pauses.length * PAGES_IN_FLIGHT)
})

test('a job is pausing for as long as a page is in flight, keeps that page, and is paused soon after', async () => {
  const collection = 'network.example.pausing'
  const pds = await standIns.pds()
  const [did] = standIns.populate(pds, 1, 950, collection) as [string]
  const page = holdPage(pds, { others: 4 })
  await using bench = await standIns.bench()
  await using _engine = await engineOn(bench, { silentMs: SILENT_MS })
  const { backfill } = bench
  const { data } = await backfill.createJob({ collections: [collection], repos: [did] })
  const job = data.id
  await page.isHeld()
  await backfill.pauseJob({ job })
  // Longer than any process may be silent: a job that waits for a slow host is not taken for dead.
  await sleep(SILENT_MS + 500)
  await told(bench)
  expect(await statusOf(backfill, job)).toBe('pausing')
  expect((await backfill.pauseJob({ job })).data.status).toBe('pausing')
  expect(await refusal(backfill.resumeJob({ job }))).toMatchObject({ error: 'InvalidState' })
  page.release()
  const paused = await reached(backfill, job, 'paused', STOPPED_MS)
  expect(paused.totalRecords).toBeGreaterThanOrEqual(300)
  const before = pds.count({ method: LIST })
  await backfill.resumeJob({ job })
  expect(await finished(backfill, job)).toMatchObject({ status: 'completed', totalRecords: 950 })
  // Ten pages with records and the empty one: those that were stored are not asked for again.
  expect(pds.count({ method: LIST }) - before).toBeLessThanOrEqual(11 - paused.totalRecords / 100 + 1)
  await expectRecords(bench, job, pds.world.values())
})

test('a job that is cancelled while it is pausing is cancelled, and what it has stays', async () => {
  const collection = 'network.example.cancelled'
  const pds = await standIns.pds()
  standIns.populate(pds, 30, 3, collection)
  await using bench = await standIns.bench()
  await using _engine = await engineOn(bench)
  const { backfill } = bench
  const last = standIns.populate(pds, 1, 250, collection)[0]!
  const page = holdPage(pds, { did: last })
  const { data } = await backfill.createJob({ collections: [collection] })
  const job = data.id
  await page.isHeld()
  await eventually(
    async () => (await backfill.getJobStatus({ job })).data.completedRepos,
    (completed) => completed === 30,
  )
  await backfill.pauseJob({ job })
  expect((await backfill.cancelJob({ job })).data.status).toBe('cancelling')
  expect((await backfill.cancelJob({ job })).data.status).toBe('cancelling')
  for (const call of [backfill.pauseJob, backfill.resumeJob]) {
    expect(await refusal(call.call(backfill, { job }))).toMatchObject({ error: 'InvalidState' })
  }
  // Before that it may well read the rest of the repo.
  await told(bench)
  page.release()
  const cancelled = await reached(backfill, job, 'cancelled', STOPPED_MS)
  expect(cancelled).toMatchObject({ stage: 'cancelled', completedRepos: 30, completedAt: expect.any(String) })
  expect(await refusal(backfill.cancelJob({ job }))).toMatchObject({ error: 'InvalidState' })
  expect(await refusal(backfill.retryJob({ job }))).toMatchObject({ error: 'InvalidState' })
  const asked = pds.count({ method: LIST })
  await sleep(500)
  expect(pds.count({ method: LIST })).toBe(asked)
  const done = new Set(
    (await collectRepos(backfill, job)).filter((repo) => repo.status === 'completed').map((repo) => repo.did),
  )
  await expectRecords(
    bench,
    job,
    [...pds.world.values()].filter(({ uri }) => done.has(uri.split('/')[2]!)),
  )
})

test('a job that is cancelled during discovery ends, and asks the relay no more', async () => {
  const collection = 'network.example.undiscovered'
  const pds = await standIns.pds()
  standIns.populate(pds, 100, 1, collection)
  await using bench = await standIns.bench()
  const { backfill } = bench
  const held = Promise.withResolvers<void>()
  const { relay } = standIns
  relay.requests.reset()
  relay.hold(held.promise)
  await using _engine = await standIns.service({ database: bench.database, api: false })
  const { data } = await backfill.createJob({ collections: [collection] })
  const job = data.id
  await eventually(
    () => relay.requests.of(RELAY_LIST),
    (count) => count > 0,
  )
  expect((await backfill.cancelJob({ job })).data.status).toBe('cancelling')
  await sleep(300)
  expect(await statusOf(backfill, job)).toBe('cancelling')
  held.resolve()
  await reached(backfill, job, 'cancelled', STOPPED_MS)
  const asked = relay.requests.of(RELAY_LIST)
  await sleep(800)
  expect(relay.requests.of(RELAY_LIST)).toBe(asked)
  await expectCounters(bench.api)
})

test('a job without an engine is paused, resumed and cancelled all the same', async () => {
  await using bench = await standIns.bench()
  const { backfill } = bench
  const { data } = await backfill.createJob({ collections: ['network.example.idle'] })
  const job = data.id
  expect((await backfill.pauseJob({ job })).data.status).toBe('pausing')
  expect(await statusOf(backfill, job)).toBe('paused')
  const resumed = await Promise.allSettled([
    backfill.resumeJob({ job }),
    backfill.resumeJob({ job }),
    backfill.resumeJob({ job }),
  ])
  expect(resumed.filter(({ status }) => status === 'fulfilled')).toHaveLength(1)
  expect(await statusOf(backfill, job)).toBe('running')
  await backfill.pauseJob({ job })
  expect((await backfill.cancelJob({ job })).data.status).toBe('cancelling')
  expect(await statusOf(backfill, job)).toBe('cancelled')
})

test('a job whose last repo ends while it is being paused is either completed or paused, and completed in the end', async () => {
  await using bench = await standIns.bench()
  await using _engine = await standIns.service({ database: bench.database, api: false })
  const { backfill } = bench
  const tryOnce = async (_: unknown, round: number) => {
    const collection = `network.example.last${round}`
    const pds = await standIns.pds()
    const [did] = standIns.populate(pds, 1, 1, collection) as [string]
    const page = holdPage(pds)
    const { data } = await backfill.createJob({ collections: [collection], repos: [did] })
    const job = data.id
    await page.isHeld()
    page.release()
    await sleep(Math.random() * 250)
    const pausing = await backfill.pauseJob({ job }).catch((error: unknown) => error)
    const rest = await eventually(
      () => statusOf(backfill, job),
      (status) => ['paused', 'completed'].includes(status),
    )
    expect(pausing instanceof Error).toBe(rest === 'completed')
    if (rest === 'paused') await backfill.resumeJob({ job })
    expect(await finished(backfill, job)).toMatchObject({
      status: 'completed',
      completedRepos: 1,
      totalRecords: 1,
    })
  }
  await Promise.all(Array.from({ length: 12 }, tryOnce))
  await expectCounters(bench.api)
})

test('callers take turns at a host: a small job is not behind a large one, nor behind many', async () => {
  const JOBS = 12
  const collection = 'network.example.shared'
  const pds = await standIns.pds()
  const large = standIns.populate(pds, JOBS * 40, 1, collection)
  const small = standIns.populate(pds, 8, 1, collection)
  pds.faults.plan({ kind: 'after', what: () => sleep(20) }, { method: LIST })
  await using bench = await standIns.bench()
  await using _engine = await standIns.service({
    database: bench.database,
    api: false,
    environment: { HOST_CONCURRENCY: '2' },
  })
  await using other = await createWebCaller()
  const jobs = await Promise.all(
    Array.from({ length: JOBS }, async (_, index) => {
      const repos = large.slice(index * 40, (index + 1) * 40)
      return (await bench.backfill.createJob({ collections: [collection], repos })).data.id
    }),
  )
  await eventually(
    () => pds.count({ method: LIST }),
    (count) => count >= 40,
  )
  const theirs = bench.api.as(other)
  const { data } = await theirs.createJob({ collections: [collection], repos: small })
  await finished(theirs, data.id)
  // Some may have ended by themselves meanwhile.
  for (const job of jobs) await bench.backfill.cancelJob({ job }).catch(() => {})
  for (const job of jobs) {
    expect(['cancelled', 'completed']).toContain((await finished(bench.backfill, job)).status)
  }
  const turns = pds.arrivals.filter(({ method }) => method === LIST).map(({ did }) => small.includes(did))
  const own = turns.filter((isOwn) => isOwn).length
  const meanwhile = turns.slice(turns.indexOf(true), turns.lastIndexOf(true)).length - own
  // Turn by turn, and not one of thirteen. What was begun before counts a little.
  expect(meanwhile).toBeLessThan(3 * own)
  await expectCounters(bench.api)
}, 120_000)

test('repos that failed are tried again, and only those', async () => {
  const collection = 'network.example.retried'
  const pds = await standIns.pds()
  const dids = standIns.populate(pds, 6, 2, collection)
  const down = pds.faults.plan(
    { kind: 'answer', status: 503 },
    ({ method, did }) => method === LIST && did === dids[0],
  )
  const wrong = pds.faults.plan(
    {
      kind: 'change',
      change: (body) => ({
        ...body,
        records: body.records.map((record: object) => ({ ...record, cid: 'no' })),
      }),
    },
    { method: LIST, did: dids[1]! },
  )
  await using bench = await standIns.bench()
  await using _engine = await standIns.service({ database: bench.database, api: false })
  const { backfill } = bench
  const { data } = await backfill.createJob({ collections: [collection], repos: dids })
  const job = data.id
  expect(await refusal(backfill.retryJob({ job }))).toMatchObject({ error: 'InvalidState' })
  const first = await finished(backfill, job)
  expect(first).toMatchObject({ status: 'completed', completedRepos: 4, failedRepos: 2 })
  down.cancel()
  wrong.cancel()
  const asked = pds.count({ method: LIST })
  expect((await backfill.retryJob({ job, classes: ['host-error'] })).data).toMatchObject({
    status: 'running',
  })
  expect(await finished(backfill, job)).toMatchObject({
    status: 'completed',
    completedRepos: 5,
    failedRepos: 1,
  })
  expect((await backfill.retryJob({ job, classes: ['bad-response', 'cid-mismatch'] })).data.failedRepos).toBe(
    0,
  )
  const last = await finished(backfill, job)
  expect(last).toMatchObject({ status: 'completed', completedRepos: 6, failedRepos: 0, failures: [] })
  expect(pds.count({ method: LIST }) - asked).toBeLessThanOrEqual(2 * 2)
  expect(await refusal(backfill.retryJob({ job }))).toMatchObject({
    error: 'InvalidState',
    message: expect.stringContaining('nothing'),
  })
  await expectRecords(bench, job, pds.world.values())
})

test('the details of a finished job go away, and those of a running one do not', async () => {
  const collection = 'network.example.forgotten'
  const pds = await standIns.pds()
  const dids = standIns.populate(pds, 3, 2, collection)
  const page = holdPage(pds)
  await using bench = await standIns.bench()
  await using _engine = await standIns.service({
    database: bench.database,
    api: false,
    overrides: { houseEveryMs: 100 },
  })
  const { backfill } = bench
  const { data } = await backfill.createJob({ collections: [collection], repos: dids })
  const job = data.id
  await page.isHeld()
  expect(await refusal(backfill.deleteJobDetails({ job }))).toMatchObject({ error: 'InvalidState' })
  expect((await backfill.deleteAllJobDetails()).data).toEqual({ jobs: 0, deletedRepos: 0 })
  page.release()
  await finished(backfill, job)
  // Made a moment after the end.
  const ended = await eventually(
    async () => (await backfill.getJobStatus({ job })).data,
    ({ manifest }) => manifest !== undefined,
  )
  expect((await backfill.deleteJobDetails({ job })).data).toEqual({ deletedRepos: 3 })
  expect((await backfill.deleteJobDetails({ job })).data).toEqual({ deletedRepos: 0 })
  for (const call of [
    () => backfill.listJobRepos({ job }),
    () => backfill.listRecords({ job }),
    () => backfill.getPdsSummary({ job }),
    () => backfill.retryJob({ job }),
  ]) {
    expect(await refusal(call())).toMatchObject({ error: 'DetailsDeleted' })
  }
  expect((await backfill.getJobStatus({ job })).data).toEqual(ended)
  const { pool } = bench.api.service.store
  const left = () => pool.query('select from job_repo')
  await eventually(left, ({ rowCount }) => rowCount === 0)
  await eventually(
    () => pool.query('select details from job'),
    ({ rows }) => rows[0]?.details === 'deleted',
  )
  // The records are other jobs' too.
  expect((await pool.query('select from record')).rowCount).toBe(6)
})

test('the details of a job that ended long ago go away by themselves', async () => {
  const collection = 'network.example.old'
  const pds = await standIns.pds()
  const dids = standIns.populate(pds, 3, 2, collection)
  await using bench = await standIns.bench()
  await using _engine = await standIns.service({
    database: bench.database,
    api: false,
    overrides: { houseEveryMs: 100 },
  })
  const { backfill } = bench
  const { pool } = bench.api.service.store
  const run = async () => {
    const { data } = await backfill.createJob({ collections: [collection], repos: dids })
    await finished(backfill, data.id)
    return data.id
  }
  const [old, young] = [await run(), await run()]
  await pool.query(`update job set completed_at = now() - interval '29 days' where id = $1`, [old])
  await pool.query(`update job set completed_at = now() - interval '27 days' where id = $1`, [young])
  await eventually(
    () => pool.query('select from job_repo'),
    ({ rowCount }) => rowCount === 3,
  )
  expect(await refusal(backfill.listJobRepos({ job: old }))).toMatchObject({ error: 'DetailsDeleted' })
  expect(await collectRepos(backfill, young)).toHaveLength(3)
})
