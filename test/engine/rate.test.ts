import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { repoOf } from '../support/jobs.js'
import { answer } from '../support/network/stand-in-faults.js'
import type { StandInPds } from '../support/network/stand-in-pds.js'
import type { TestService } from '../support/service.js'
import { eventually } from '../support/wait.js'
import { type Bench, expectRecords, finished, POST, StandIns } from './support.js'

const LIST = 'com.atproto.repo.listRecords'

let standIns: StandIns

beforeAll(async () => {
  standIns = await StandIns.start()
})

afterAll(async () => {
  await standIns?.[Symbol.asyncDispose]()
})

/** Times between the first request and each, in ms. */
const elapsed = ({ arrivals }: StandInPds) => arrivals.map(({ at }) => at - arrivals[0]!.at)

describe('a host that answers 429', () => {
  interface Way {
    /** What the headers mean, at least. */
    readonly seconds: number
    readonly headers: () => Record<string, string>
    readonly times?: number
  }
  const WAYS: Record<string, Way> = {
    'Retry-After in seconds': { seconds: 3, headers: () => ({ 'retry-after': '3' }) },
    'Retry-After with a date': {
      seconds: 2,
      headers: () => ({ 'retry-after': new Date(Date.now() + 3_000).toUTCString() }),
    },
    'RateLimit-Reset': {
      seconds: 2,
      headers: () => ({ 'ratelimit-reset': String(Math.floor(Date.now() / 1_000) + 3) }),
    },
    'a short Retry-After, more often than a repo has attempts': {
      seconds: 1,
      headers: () => ({ 'retry-after': '1' }),
      times: 4,
    },
  }

  test('is not asked before the time it states, in whatever way, and no attempt is used up', async () => {
    await using service = await standIns.service({ environment: { HOST_CONCURRENCY: '1' } })
    const backfill = service.as(standIns.caller)
    const hosts = await Promise.all(
      Object.entries(WAYS).map(async ([way, { seconds, headers, times = 1 }]) => {
        const pds = await standIns.pds()
        const dids = standIns.populate(pds, 3, 1)
        // The second repo is refused, perhaps more than once.
        const refuse = { kind: 'answer', status: 429, headers } as const
        const plan = pds.faults.plan(refuse, { did: dids[1]! }, times)
        return { way, seconds, times, pds, dids, plan }
      }),
    )
    const repos = hosts.flatMap(({ dids }) => dids)
    const { data } = await backfill.createJob({ collections: [POST], repos })
    expect(await finished(backfill, data.id)).toMatchObject({
      status: 'completed',
      completedRepos: repos.length,
    })
    for (const { way, seconds, times, pds, dids, plan } of hosts) {
      expect(plan.fired, way).toBe(times)
      const { arrivals } = pds
      for (const [index, { did, at }] of arrivals.entries()) {
        const refused =
          did === dids[1] && arrivals.slice(0, index).filter((one) => one.did === did).length < times
        // Whatever it is that comes next, of any repo.
        if (refused) expect(arrivals[index + 1]!.at - at, way).toBeGreaterThanOrEqual(seconds * 1_000)
      }
      // A page and the empty one that ends a listing for each repo.
      expect(arrivals.length, way).toBe(2 * dids.length + times)
      expect(await repoOf(backfill, data.id, dids[1]!), way).toMatchObject({
        attempts: 0,
        status: 'completed',
      })
    }
    const worlds = hosts.flatMap(({ pds }) => [...pds.world.values()])
    await expectRecords({ backfill, api: service }, data.id, worlds)
  })

  test('is read to the end, also by a reading that cannot be taken up again in the middle', async () => {
    await using service = await standIns.service()
    const backfill = service.as(standIns.caller)
    const pds = await standIns.pds()
    const dids = standIns.populate(pds, 1, 1_000)
    const first = await backfill.createJob({ collections: [POST], repos: dids })
    await finished(backfill, first.data.id)
    // Fewer requests at a time than the repo takes: begun anew after each refusal, it would never end.
    let asked = 0
    pds.faults.plan(answer(429, { 'retry-after': '1' }), () => {
      asked += 1
      return asked % 5 === 0
    })
    const before = pds.count()
    const { data } = await backfill.createJob({ collections: [POST], repos: dids })
    expect(await finished(backfill, data.id)).toMatchObject({ status: 'completed', totalRecords: 1_000 })
    // Eleven pages in the bracket of two revs, and every fifth request once more.
    expect(pds.count() - before).toBeLessThanOrEqual(18)
    await expectRecords({ backfill, api: service }, data.id, pds.world.values())
  })

  describe('without saying until when', () => {
    let bench: Bench
    /** How far the engines' clock is ahead, ms. */
    let ahead = 0
    const now = () => Date.now() + ahead
    let pds: StandInPds
    let other: StandInPds

    beforeAll(async () => {
      bench = await standIns.bench()
      pds = await standIns.pds({ now })
      other = await standIns.pds()
    })

    afterAll(async () => {
      await bench?.[Symbol.asyncDispose]()
    })

    const startEngine = (): Promise<TestService> =>
      standIns.service({ database: bench.database, api: false, overrides: { now } })

    /** Until an engine has looked for work: a repo that failed once is taken up by nothing else. */
    const aLookForWork = async () => {
      const [did] = standIns.populate(other, 1, 1)
      other.faults.plan(answer(500), { did: did! }, 1)
      const { data } = await bench.backfill.createJob({ collections: [POST], repos: [did!] })
      expect(await finished(bench.backfill, data.id)).toMatchObject({ completedRepos: 1 })
      expect(other.count({ did: did! })).toBe(3)
    }

    test('is left alone for a minute, also by an engine that is started meanwhile', async () => {
      const dids = standIns.populate(pds, 3, 1)
      pds.faults.plan(answer(429), {}, 1)
      let engine = await startEngine()
      const { data } = await bench.backfill.createJob({ collections: [POST], repos: dids })
      // An engine that is stopped before it has noted the refusal has learnt nothing.
      await eventually(
        async () => (await bench.backfill.getPdsSummary({ job: data.id })).data.pdsEndpoints[0],
        (host) => host?.state === 'cooling',
      )
      await engine[Symbol.asyncDispose]()
      const asked = pds.count()
      expect(asked).toBeLessThanOrEqual(3)

      engine = await startEngine()
      ahead += 50_000
      await aLookForWork()
      expect(pds.count()).toBe(asked)

      ahead += 20_000
      expect(await finished(bench.backfill, data.id)).toMatchObject({
        status: 'completed',
        completedRepos: 3,
      })
      expect(elapsed(pds)[asked]).toBeGreaterThanOrEqual(60_000)
      await expectRecords(bench, data.id, pds.world.values())
      await engine[Symbol.asyncDispose]()
    })
  })
})

