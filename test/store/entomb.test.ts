import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from 'vitest'
import { Writer } from '../../src/engine/writer.js'
import { TextArray } from '../../src/store/binary.js'
import type { HostClaim } from '../../src/store/hosts.js'
import { entombMissing, type RecordRow, type RepoStep } from '../../src/store/steps.js'
import { createStore } from '../support/database.js'
import {
  addJob,
  assertCountersEqualRows,
  cidOf,
  completion,
  didOf,
  drive,
  empty,
  LIKE,
  POST,
  posts,
  record,
  step,
  storedRecords,
  type TestJob,
  writeSteps,
} from '../support/fixtures.js'

/** Removing what a complete reading did not contain. */

let store: Awaited<ReturnType<typeof createStore>>
let job: TestJob
let host: HostClaim

beforeAll(async () => {
  store = await createStore()
})

afterAll(() => store[Symbol.asyncDispose]())

beforeEach(async () => {
  job = await addJob(store, { repos: [didOf(0), didOf(1)] })
  host = await drive(store.db)
})

afterEach(async () => {
  await assertCountersEqualRows(store)
  await empty(store)
})

async function put(did: string, rows: readonly RecordRow[], as: Partial<RepoStep> = {}): Promise<void> {
  const count = { records: 0, recordsAdded: 0 }
  expect(
    await writeSteps(store, step(job, did, host, { status: 'fetching', rows, ...count, ...as })),
  ).toEqual([true])
}

function keysOf(rows: readonly RecordRow[]) {
  const rkeys = new TextArray()
  for (const { rkey } of rows) rkeys.push(rkey)
  return { collections: rows.map(({ collection }) => collection), rkeys }
}

async function entomb(rev: string | null, kept: readonly RecordRow[], collections = [POST]): Promise<number> {
  const client = await store.pool.connect()
  try {
    return await entombMissing(client, {
      repo: job.repos.get(didOf(0))!,
      collections: collections.map((nsid) => job.collections.get(nsid)!),
      rev,
      kept: keysOf(kept),
    })
  } finally {
    client.release()
  }
}

async function living(): Promise<string[]> {
  return (await storedRecords(store)).flatMap(({ uri, cid }) => (cid === null ? [] : [uri.slice(5)]))
}

async function tombstones() {
  const rows = await storedRecords(store)
  return rows.filter(({ cid }) => cid === null).map(({ uri, rev, value }) => [uri.slice(5), rev, value])
}

test('exactly the keys that are missing go, at the rev of the reading', async () => {
  const likes = ['a', 'z'].map((rkey) => record(job.collections.get(LIKE)!, rkey))
  await put(didOf(0), [...posts(job, 'a', 'b', 'c', 'd'), ...likes], { rev: '3ka' })
  await put(didOf(1), posts(job, 'a', 'b'), { rev: '3ka' })
  // A key that is kept in another collection is not kept in this one.
  const kept = [...posts(job, 'b', 'd', 'new'), record(job.collections.get(LIKE)!, 'a')]
  expect(await entomb('3kb', kept)).toBe(2)
  expect(await tombstones()).toEqual([
    [`${didOf(0)}/${POST}/a`, '3kb', null],
    [`${didOf(0)}/${POST}/c`, '3kb', null],
  ])
  expect(await living()).toEqual([
    `${didOf(0)}/${LIKE}/a`,
    `${didOf(0)}/${LIKE}/z`,
    `${didOf(0)}/${POST}/b`,
    `${didOf(0)}/${POST}/d`,
    `${didOf(1)}/${POST}/a`,
    `${didOf(1)}/${POST}/b`,
  ])
  expect(await entomb('3kb', kept)).toBe(0)
})

test('several collections at once, and all keys when none is kept', async () => {
  await put(didOf(0), [...posts(job, 'a'), record(job.collections.get(LIKE)!, 'a')], { rev: '3ka' })
  expect(await entomb('3ka', [], [POST, LIKE])).toBe(2)
  expect(await living()).toEqual([])
  expect(await entomb('3kz', [], [])).toBe(0)
})

test('signed rows stay, and so does what is newer than the reading', async () => {
  await put(didOf(0), posts(job, 'signed'), { rev: '3ka', level: 'signed' })
  await put(didOf(0), posts(job, 'newer'), { rev: '3kz' })
  await put(didOf(0), posts(job, 'older'), { rev: '3ka' })
  await put(didOf(0), posts(job, 'without'), { rev: null })
  await put(didOf(0), posts(job, 'unchecked'), { rev: '3ka', level: 'none' })
  expect(await entomb('3kb', [])).toBe(3)
  expect(await living()).toEqual([`${didOf(0)}/${POST}/newer`, `${didOf(0)}/${POST}/signed`])
})

test('a reading without a rev takes nothing away that has one', async () => {
  await put(didOf(0), posts(job, 'with'), { rev: '3ka' })
  await put(didOf(0), posts(job, 'without'), { rev: null })
  expect(await entomb(null, [])).toBe(1)
  expect(await living()).toEqual([`${didOf(0)}/${POST}/with`])
})

test('what is gone comes back with a newer reading, and only with one', async () => {
  await put(didOf(0), posts(job, 'a'), { rev: '3ka' })
  await entomb('3kc', [])
  await put(didOf(0), posts(job, 'a'), { rev: '3kb' })
  expect(await living()).toEqual([])
  await put(didOf(0), posts(job, 'a'), { rev: '3kd' })
  expect(await living()).toEqual([`${didOf(0)}/${POST}/a`])
})

test('an end that does not take effect takes nothing away', async () => {
  await put(didOf(0), posts(job, 'a', 'b'), { rev: '3ka' })
  await drive(store.db)
  const writer = new Writer(store.pool, () => {})
  const end = completion(job, didOf(0), host, posts(job, 'b'), { rev: '3kb' })
  const missing = {
    repo: job.repos.get(didOf(0))!,
    collections: [job.collections.get(POST)!],
    rev: '3kb',
    kept: keysOf(end.rows),
  }
  const replace = () =>
    writer.writeWith(end, async (client) => {
      expect(await entombMissing(client, missing)).toBe(1)
    })
  expect(await replace()).toBe(false)
  expect(await tombstones()).toEqual([])
})

test('a large repo costs little more than its keys, whatever the planner expects of it', async () => {
  const rows = Array.from({ length: 20_000 }, (_, index) =>
    record(job.collections.get(POST)!, `k${String(index).padStart(6, '0')}`, cidOf('x'), '1'),
  )
  await put(didOf(0), rows, { rev: '3ka' })
  const client = await store.pool.connect()
  // A planner that takes the repo for small joins it like this: every key is compared with every other one.
  await client.query('set enable_hashjoin = off; set enable_mergejoin = off; set statement_timeout = 4000')
  const kept = rows.filter((_, index) => index % 4 !== 0)
  expect(
    await entombMissing(client, {
      repo: job.repos.get(didOf(0))!,
      collections: [job.collections.get(POST)!],
      rev: '3kb',
      kept: keysOf(kept),
    }),
  ).toBe(5_000)
  client.release(true)
  expect((await living()).length).toBe(15_000)
})
