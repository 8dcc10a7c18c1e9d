import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { Writer } from '../../src/engine/writer.js'
import type { HostClaim } from '../../src/store/hosts.js'
import {
  type EndedReading,
  entombMissing,
  forgetReadings,
  type RecordRow,
  type RepoStep,
  storedCollections,
} from '../../src/store/steps.js'
import { createStore } from '../support/database.js'
import {
  addJob,
  assertCountersEqualRows,
  cidOf,
  completion,
  didOf,
  drive,
  empty,
  inTransaction,
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

/** Larger than an int, as times are. */
const READING = 1_770_000_000_000

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

/** The end of a reading that found these rows on its last page, and before it what is kept. */
function ended(move: Partial<EndedReading> = {}): EndedReading {
  return {
    job: job.key,
    repo: job.repos.get(didOf(0))!,
    reading: READING,
    collections: [job.collections.get(POST)!],
    rev: '3kb',
    level: 'content',
    lastPage: [],
    ...move,
  }
}

/** Keeps keys that a reading found, as its pages do; this many on each. */
async function keep(rows: readonly RecordRow[], of: Partial<EndedReading> = {}, perPage = 100) {
  const { job: key, repo, reading } = ended(of)
  for (const [collection, found] of Map.groupBy(rows, (row) => row.collection)) {
    for (let at = 0; at < found.length; at += perPage) {
      await store.pool.query('insert into reading_page values ($1, $2, $3, $4, $5)', [
        ...[key, repo, reading, collection],
        found.slice(at, at + perPage).map(({ rkey }) => rkey),
      ])
    }
  }
}

const entombAs = (reading: EndedReading) =>
  inTransaction(store, 'commit', (client) => entombMissing(client, reading))

/** Ends a reading that found these, the last of them on its last page. */
async function entomb(
  rev: string | null,
  found: readonly RecordRow[],
  collections = [POST],
): Promise<number> {
  await keep(found.slice(0, -1), {}, 1)
  const numbers = collections.map((nsid) => job.collections.get(nsid)!)
  const removed = await entombAs(ended({ rev, collections: numbers, lastPage: found.slice(-1) }))
  await store.pool.query('delete from reading_page')
  return removed
}

/** How many keys are kept of a repo, by its reading. */
async function keptKeys(did = didOf(0)): Promise<Record<string, number>> {
  const { rows } = await store.pool.query<{ reading: number; keys: number }>(
    `select reading, sum(cardinality(rkeys))::int as keys from reading_page
     where job = $1 and repo = $2 group by reading`,
    [job.key, job.repos.get(did)],
  )
  return Object.fromEntries(rows.map(({ reading, keys }) => [reading, keys]))
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

test('only keys of this reading of this repo by this job count', async () => {
  await put(didOf(0), posts(job, 'a', 'b', 'c', 'd'), { rev: '3ka' })
  const other = await addJob(store, { repos: [didOf(0)] })
  await keep(posts(job, 'a'))
  await keep(posts(job, 'b'), { reading: READING - 1 })
  await keep(posts(job, 'c'), { job: other.key })
  await keep(posts(job, 'd'), { repo: job.repos.get(didOf(1))! })
  expect(await entombAs(ended())).toBe(3)
  expect(await living()).toEqual([`${didOf(0)}/${POST}/a`])
})

describe('a page of a reading that replaces rows', () => {
  const page = (did: string, rows: readonly RecordRow[], move: Partial<RepoStep> = {}) =>
    step(job, did, host, { status: 'fetching', rows, reading: READING, ...move })

  test('is stored with its keys, those of other repos in the same batch without', async () => {
    const rows = [...posts(job, 'a', 'b'), record(job.collections.get(LIKE)!, 'a')]
    const applied = await writeSteps(
      store,
      page(didOf(0), rows),
      step(job, didOf(1), host, {
        status: 'fetching',
        rows: posts(job, 'x'),
      }),
    )
    expect(applied).toEqual([true, true])
    expect(await writeSteps(store, page(didOf(0), posts(job, 'c')))).toEqual([true])
    expect([await keptKeys(), await keptKeys(didOf(1))]).toEqual([{ [READING]: 4 }, {}])
    await put(didOf(0), posts(job, 'gone'))
    const collections = [POST, LIKE].map((nsid) => job.collections.get(nsid)!)
    expect(await entombAs(ended({ collections }))).toBe(1)
    expect(await tombstones()).toEqual([[`${didOf(0)}/${POST}/gone`, '3kb', null]])
  })

  test('keeps every key, also where another page in the batch has the same records', async () => {
    const other = await addJob(store, { repos: [didOf(0)] })
    const rows = posts(job, 'a', 'b')
    const both = [
      page(didOf(0), rows, { rev: '3ka' }),
      step(other, didOf(0), host, { status: 'fetching', rows, rev: '3kb', reading: 7 }),
    ]
    expect(await writeSteps(store, ...both)).toEqual([true, true])
    expect(await keptKeys()).toEqual({ [READING]: 2 })
    const { rows: others } = await store.pool.query(
      'select reading, rkeys from reading_page where job = $1',
      [other.key],
    )
    expect(others).toEqual([{ reading: 7, rkeys: ['a', 'b'] }])
  })

  test('keeps none where it does not take effect', async () => {
    await writeSteps(store, step(job, didOf(1), host, { status: 'unavailable', reason: 'deleted' }))
    const stale = { fence: { ...host, epoch: host.epoch - 1 } }
    const applied = await writeSteps(
      store,
      page(didOf(0), posts(job, 'a'), stale),
      page(didOf(1), posts(job, 'a')),
    )
    expect(applied).toEqual([false, false])
    expect([await keptKeys(), await keptKeys(didOf(1))]).toEqual([{}, {}])
  })

  test('keeps its keys until they are forgotten, which concerns no other repo', async () => {
    const later = { reading: READING + 1 }
    await writeSteps(store, page(didOf(0), posts(job, 'a')), page(didOf(1), posts(job, 'a')))
    await writeSteps(store, page(didOf(0), posts(job, 'a', 'b'), later))
    expect(await keptKeys()).toEqual({ [READING]: 1, [READING + 1]: 2 })
    await inTransaction(store, 'commit', (client) =>
      forgetReadings(client, { job: job.key, repo: job.repos.get(didOf(0))! }),
    )
    expect([await keptKeys(), await keptKeys(didOf(1))]).toEqual([{}, { [READING]: 1 }])
  })
})

test('the collections of a repo are those it has rows of', async () => {
  const of = (did: string) =>
    inTransaction(store, 'rollback', (client) => storedCollections(client, job.repos.get(did)!))
  expect(await of(didOf(0))).toEqual(new Map())
  await put(didOf(0), [...posts(job, 'a', 'b'), record(job.collections.get(LIKE)!, 'a')])
  await put(didOf(1), posts(job, 'a'))
  expect(await of(didOf(0))).toEqual(job.collections)
  expect([...(await of(didOf(1))).keys()]).toEqual([POST])
})

test('an end that does not take effect takes nothing away', async () => {
  await put(didOf(0), posts(job, 'a', 'b'), { rev: '3ka' })
  await drive(store.db)
  const writer = new Writer(store.pool, () => {})
  const end = completion(job, didOf(0), host, posts(job, 'b'), { rev: '3kb' })
  await keep(posts(job, 'c'))
  const replace = () =>
    writer.writeWith(end, async (client) => {
      expect(await entombMissing(client, ended({ lastPage: end.rows }))).toBe(1)
      await forgetReadings(client, end)
    })
  expect(await replace()).toBe(false)
  expect(await tombstones()).toEqual([])
  expect(await keptKeys()).toEqual({ [READING]: 1 })
})

test('a large repo costs little more than its keys, whatever the planner expects of it', async () => {
  const rows = Array.from({ length: 20_000 }, (_, index) =>
    record(job.collections.get(POST)!, `k${String(index).padStart(6, '0')}`, cidOf('x'), '1'),
  )
  await put(didOf(0), rows, { rev: '3ka' })
  const found = rows.filter((_, index) => index % 4 === 0)
  await keep(found.slice(0, -100))
  const removed = await inTransaction(store, 'commit', async (client) => {
    // A planner that takes the repo for small joins it like this: every key is compared with every other one.
    await client.query(
      'set local enable_hashjoin = off; set local enable_mergejoin = off; set local statement_timeout = 4000',
    )
    return entombMissing(client, ended({ lastPage: found.slice(-100) }))
  })
  // More than are in hand at once.
  expect(removed).toBe(15_000)
  expect((await living()).sort()).toEqual(found.map(({ rkey }) => `${didOf(0)}/${POST}/${rkey}`))
})