test('two engines on one database ask a host no more than HOST_MAX_RPM and HOST_CONCURRENCY allow', async () => {
  const RPM = 600
  const INTERVAL_MS = 60_000 / RPM
  const BURST = RPM / 60
  await using bench = await standIns.bench()
  const environment = { HOST_MAX_RPM: String(RPM), HOST_CONCURRENCY: '2' }
  const start = () => standIns.service({ database: bench.database, api: false, environment })
  await using _one = await start()
  await using _two = await start()
  const pds = await standIns.pds()
  pds.faults.plan({ kind: 'after', what: () => sleep(30) }, { method: LIST })
  // One job after the other: a pace that began anew with each would show.
  for (const _ of [1, 2]) {
    const repos = standIns.populate(pds, 10, 1)
    const { data } = await bench.backfill.createJob({ collections: [POST], repos })
    expect(await finished(bench.backfill, data.id)).toMatchObject({ status: 'completed', completedRepos: 10 })
  }
  expect(pds.mostAtOnce).toBe(2)
  const at = elapsed(pds)
  expect(at).toHaveLength(40)
  for (const [first, from] of at.entries()) {
    for (const [last, to] of at.entries()) {
      // Four more, because a timer may be early and a request late.
      const allowed = BURST + (to - from) / INTERVAL_MS + 4
      if (last > first) expect(last - first + 1, `requests ${first} to ${last}`).toBeLessThanOrEqual(allowed)
    }
  }
})
