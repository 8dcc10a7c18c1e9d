import { setTimeout as sleep } from 'node:timers/promises'
import pg from 'pg'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { Writer } from '../../src/engine/writer.js'
import { addRepos } from '../../src/store/listings.js'
import { listRecords, type RecordPosition, type StoredRecord } from '../../src/store/records.js'
import { type RepoStep, StepBatch } from '../../src/store/steps.js'
import { createStore } from '../support/database.js'
import {
  addJob,
  assertCountersEqualRows,
  cidOf,
  completion,
  didsOf,
  drive,
  posts,
  randomOf,
  record,
  step,
  storedRecords,
  type TestJob,
  writeSteps,
} from '../support/fixtures.js'

let store: Awaited<ReturnType<typeof createStore>>

beforeEach(async () => {
  store = await createStore()
})

afterEach(async () => {
  await assertCountersEqualRows(store)
  await store[Symbol.asyncDispose]()
})

function shuffled<T>(values: readonly T[], random: () => number): T[] {
  return values
    .map((value) => ({ value, at: random() }))
    .sort((a, b) => a.at - b.at)
    .map(({ value }) => value)
}

test('batches about the same jobs, hosts and records in any order never block each other for good', async () => {
  const random = randomOf(4)
  const dids = didsOf(12)
  const jobs = [
    await addJob(store, { repos: dids }),
    await addJob(store, { repos: dids }),
    await addJob(store, { repos: dids }),
  ]
  const hosts = [
    await drive(store.db),
    await drive(store.db, 'https://second.example'),
    await drive(store.db, 'https://third.example'),
  ]
  // Pages of the same records, forwards and backwards, so that each batch wants rows that others hold.
  const makeBatch = (number: number): RepoStep[] =>
    shuffled(
      jobs.flatMap((job) => dids.map((did) => ({ job, did }))),
      random,
    )
      .slice(0, 20)
      .map(({ job, did }) => {
        const rows = shuffled(posts(job, 'a', 'b', 'c', 'd', 'e'), random).map((row) => ({
          ...row,
          cid: cidOf(`${row.rkey}${number}`),
        }))
        return step(job, did, hosts[Math.floor(random() * hosts.length)]!, { status: 'fetching', rows })
      })
  const batches = Array.from({ length: 300 }, (_, index) => makeBatch(index)).values()
  let discovered = 12
  const writer = async () => {
    for (const batch of batches) {
      expect(await writeSteps(store, ...batch)).toEqual(batch.map(() => true))
    }
  }
  const discoverer = async () => {
    for (let page = 0; page < 20; page += 1) {
      const found = shuffled(didsOf(15, discovered - 10), random)
      discovered += 5
      for (const job of shuffled(jobs, random)) {
        await store.db.transaction().execute((trx) => addRepos(trx, job.key, found))
      }
    }
  }
  await Promise.all([writer(), writer(), writer(), writer(), discoverer()])
  expect(await storedRecords(store)).toHaveLength(12 * 5)
})

test('of two rows for one record in the same batch the stronger one stays', async () => {
  const dids = didsOf(2)
  const [job, other] = [await addJob(store, { repos: dids }), await addJob(store, { repos: dids })]
  const [host, second] = [await drive(store.db), await drive(store.db, 'https://second.example')]
  const rowsAt = (rev: string) => posts(job, 'a').map((row) => ({ ...row, cid: cidOf(rev) }))
  const newer = { rev: '3kz', rows: rowsAt('3kz') }
  const older = { rev: '3ka', rows: rowsAt('3ka') }
  const applied = await writeSteps(
    store,
    completion(job, dids[0]!, host, older.rows, older),
    completion(other, dids[0]!, second, newer.rows, newer),
    completion(job, dids[1]!, host, newer.rows, newer),
    completion(other, dids[1]!, second, older.rows, older),
  )
  expect(applied).toEqual([true, true, true, true])
  const stored = (await storedRecords(store)).map(({ cid, rev }) => [cid, rev])
  expect(stored).toEqual([
    [cidOf('3kz'), '3kz'],
    [cidOf('3kz'), '3kz'],
  ])
  const receipts = await store.pool.query('select rev from receipt')
  expect(receipts.rows).toEqual([{ rev: '3kz' }, { rev: '3kz' }])
})

const PAGE = 7

/** Everything from a position to where the job's records end for now, page by page. */
async function readOn(
  job: TestJob,
  after: RecordPosition | null,
): Promise<{ records: StoredRecord[]; at: RecordPosition | null }> {
  const records: StoredRecord[] = []
  let at = after
  for (;;) {
    const query = { job: job.key, scope: job.scope, collection: null, did: null, limit: PAGE }
    const page = await listRecords(store.db, query, at)
    records.push(...page)
    at = page.at(-1) ?? at
    if (page.length < PAGE) return { records, at }
  }
}

test('a reader that goes on from where it was misses nothing that is being written', async () => {
  const random = randomOf(5)
  const dids = didsOf(150)
  const job = await addJob(store, { repos: dids })
  const host = await drive(store.db)
  const noise = await addJob(store, { repos: dids })
  const ends = dids.map((did, index) =>
    completion(
      job,
      did,
      host,
      Array.from({ length: index % 4 }, (_, row) => record(1 + (row % 2), `k${index}-${row}`)),
    ),
  )
  const queue = shuffled(ends, random).values()
  // Each writer has a connection of its own and dawdles before and after its batch, inside the transaction.
  const dawdler = async () => {
    const client = new pg.Client(store.url)
    await client.connect()
    for (const end of queue) {
      const batch = new StepBatch()
      batch.add(step(noise, end.did, host, { status: 'fetching' }))
      batch.add(end)
      const more = random() < 0.5 ? queue.next().value : undefined
      if (more) batch.add(more)
      await client.query('begin')
      await client.query('select pg_sleep($1)', [random() * 0.004])
      await batch.write(client)
      await client.query('select pg_sleep($1)', [random() * 0.008])
      await client.query('commit')
    }
    await client.end()
  }
  const writer = new Writer(store.pool, () => {})
  const alone = async () => {
    for (const end of queue) {
      const dawdle = async (client: pg.PoolClient) => {
        await client.query('select pg_sleep($1)', [random() * 0.006])
      }
      expect(await writer.writeWith(end, dawdle)).toBe(true)
    }
  }
  let writing = true
  const reader = async (pauseMs: number) => {
    const seen: StoredRecord[] = []
    let at: RecordPosition | null = null
    let rounds = 0
    for (let last = false; !last; ) {
      last = !writing
      const found = await readOn(job, at)
      seen.push(...found.records)
      at = found.at
      rounds += 1
      if (!last) await sleep(random() * pauseMs)
    }
    return { seen, rounds }
  }
  const readers = [reader(3), reader(40)]
  await Promise.all([dawdler(), dawdler(), dawdler(), alone()]).finally(() => {
    writing = false
  })
  const all = (await readOn(job, null)).records
  expect(all).toHaveLength(ends.reduce((sum, end) => sum + end.rows.length, 0))
  for (const { seen, rounds } of await Promise.all(readers)) {
    expect(rounds).toBeGreaterThan(3)
    expect(seen).toEqual(all)
  }
})
