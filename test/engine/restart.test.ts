import { setTimeout as sleep } from 'node:timers/promises'
import pg from 'pg'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { databaseUrl } from '../support/global-setup.js'
import { repoOf } from '../support/jobs.js'
import { eventually } from '../support/wait.js'
import { slowWorld } from './slow-world.js'
import { expectRecords, finished, StandIns } from './support.js'

const LIST = 'com.atproto.repo.listRecords'
const RELAY_LIST = 'com.atproto.sync.listReposByCollection'
const PAGE_REPOS = 5
/** The default. */
const HOST_CONCURRENCY = 4

/**
 * Of a repo that is read: the page held back until the next has come, that one, and one whose rows are on their
 * way to the database.
 */
const PAGES_IN_FLIGHT = 3

let standIns: StandIns

beforeAll(async () => {
  standIns = await StandIns.start({ relayPageSize: PAGE_REPOS })
})

afterAll(async () => {
  await standIns?.[Symbol.asyncDispose]()
})

test('an engine that is stopped and started again, several times, goes on where it was', async () => {
  const collection = 'network.example.restarted'
  const world = await slowWorld(standIns, collection, { repos: 18, pauseMs: 10 })
  const { total, records, needed, asked, askedAgain, relayPages } = world
  const { relay } = standIns
  await using bench = await standIns.bench()
  const { data } = await bench.backfill.createJob({ collections: [collection] })
  relay.requests.reset()
  const stops = [0.02, 0.4, 0.75, 0.85]
  for (const share of stops) {
    const engine = await standIns.service({ database: bench.database, api: false })
    await eventually(asked, (count) => count >= needed * share)
    await engine[Symbol.asyncDispose]()
    const still = asked()
    await sleep(50)
    // Nothing goes on by itself after that.
    expect(asked()).toBe(still)
  }
  await using _engine = await standIns.service({ database: bench.database, api: false })
  expect(await finished(bench.backfill, data.id)).toMatchObject({
    status: 'completed',
    completedRepos: total,
  })
  await expectRecords(bench, data.id, records())
  expect(askedAgain()).toBeLessThanOrEqual(stops.length * PAGES_IN_FLIGHT)
  const atOnce = world.hosts.length * HOST_CONCURRENCY
  expect(asked() - needed).toBeLessThanOrEqual(stops.length * atOnce * PAGES_IN_FLIGHT)
  expect(relay.requests.of(RELAY_LIST) - relayPages(PAGE_REPOS)).toBeLessThanOrEqual(stops.length)
})

test('a driver that has lost its claim in the middle of a page writes nothing of it', async () => {
  const collection = 'network.example.fenced'
  const pds = await standIns.pds()
  const [did] = standIns.populate(pds, 1, 150, collection) as [string]
  const held = Promise.withResolvers<void>()
  const plan = pds.faults.plan({ kind: 'after', what: () => held.promise }, { method: LIST }, 1)
  await using bench = await standIns.bench()
  await using _engine = await standIns.service({ database: bench.database, api: false })
  const { pool } = bench.api.service.store
  const { data } = await bench.backfill.createJob({ collections: [collection], repos: [did] })
  await eventually(
    () => plan.fired,
    (fired) => fired === 1,
  )
  // Somebody else has the host now, and does nothing with it.
  await pool.query(`update host set epoch = epoch + 1, next_request_at = 'infinity' where origin = $1`, [
    pds.url,
  ])
  held.resolve()
  await eventually(
    () => pool.query(`select from pgboss.job where name = 'drive' and state in ('created', 'active')`),
    ({ rowCount }) => rowCount === 0,
  )
  expect(pds.count({ method: LIST })).toBeGreaterThan(1)
  expect((await pool.query('select from record')).rowCount).toBe(0)
  expect(await repoOf(bench.backfill, data.id, did)).toMatchObject({ status: 'resolved', recordsFetched: 0 })

  await pool.query(`update host set next_request_at = '-infinity' where origin = $1`, [pds.url])
  expect(await finished(bench.backfill, data.id)).toMatchObject({ status: 'completed', totalRecords: 150 })
  await expectRecords(bench, data.id, pds.world.values())
})

test('an engine whose every connection to the database is cut, again and again, goes on by itself', async () => {
  const collection = 'network.example.disconnected'
  const { total, records, needed, asked } = await slowWorld(standIns, collection, { repos: 18, pauseMs: 10 })
  await using bench = await standIns.bench()
  await using _engine = await standIns.service({ database: bench.database, api: false })
  const { data } = await bench.backfill.createJob({ collections: [collection] })
  const { url } = bench.database
  const database = new URL(url).pathname.slice(1)
  const admin = new pg.Client({ connectionString: databaseUrl(url, 'postgres') })
  await admin.connect()
  const admit = (is: boolean) => admin.query(`alter database ${database} with allow_connections ${is}`)
  // Look-ups take their time too, so that some are under way when what came of others cannot be written.
  const { directory } = standIns
  const lookedUp = directory.arrivals.length
  directory.faults.plan({ kind: 'after', what: () => sleep(20 + Math.random() * 300) })
  let cut = 0
  for (const share of [0, 0.1, 0.4, 0.7]) {
    await eventually(
      () => share === 0 || asked() >= needed * share,
      (is) => is && directory.arrivals.length >= lookedUp + 20,
    )
    // For a while nobody gets a new connection either.
    if (share === 0.4) await admit(false)
    const { rowCount } = await admin.query(
      `select pg_terminate_backend(pid) from pg_stat_activity
       where datname = $1 and backend_type = 'client backend'`,
      [database],
    )
    cut += rowCount ?? 0
    if (share === 0.4) await sleep(1_000).then(() => admit(true))
  }
  await admin.end()
  expect(cut).toBeGreaterThanOrEqual(6)
  const job = await eventually(
    () => finished(bench.backfill, data.id).catch(() => null),
    (ended) => ended !== null,
  )
  expect(job).toMatchObject({ status: 'completed', completedRepos: total })
  await expectRecords(bench, data.id, records())
})
