import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { collectRepos } from '../support/jobs.js'
import { answer, type Plan } from '../support/network/stand-in-faults.js'
import type { StandInPds } from '../support/network/stand-in-pds.js'
import type { TestService } from '../support/service.js'
import { RateWindow } from '../support/simulation/rate-limit.js'
import { eventually } from '../support/wait.js'
import { type Bench, expectCounters, expectRecords, finished, POST, StandIns } from './support.js'

const PROBE = 'com.atproto.server.describeServer'
const MINUTE_MS = 60_000

let standIns: StandIns

beforeAll(async () => {
  standIns = await StandIns.start()
})

afterAll(async () => {
  await standIns?.[Symbol.asyncDispose]()
})

describe('a host that says what it allows', () => {
  test('is asked at four fifths of that, and refuses nothing', async () => {
    await using service = await standIns.service()
    const backfill = service.as(standIns.caller)
    const pds = await standIns.pds()
    const window = new RateWindow({ points: 40, windowMs: 4_000, announces: 'honest', refuses: 'seconds' })
    let refused = 0
    pds.announces = () => {
      const { headers, allowed } = window.take(Date.now())
      if (!allowed) refused += 1
      return headers
    }
    // A page and the empty one that ends a listing for each.
    const repos = standIns.populate(pds, 24, 1)
    const { data } = await backfill.createJob({ collections: [POST], repos, method: 'list-records' })
    expect(await finished(backfill, data.id)).toMatchObject({ status: 'completed', completedRepos: 24 })
    expect(refused).toBe(0)
    const { arrivals } = pds
    // One lists their revs.
    expect(arrivals).toHaveLength(49)
    const seconds = (arrivals.at(-1)!.at - arrivals[0]!.at) / 1_000
    // Eight a second; and twelve at once in the beginning: a burst, and four before it has said anything. It would
    // take ten. A busy machine may be late with the first or with the last.
    expect(36 / seconds).toBeLessThanOrEqual(9)
    expect(48 / seconds).toBeGreaterThanOrEqual(5.5)
  })
})

