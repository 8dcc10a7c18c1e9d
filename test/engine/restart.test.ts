import { setTimeout as sleep } from 'node:timers/promises'
import pg from 'pg'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { databaseUrl } from '../support/global-setup.js'
import { finished } from '../support/jobs.js'
import { eventually } from '../support/wait.js'
import { slowWorld } from './slow-world.js'
import { expectRecords, StandIns } from './support.js'

const LIST = 'com.atproto.repo.listRecords'
const RELAY_LIST = 'com.atproto.sync.listReposByCollection'
const PAGE_REPOS = 5

let standIns: StandIns

beforeAll(async () => {
  standIns = await StandIns.start({ relayPageSize: PAGE_REPOS })
})

afterAll(async () => {
  await standIns?.[Symbol.asyncDispose]()
})

test('an engine that is stopped and started again, several times, goes on where it was', async () => {
  const collection = 'network.example.restarted'
  const { records, needed, asked, relayPages } = await slowWorld(standIns, collection, {
    repos: 18,
    pauseMs: 10,
  })
  const { relay } = standIns.network
  await using bench = await standIns.bench()
  const { data } = await bench.backfill.createJob({ collections: [collection] })
  const stops = [1, 0.25, 0.5, 0.75]
    .map((share) => Math.floor(needed * share))
    .sort((a, b) => a - b)
    .slice(0, 3)
  relay.requests.reset()
  for (const stopAt of [2, ...stops]) {
    const engine = await standIns.service({ database: bench.database, api: false })
    await eventually(asked, (count) => count >= stopAt)
    await engine[Symbol.asyncDispose]()
    const still = asked()
    await sleep(50)
    // Nothing goes on by itself after that.
    expect(asked()).toBe(still)
  }
  await using _engine = await standIns.service({ database: bench.database, api: false })
  expect(await finished(bench.backfill, data.id)).toMatchObject({ status: 'completed', completedRepos: 36 })
  await expectRecords(bench, data.id, records())
  // At each stop at most what was in flight: at two hosts four requests each, of repos whose pages before were
  // durable but for the one that is held back until the next has come.
  expect(asked() - needed).toBeLessThanOrEqual((stops.length + 1) * 2 * 4 * 3)
  expect(relay.requests.of(RELAY_LIST) - relayPages(PAGE_REPOS)).toBeLessThanOrEqual(stops.length + 1)
})

test('a driver that has lost its claim in the middle of a page writes nothing of it', async () => {
  const pds = await standIns.pds()
  const [did] = standIns.populate(pds, 1, 150, 'network.example.fenced')
  const held = Promise.withResolvers<void>()
  const plan = pds.faults.plan({ kind: 'after', what: () => held.promise }, { method: LIST, did: did! }, 1)
  await using bench = await standIns.bench()
  await using _engine = await standIns.service({ database: bench.database, api: false })
  const { pool } = bench.api.service.store
  const { data } = await bench.backfill.createJob({ collections: ['network.example.fenced'], repos: [did!] })
  await eventually(
    () => plan.fired,
    (fired) => fired === 1,
  )
  const claimed = await pool.query('update host set epoch = epoch + 100 where origin = $1 returning epoch', [
    pds.url,
  ])
  pds.edit(did!, 'network.example.fenced', { remove: ['r000149'] })
  held.resolve()
  expect(await finished(bench.backfill, data.id)).toMatchObject({ status: 'completed', totalRecords: 149 })
  // It was read from its start by the next driver, which holds the claim now.
  expect(
    pds.arrivals.filter(({ method, cursor }) => method === LIST && cursor === null).length,
  ).toBeGreaterThan(1)
  const { rows } = await pool.query('select epoch from host where origin = $1', [pds.url])
  expect(rows[0].epoch).toBeGreaterThan(claimed.rows[0].epoch)
  await expectRecords(bench, data.id, pds.world.values())
})

test('an engine whose every connection to the database is cut, again and again, goes on by itself', async () => {
  const collection = 'network.example.disconnected'
  const { hosts, records, needed, asked } = await slowWorld(standIns, collection, { repos: 18, pauseMs: 10 })
  await using bench = await standIns.bench()
  await using _engine = await standIns.service({ database: bench.database, api: false })
  const { data } = await bench.backfill.createJob({ collections: [collection] })
  const { url } = bench.database
  const database = new URL(url).pathname.slice(1)
  const admin = new pg.Client({ connectionString: databaseUrl(url, 'postgres') })
  await admin.connect()
  const admit = (is: boolean) => admin.query(`alter database ${database} with allow_connections ${is}`)
  let cut = 0
  for (const share of [0.1, 0.4, 0.7]) {
    await eventually(asked, (count) => count >= needed * share)
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
  expect(job).toMatchObject({ status: 'completed', completedRepos: 18 * hosts.length })
  await expectRecords(bench, data.id, records())
})
