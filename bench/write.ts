import { cidOfJson } from '../src/atproto/content.js'
import { Writer } from '../src/engine/writer.js'
import { CollectionIds } from '../src/store/collections.js'
import type { Store } from '../src/store/database.js'
import { claimHost, hostIds } from '../src/store/hosts.js'
import type { RecordRow, RepoStep } from '../src/store/steps.js'
import type { Benchmark } from './main.js'
import { makeJob } from './support/timed-job.js'

const REPOS = 2_000
const RECORDS_PER_REPO = 20
const ROUNDS = 5
const COLLECTION = 'network.example.post'

/** Steps offered to the writer at the same time: as many as a busy engine has in flight. */
const IN_FLIGHT = 800

/**
 * Rows a second of the engine's writer (rows, receipts, progress and counters in one statement, made durable as
 * a service makes them) against one `INSERT … ON CONFLICT` per record on one connection.
 */
export const write: Benchmark = {
  about: 'the batched writer against one INSERT per record; a re-run over unchanged rows against the first',
  async run(store, say) {
    const rows = makeRows()
    const total = REPOS * RECORDS_PER_REPO
    const collection = (await new CollectionIds(store.db).of([COLLECTION])).get(COLLECTION)!
    const first: number[] = []
    const unchanged: number[] = []
    for (let round = 0; round < ROUNDS; round += 1) {
      await store.pool.query('truncate record, job cascade')
      await store.pool.query('checkpoint')
      first.push(total / (await batched(store, collection, rows, `first${round}`)))
      unchanged.push(total / (await batched(store, collection, rows, `again${round}`)))
    }
    await store.pool.query('truncate record, job cascade')
    await store.pool.query('checkpoint')
    const single = total / (await oneByOne(store, collection, rows))
    say(`one INSERT per record: ${Math.round(single)} rows/s`)
    say(`batched, first run:    ${Math.round(median(first))} rows/s (${ROUNDS} rounds)`)
    say(`batched, unchanged:    ${Math.round(median(unchanged))} rows/s`)
    return {
      batchedVsSingle: round(median(first) / single),
      unchangedVsFirst: round(median(unchanged) / median(first)),
    }
  },
}

/** @returns seconds to make every repo of a new job durable */
async function batched(
  store: Store,
  collection: number,
  rows: readonly RecordRow[][],
  jobId: string,
): Promise<number> {
  const prepared = await prepareSteps(store, collection, rows, jobId)
  const writer = new Writer(store.pool, () => {})
  const began = performance.now()
  const queue = prepared.values()
  const producer = async () => {
    for (const step of queue) if (!(await writer.write(step))) throw new Error('a step did not take effect')
  }
  await Promise.all(Array.from({ length: IN_FLIGHT }, producer))
  return (performance.now() - began) / 1000
}

async function prepareSteps(
  store: Store,
  collection: number,
  rows: readonly RecordRow[][],
  id: string,
): Promise<RepoStep[]> {
  const origin = 'https://pds.example'
  const claim = (await claimHost(store.db, (await hostIds(store.db, [origin])).get(origin)!))!
  const from = { repos: rows.map((_, index) => didOf(index)) }
  const job = await makeJob(store, { id, collections: [COLLECTION], from })
  const { rows: repos } = await store.pool.query<{ job: number; did: string; repo: number; scope: number }>(
    'select r.job, r.did, r.repo, job.scope from job_repo r join job on job.key = r.job where job.key = $1 order by did',
    [job],
  )
  await store.pool.query('vacuum analyze job_repo')
  return repos.map(({ scope, ...repo }, index) => ({
    ...repo,
    fence: claim,
    status: 'completed',
    method: 'list-records',
    attempts: 0,
    records: RECORDS_PER_REPO,
    recordsAdded: RECORDS_PER_REPO,
    level: 'content',
    rev: null,
    rows: rows[index]!.map((row) => ({ ...row, collection })),
    receipt: { scope, rev: null, dataCid: null, counts: { [COLLECTION]: RECORDS_PER_REPO } },
  }))
}

/** @returns seconds */
async function oneByOne(store: Store, collection: number, rows: readonly RecordRow[][]): Promise<number> {
  const client = await store.pool.connect()
  try {
    const began = performance.now()
    for (const [repo, records] of rows.entries()) {
      for (const { rkey, cid, value } of records) {
        await client.query(
          `insert into record (repo, collection, level, rkey, cid, value) values ($1, $2, 'content', $3, $4, $5)
           on conflict (repo, collection, rkey) do update set cid = excluded.cid, value = excluded.value`,
          [repo, collection, rkey, cid, value],
        )
      }
    }
    return (performance.now() - began) / 1000
  } finally {
    client.release()
  }
}

/** Posts of a few hundred bytes, the same in every run. */
function makeRows(): RecordRow[][] {
  return Array.from({ length: REPOS }, (_, repo) =>
    Array.from({ length: RECORDS_PER_REPO }, (_, index) => {
      const text = `Post ${index} of account ${repo}. `.repeat(5 + ((repo + index) % 8))
      const value = {
        $type: COLLECTION,
        text,
        langs: ['en'],
        createdAt: new Date(1.7e12 + index * 1e6).toISOString(),
      }
      return {
        collection: 0,
        rkey: `3k${String(repo).padStart(5, '2')}${String(index).padStart(6, '2')}`,
        cid: cidOfJson(value)!,
        value: JSON.stringify(value),
      }
    }),
  )
}

/** In the order Postgres sorts them, so that index and DID go together. */
function didOf(index: number): string {
  return `did:plc:${String(index).padStart(24, 'a')}`
}

function median(values: readonly number[]): number {
  return [...values].sort((a, b) => a - b)[values.length >> 1]!
}

function round(value: number): number {
  return Math.round(value * 100) / 100
}
