import { type LexValue, lexToJson } from '@atproto/lexicon'
import { expect, test, vi } from 'vitest'
import { assertCountersEqualRows } from '../support/fixtures.js'
import { collectRecords, collectRepos, finished } from '../support/jobs.js'
import { startTestService } from '../support/service.js'
import type { RateLimit } from '../support/simulation/rate-limit.js'
import { startSimulation } from '../support/simulation/simulation.js'
import { COLLECTIONS } from '../support/simulation/world.js'

// A host that never answers, or too slowly, is waited for several times.
vi.setConfig({ testTimeout: 120_000 })

const [POST, LIKE] = COLLECTIONS as [string, string]

/** Tight enough to be met. */
const LIMIT: RateLimit = { points: 50, windowMs: 1_000, announces: 'honest', refuses: 'seconds' }
const LIMITS: readonly (RateLimit | null)[] = [
  null,
  LIMIT,
  { ...LIMIT, announces: 'lying' },
  { ...LIMIT, announces: 'none', refuses: 'html' },
  { ...LIMIT, refuses: 'date' },
  { ...LIMIT, announces: 'early', refuses: 'reset' },
]

test('a service on a network that goes wrong in every way finds what the world has', async () => {
  await using simulation = await startSimulation({
    addressing: 'guarded',
    seed: 11,
    hosts: 12,
    repos: 300,
    webRepos: 6,
    relays: 2,
    relayPageSize: 25,
    latencyMs: (random) => random.below(5),
    limit: (index) => LIMITS[index % LIMITS.length]!,
    faults: 1,
  })
  const { world, faults, stats } = simulation
  await using service = await startTestService({
    network: simulation,
    overrides: {
      ...simulation.overrides,
      // Long enough for an honest answer on a busy machine.
      http: { ...simulation.overrides.http, headersTimeoutMs: 3_000, slowWindowMs: 3_000, slowBytesMin: 100 },
      sweepEveryMs: 300,
    },
  })
  const backfill = service.as(simulation.caller)
  const { data } = await backfill.createJob({ collections: [POST, LIKE], method: 'list-records' })
  const job = await finished(backfill, data.id, 100_000)
  expect(job).toMatchObject({ status: 'completed' })

  const found = new Map((await collectRepos(backfill, job.id, 100)).map((repo) => [repo.did, repo]))
  const wanted = [...world.accounts()].filter((account) =>
    [POST, LIKE].some((name) => world.count(account, name) > 0),
  )
  expect([...found.keys()].sort()).toEqual(wanted.map(({ did }) => did).sort())
  const ends = wanted.map((account) => {
    const { status, reason, failure } = found.get(account.did)!
    const fault = faults.of(account)
    return [
      account.did,
      fault,
      { status, ...(reason && { reason }), ...(failure && { class: failure.class }) },
    ]
  })
  expect(ends).toEqual(
    wanted.map((account) => [account.did, faults.of(account), simulation.outcome(account)]),
  )

  const records = await collectRecords(backfill, { job: job.id, limit: 1_000 })
  // The client makes objects of links and bytes.
  const plain = records.map(({ uri, cid, value }) => ({ uri, cid, value: lexToJson(value as LexValue) }))
  const expected = wanted
    .filter((account) => simulation.outcome(account).status === 'completed')
    .flatMap((account) => simulation.records(account, [POST, LIKE]))
  const sorted = <T extends { uri: string }>(list: T[]) => list.sort((a, b) => (a.uri < b.uri ? -1 : 1))
  expect(sorted(plain)).toEqual(sorted(expected))
  await assertCountersEqualRows(service.service.store)
  faults.assertEveryFaultFired()
  expect(stats.forbidden).toBe(0)
  expect(stats.totals.tooEarly).toBe(0)
  expect(stats.totals.refused).toBeGreaterThan(0)
})