describe('a host that does not answer', () => {
  let bench: Bench
  let engine: TestService
  let pds: StandInPds
  let down: Plan
  /** How far the engine's clock is ahead, ms. */
  let ahead: number

  beforeEach(async () => {
    ahead = 0
    bench = await standIns.bench()
    engine = await startEngine()
    pds = await standIns.pds()
    down = pds.faults.plan(answer(503))
  })

  afterEach(async () => {
    await engine?.[Symbol.asyncDispose]()
    await expectCounters(bench.api)
    await bench?.[Symbol.asyncDispose]()
  })

  const startEngine = () => {
    const overrides = { now: () => Date.now() + ahead, random: () => 0 }
    const environment = { HOST_GIVE_UP_HOURS: '1' }
    return standIns.service({ database: bench.database, api: false, environment, overrides })
  }
  const begin = async (repos: readonly string[]) => {
    const { data } = await bench.backfill.createJob({ collections: [POST], repos: [...repos] })
    return data.id
  }
  const summary = async (job: string) => {
    const { data } = await bench.backfill.getPdsSummary({ job })
    return data.pdsEndpoints.find(({ pdsEndpoint }) => pdsEndpoint === pds.url)
  }
  const parked = (job: string, forAtLeastMs = 0) =>
    eventually(
      () => summary(job),
      (host) => host?.state === 'parked' && Date.parse(host.resumesAt!) >= Date.now() + ahead + forAtLeastMs,
    )
  /** Until the engine has got through a whole look for work. */
  const aLook = async () => {
    const other = await standIns.pds()
    const job = await begin(standIns.populate(other, 1, 1))
    await finished(bench.backfill, job)
  }

  test('is parked with its whole queue, probed alone, and read to the end when it answers again', async () => {
    const repos = standIns.populate(pds, 12, 1)
    const job = await begin(repos)
    const { resumesAt } = (await parked(job))!
    expect(Date.parse(resumesAt!) - Date.now()).toBeLessThanOrEqual(MINUTE_MS)
    await aLook()
    // Five in a row, and those that were under way with them.
    const before = pds.count()
    expect(before).toBeGreaterThanOrEqual(5)
    expect(before).toBeLessThanOrEqual(8)
    const attempts = (await collectRepos(bench.backfill, job)).map((repo) => repo.attempts)
    expect(attempts.reduce((sum, count) => sum + count)).toBe(4)

    ahead += MINUTE_MS + 1_000
    await parked(job, 100_000)
    await aLook()
    expect(pds.arrivals.slice(before).map(({ method }) => method)).toEqual([PROBE])
    expect((await collectRepos(bench.backfill, job)).map((repo) => repo.attempts)).toEqual(attempts)

    // Another process knows it, too.
    await engine[Symbol.asyncDispose]()
    engine = await startEngine()
    await aLook()
    expect(pds.count()).toBe(before + 1)

    down.cancel()
    const asked = pds.count()
    // It reckons by the database's clock, which has not been ahead.
    ahead += 3 * MINUTE_MS
    expect(await finished(bench.backfill, job)).toMatchObject({ status: 'completed', completedRepos: 12 })
    expect(pds.arrivals[asked]).toMatchObject({ method: PROBE })
    expect(pds.count({ method: PROBE })).toBe(2)
    expect((await summary(job))!.state).not.toBe('parked')
    await expectRecords(bench, job, pds.world.values())
  })

  test('is given up in the end: every job ends, and whatever comes later is tried by a probe', async () => {
    const repos = standIns.populate(pds, 10, 1)
    const jobs = [await begin(repos.slice(0, 6)), await begin(repos.slice(4))]
    await parked(jobs[0]!)
    ahead += 61 * MINUTE_MS
    for (const [job, count] of [
      [jobs[0]!, 6],
      [jobs[1]!, 6],
    ] as const) {
      const ended = await finished(bench.backfill, job)
      expect(ended).toMatchObject({ status: 'completed', failedRepos: count })
      expect(ended.failures).toEqual([{ class: 'host-unavailable', count, retryable: true }])
    }
    // Not before it was tried once more.
    expect(pds.count({ method: PROBE })).toBe(1)
    for (const { failure } of await collectRepos(bench.backfill, jobs[0]!)) {
      expect(failure).toMatchObject({ class: 'host-unavailable', retryable: true })
    }

    const later = await begin(repos)
    expect(await finished(bench.backfill, later)).toMatchObject({ failedRepos: 10 })
    expect(pds.count({ method: PROBE })).toBe(2)

    down.cancel()
    const last = await begin(repos)
    expect(await finished(bench.backfill, last)).toMatchObject({ status: 'completed', completedRepos: 10 })
    expect(pds.count({ method: PROBE })).toBe(3)
  })

  test('is not parked for failures with answers between them', async () => {
    down.cancel()
    const repos = standIns.populate(pds, 16, 1)
    const bad = new Set(repos.filter((_, index) => index % 2 === 1))
    const plan = pds.faults.plan(answer(500), ({ did }) => bad.has(did), bad.size)
    const job = await begin(repos)
    expect(await finished(bench.backfill, job)).toMatchObject({ completedRepos: 16 })
    expect(plan.fired).toBe(bad.size)
    expect(pds.count({ method: PROBE })).toBe(0)
  })
})

test('a host with one slow repo is asked for the others meanwhile, as often as they become due', async () => {
  await using service = await standIns.service()
  const backfill = service.as(standIns.caller)
  const pds = await standIns.pds()
  const [slow, twice] = standIns.populate(pds, 2, 1) as [string, string]
  const { promise, resolve } = Promise.withResolvers<void>()
  pds.faults.plan({ kind: 'after', what: () => promise }, { did: slow }, 1)
  pds.faults.plan(answer(500), { did: twice }, 2)
  const { data } = await backfill.createJob({ collections: [POST], repos: [slow, twice] })
  const others = async () =>
    (await collectRepos(backfill, data.id)).filter(({ status }) => status === 'completed')
  await eventually(others, (repos) => repos.length === 1)
  resolve()
  expect(await finished(backfill, data.id)).toMatchObject({ completedRepos: 2 })
  expect(pds.count({ did: slow })).toBe(2)
})
