import { setTimeout as sleep } from 'node:timers/promises'
import pg from 'pg'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { Writer } from '../../src/engine/writer.js'
import { claimHost, type HostClaim } from '../../src/store/hosts.js'
import { addRepos } from '../../src/store/listings.js'
import { listRecords, type RecordPosition, type StoredRecord } from '../../src/store/records.js'
import { entombMissing, forgetReadings, StepBatch } from '../../src/store/steps.js'
import { moveJob } from '../../src/store/transitions.js'
import { createStore } from '../support/database.js'
import {
  addJob,
  assertCountersEqualRows,
  cidOf,
  completion,
  didOf,
  didsOf,
  drive,
  inTransaction,
  posts,
  randomOf,
  record,
  revOf,
  step,
  storedRecords,
  type TestJob,
  waitingBackends,
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

test('writes about the same jobs, hosts and records in any order never block each other for good', async () => {
  const random = randomOf(4)
  const dids = didsOf(12)
  const jobs: TestJob[] = []
  const hosts: HostClaim[] = []
  for (const origin of ['https://one.example', 'https://two.example', 'https://three.example']) {
    jobs.push(await addJob(store, { repos: dids }))
    hosts.push(await drive(store.db, origin))
  }
  const pairs = jobs.flatMap((job) => dids.map((did) => ({ job, did })))
  const any = <T>(values: readonly T[]) => values[Math.floor(random() * values.length)]!
  // Pages of the same records, forwards and backwards, so that each batch wants rows that others hold.
  const page = ({ job, did }: { job: TestJob; did: string }, number: number) => {
    const rows = shuffled(posts(job, 'a', 'b', 'c', 'd', 'e'), random)
    return step(job, did, any(hosts), {
      status: 'fetching',
      rev: revOf(number),
      reading: random() < 0.5 ? number : undefined,
      rows: rows.map((row) => ({ ...row, cid: cidOf(`${row.rkey}${number}`) })),
    })
  }
  let number = 0
  const batches = async () => {
    while (number < 300) {
      number += 1
      await writeSteps(
        store,
        ...shuffled(pairs, random)
          .slice(0, 20)
          .map((pair) => page(pair, number)),
      )
    }
  }
  const writer = new Writer(store.pool, () => {})
  const replacer = async () => {
    while (number < 300) {
      const { rows, ...end } = page(any(pairs), number)
      const { job, repo, rev } = end
      const collections = rows.map(({ collection }) => collection)
      await writer.writeWith({ ...end, rows }, async (client) => {
        await entombMissing(client, {
          job,
          repo,
          rev,
          level: 'content',
          reading: number,
          collections,
          lastPage: [],
        })
        await forgetReadings(client, end)
      })
    }
  }
  const discoverer = async () => {
    for (let from = 2; number < 300; from += 5) {
      const found = shuffled(didsOf(15, from), random)
      for (const job of shuffled(jobs, random)) {
        await store.db.transaction().execute((trx) => addRepos(trx, job.key, found))
      }
    }
  }
  const claimer = async () => {
    while (number < 300) {
      const index = Math.floor(random() * hosts.length)
      hosts[index] = (await claimHost(store.db, hosts[index]!.host))!
      await sleep(10)
    }
  }
  const mover = async () => {
    while (number < 300) {
      const [from, to] = any([
        ['running', 'pausing'],
        ['pausing', 'running'],
      ] as const)
      await moveJob(store.db, any(jobs).key, [{ from, to }], new Date())
      await sleep(2)
    }
  }
  const writers = [batches(), batches(), batches(), batches(), replacer()]
  await Promise.all([...writers, discoverer(), claimer(), mover()])
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

test('of two ends of one repo at the same time the first takes effect', async () => {
  const job = await addJob(store, { repos: didsOf(1) })
  const host = await drive(store.db)
  const { second } = await inTransaction(store, 'commit', async (client) => {
    const batch = new StepBatch()
    batch.add(completion(job, didOf(0), host, posts(job, 'a')))
    expect(await batch.write(client)).toEqual([true])
    const second = writeSteps(store, step(job, didOf(0), host, { status: 'failed', failure: 'timeout' }))
    await waitingBackends(store)
    return { second }
  })
  expect(await second).toEqual([false])
  const { rows } = await store.pool.query('select status from job_repo')
  expect(rows).toEqual([{ status: 'completed' }])
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
