import { setTimeout as sleep } from 'node:timers/promises'
import { readConfig } from '../src/config.js'
import { createLogger } from '../src/events.js'
import { startService } from '../src/service.js'
import { CollectionIds } from '../src/store/collections.js'
import type { Store } from '../src/store/database.js'
import type { Benchmark } from './main.js'
import { type CpuSeconds, cpuSeconds } from './support/cpu.js'
import { backfillNaively } from './support/naive.js'
import { type FakeNetwork, startFakeNetwork } from './support/network.js'
import { COLLECTION } from './support/posts.js'
import { makeJob } from './support/timed-job.js'

const ORIGINS = 20

/** Repos of one size, and how many of them each way of reading gets: enough for some seconds on a quiet machine. */
interface Size {
  readonly name: string
  readonly recordsPerRepo: number
  readonly naive: number
  readonly naive10: number
  readonly engine: number
  /** Requests in flight to one host: as many as by default, or as connections. */
  readonly hostConcurrency: number
}

const SMALL: Size = {
  name: 'small',
  recordsPerRepo: 5,
  naive: 400,
  naive10: 1_000,
  engine: 20_000,
  hostConcurrency: 16,
}
const LARGE: Size = {
  name: 'large',
  recordsPerRepo: 2_000,
  naive: 3,
  naive10: 10,
  engine: 150,
  hostConcurrency: 4,
}

/** No budget of a host or of the directory stands in the way. */
const UNLIMITED = { HOST_MAX_RPM: '1000000', HOST_START_RPM: '1000000', PLC_RPM: '1000000' }

const POLL_MS = 20

/**
 * Records a second from PDSs to the database, with budgets lifted: the engine in one process against a client that
 * takes one repo at a time, and against ten of it side by side. All make the same checks, on empty tables, with the
 * accounts' documents at hand.
 */
export const throughput: Benchmark = {
  about: 'the engine without limits against a naive client, alone and ten side by side',
  async run(store, say, url) {
    const small = await compare(store, url, SMALL, say)
    const large = await compare(store, url, LARGE, say)
    return {
      smallVsNaive: decimal(small.engine / small.naive),
      smallVsNaive10: decimal(small.engine / small.naive10),
      largeVsNaive: decimal(large.engine / large.naive),
      largeVsNaive10: decimal(large.engine / large.naive10),
      smallReposPerSecond: Math.round(small.engine / SMALL.recordsPerRepo),
      largeRecordsPerSecond: Math.round(large.engine),
    }
  },
}

/** @returns records a second of each way */
async function compare(store: Store, url: string, size: Size, say: (line: string) => void) {
  await using network = await startFakeNetwork(ORIGINS, size.recordsPerRepo)
  const collectionId = (await new CollectionIds(store.db).of([COLLECTION])).get(COLLECTION)!
  const naively = (sideBySide: number) => async (job: number) => {
    const began = performance.now()
    await backfillNaively({ pool: store.pool, job, collection: COLLECTION, collectionId }, sideBySide)
    return (performance.now() - began) / 1000
  }
  const measure = async (way: string, repos: number, run: (job: number) => Promise<number>) => {
    const job = await prepare(store, network, repos)
    const before = await cpuSeconds(store.pool)
    const seconds = await run(job)
    const after = await cpuSeconds(store.pool)
    const records = await countRecords(store)
    if (records !== repos * size.recordsPerRepo) throw new Error(`${way}: ${records} records are stored`)
    const rates = `${decimal(repos / seconds)} repos/s, ${Math.round(records / seconds)} records/s`
    say(
      `${size.name} repos, ${way}: ${rates} in ${decimal(seconds)} s; CPU a repo: ${cpuText(before, after, repos)}`,
    )
    return records / seconds
  }
  // Else each way would find nothing compiled, and the first no connection open: that of a job of seconds is another
  // cost than that of a service which runs for weeks.
  await naively(10)(await prepare(store, network, Math.ceil(size.naive10 / 2)))
  await runEngine(store, url, size, await prepare(store, network, Math.ceil(size.engine / 2)))
  return {
    naive: await measure('naive', size.naive, naively(1)),
    naive10: await measure('naive, ten side by side', size.naive10, naively(10)),
    engine: await measure('engine', size.engine, (job) => runEngine(store, url, size, job)),
  }
}

function cpuText(before: CpuSeconds, after: CpuSeconds, repos: number): string {
  const milliseconds = (seconds: number) => `${((seconds / repos) * 1000).toFixed(2)} ms`
  const node = `node ${milliseconds(after.node - before.node)}`
  if (before.postgres === null || after.postgres === null) return node
  return `${node}, postgres ${milliseconds(after.postgres - before.postgres)}`
}

/** Empties the tables, and makes a job for accounts whose documents are at hand. @returns its key */
async function prepare(store: Store, network: FakeNetwork, repos: number): Promise<number> {
  await store.pool.query('truncate record, receipt, job, repo, identity cascade')
  const accounts = network.accounts(repos)
  await store.pool.query(
    `insert into identity (did, document, updated_at)
     select did, document::json, now() from unnest($1::text[], $2::text[]) as t (did, document)`,
    [accounts.map(({ did }) => did), accounts.map(({ document }) => JSON.stringify(document))],
  )
  const from = { repos: accounts.map(({ did }) => did) }
  const job = await makeJob(store, { collections: [COLLECTION], from })
  await store.pool.query('vacuum analyze job_repo, repo, identity')
  await store.pool.query('checkpoint')
  return job
}

/** Has a service do a job. @returns seconds from the job's start to its end, as the job itself tells */
async function runEngine(store: Store, url: string, size: Size, job: number): Promise<number> {
  const config = readConfig({
    ...UNLIMITED,
    DATABASE_URL: url,
    ALLOW_PRIVATE_NETWORK: 'true',
    HOST_CONCURRENCY: String(size.hostConcurrency),
    LOG_LEVEL: 'warn',
  })
  await using _service = await startService({
    config,
    logger: createLogger(config.logLevel, 'stderr'),
    api: false,
    engine: true,
  })
  for (;;) {
    const { rows } = await store.pool.query<{ status: string; seconds: number | null }>(
      'select status, extract(epoch from completed_at - started_at)::float8 as seconds from job where key = $1',
      [job],
    )
    const { status, seconds } = rows[0]!
    if (status === 'completed' && seconds !== null) return seconds
    if (status !== 'running') throw new Error(`the job is ${status}`)
    await sleep(POLL_MS)
  }
}

async function countRecords(store: Store): Promise<number> {
  const { rows } = await store.pool.query<{ records: number }>('select count(*)::int as records from record')
  return rows[0]!.records
}

function decimal(value: number): number {
  return Math.round(value * 10) / 10
}
