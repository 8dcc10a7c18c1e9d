import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import type { HostClaim } from '../../src/store/hosts.js'
import { dueRepos, listRepos } from '../../src/store/repos.js'
import { type RepoStep, StepBatch } from '../../src/store/steps.js'
import { createStore } from '../support/database.js'
import {
  addJob,
  assertCountersEqualRows,
  cidOf,
  completion,
  didOf,
  didsOf,
  drive,
  empty,
  LIKE,
  POST,
  posts,
  record,
  resolution,
  step,
  storedRecords,
  type TestJob,
  writeSteps,
} from '../support/fixtures.js'

let store: Awaited<ReturnType<typeof createStore>>
let job: TestJob
let host: HostClaim

beforeAll(async () => {
  store = await createStore()
})

afterAll(() => store[Symbol.asyncDispose]())

beforeEach(async () => {
  job = await addJob(store, { repos: didsOf(4) })
  host = await drive(store.db)
})

afterEach(async () => {
  await assertCountersEqualRows(store)
  await empty(store)
})

/** Everything a batch may change, to see that it has not. */
async function everything() {
  const tables = ['record', 'receipt', 'job_repo', 'job_progress', 'job_failure', 'host']
  const rows = tables.map(async (table) => {
    const result = await store.pool.query(`select t.*, xmin from ${table} t order by t::text collate "C"`)
    return [table, result.rows]
  })
  return Object.fromEntries(await Promise.all(rows))
}

async function progressOf(key: number) {
  const { rows } = await store.pool.query(
    'select total, resolved, completed, unavailable, failed, records from job_progress where job = $1',
    [key],
  )
  return rows[0]
}

const reposOf = ({ key, scope }: TestJob) =>
  listRepos(store.db, {
    job: key,
    scope,
    statuses: null,
    resolvedOnly: false,
    origin: null,
    after: '',
    limit: 100,
  })

describe('what one batch says becomes durable together', () => {
  test('rows, receipt, verdict and counters', async () => {
    await writeSteps(store, resolution(job, didOf(0), host))
    const rows = [...posts(job, 'a', 'b'), record(job.collections.get(LIKE)!, 'c')]
    expect(await writeSteps(store, completion(job, didOf(0), host, rows, { rev: '3kaaa' }))).toEqual([true])

    expect((await storedRecords(store)).map(({ uri, cid, rev, level }) => [uri, cid, rev, level])).toEqual([
      [`at://${didOf(0)}/${LIKE}/c`, cidOf('c'), '3kaaa', 'content'],
      [`at://${didOf(0)}/${POST}/a`, cidOf('a'), '3kaaa', 'content'],
      [`at://${didOf(0)}/${POST}/b`, cidOf('b'), '3kaaa', 'content'],
    ])
    expect((await reposOf(job))[0]).toMatchObject({
      status: 'completed',
      method: 'list-records',
      origin: 'https://pds.example',
      records: 3,
      rev: '3kaaa',
      level: 'content',
      receipt_records: 3,
      counts: { [POST]: 2, [LIKE]: 1 },
      receipt_origin: 'https://pds.example',
    })
    expect(await progressOf(job.key)).toEqual({
      total: 4,
      resolved: 1,
      completed: 1,
      unavailable: 0,
      failed: 0,
      records: 3,
    })
  })

  // Each of these fails in another part of the statement, the last ones after rows and progress are written.
  const poisons: Record<string, Partial<RepoStep>> = {
    'a value that is not JSON': { rows: [{ collection: 1, rkey: 'x', cid: 'x', value: '{"a":' }] },
    'a level that there is not': {
      level: 'holy' as never,
      rows: [{ collection: 1, rkey: 'x', cid: 'x', value: '1' }],
    },
    'progress that is not JSON': { progress: '{' },
    'attempts that do not fit': { attempts: 100_000 },
    'a failure without a class': { status: 'failed', method: 'list-records' },
    'an end without a receipt': { status: 'completed', method: 'list-records' },
  }
  test.each(Object.entries(poisons))('or nothing of it: %s', async (_, poison) => {
    await writeSteps(store, ...didsOf(4).map((did) => resolution(job, did, host)))
    const before = await everything()
    const good = [0, 1].map((index) => completion(job, didOf(index), host, posts(job, 'a', 'b')))
    const bad = step(job, didOf(2), host, { status: 'fetching', ...poison })
    const failing = step(job, didOf(3), host, { status: 'failed', failure: 'timeout' })
    await expect(writeSteps(store, good[0]!, bad, good[1]!, failing)).rejects.toThrow()
    expect(await everything()).toEqual(before)
    // The repos are as free as before.
    expect(await writeSteps(store, ...good, failing)).toEqual([true, true, true])
  })

  test('for several jobs on two hosts', async () => {
    const other = await addJob(store, { repos: didsOf(3, 2) })
    const second = await drive(store.db, 'https://second.example')
    const applied = await writeSteps(
      store,
      completion(job, didOf(0), host, posts(job, 'a')),
      completion(other, didOf(2), second, posts(other, 'b', 'c')),
      step(job, didOf(1), second, { status: 'unavailable', reason: 'deactivated' }),
      step(other, didOf(3), host, { status: 'failed', failure: 'bad-response', message: 'no', attempts: 5 }),
      step(job, didOf(3), host, { status: 'failed', failure: 'bad-response' }),
      step(other, didOf(4), host, { status: 'failed', failure: 'timeout' }),
    )
    expect(applied).toEqual([true, true, true, true, true, true])
    expect(await progressOf(job.key)).toMatchObject({ completed: 1, unavailable: 1, failed: 1, records: 1 })
    expect(await progressOf(other.key)).toMatchObject({ completed: 1, unavailable: 0, failed: 2, records: 2 })
    const { rows } = await store.pool.query('select * from job_failure order by job, class')
    expect(rows).toEqual([
      { job: job.key, class: 'bad-response', count: 1 },
      { job: other.key, class: 'timeout', count: 1 },
      { job: other.key, class: 'bad-response', count: 1 },
    ])
  })

  test('also where parts of it are empty', async () => {
    await writeSteps(store, resolution(job, didOf(0), host), resolution(job, didOf(1), host))
    const empty = completion(job, didOf(0), host, [])
    expect(await writeSteps(store, empty)).toEqual([true])
    expect(await writeSteps(store, step(job, didOf(1), host, { status: 'fetching' }))).toEqual([true])
    expect(await storedRecords(store)).toEqual([])
    expect((await reposOf(job))[0]).toMatchObject({ status: 'completed', receipt_records: 0, records: 0 })
  })

  test('nothing, when it holds no step', async () => {
    const before = await everything()
    const client = await store.pool.connect()
    expect(await new StepBatch().write(client)).toEqual([])
    client.release()
    expect(await everything()).toEqual(before)
  })
})

test('a repo with its outcome takes no further step, and no rows either', async () => {
  const endings: Pick<RepoStep, 'status' | 'failure' | 'reason'>[] = [
    { status: 'unavailable', reason: 'takendown' },
    { status: 'failed', failure: 'cursor-loop' },
  ]
  for (const [index, ending] of endings.entries())
    await writeSteps(store, step(job, didOf(index), host, ending))
  await writeSteps(store, completion(job, didOf(2), host, posts(job, 'a')))
  const before = await everything()
  for (const did of didsOf(3)) {
    expect(
      await writeSteps(
        store,
        step(job, did, host, { status: 'fetching', rows: posts(job, 'late'), records: 1, recordsAdded: 1 }),
      ),
    ).toEqual([false])
    expect(await writeSteps(store, completion(job, did, host, posts(job, 'late')))).toEqual([false])
    expect(await writeSteps(store, step(job, did, host, { status: 'failed', failure: 'timeout' }))).toEqual([
      false,
    ])
  }
  expect(await everything()).toEqual(before)
})

test('the cost of a batch grows with its steps, not with their square', async () => {
  const many = await addJob(store, { repos: didsOf(5_000, 100) })
  const steps = [...many.repos.keys()].map((did) => completion(many, did, host, posts(many, 'a')))
  const client = await store.pool.connect()
  await client.query('set statement_timeout = 2000')
  const batch = new StepBatch()
  for (const each of steps) batch.add(each)
  expect((await batch.write(client)).every(Boolean)).toBe(true)
  client.release(true)
})

test('where a repo stands and when it is due comes back as it was written', async () => {
  await writeSteps(store, resolution(job, didOf(0), host))
  const progress = { cursor: 'weiter 🚀', counts: { [POST]: 2 }, rev: null }
  const page = step(job, didOf(0), host, {
    status: 'fetching',
    rows: posts(job, 'a', 'b'),
    records: 2,
    recordsAdded: 2,
    progress: JSON.stringify(progress),
    attempts: 2,
  })
  await writeSteps(store, page)
  const due = { host: host.host, job: job.key, after: 0, limit: 10 }
  expect(await dueRepos(store.db, due)).toMatchObject([
    { did: didOf(0), status: 'fetching', attempts: 2, records: 2, progress, stored: true },
  ])
  const retryAt = new Date('2031-02-03T04:05:06.789Z')
  await writeSteps(store, { ...page, rows: [], recordsAdded: 0, retryAt })
  expect(await dueRepos(store.db, due)).toEqual([])
  expect((await reposOf(job))[0]!.retry_at).toEqual(retryAt)
})

describe('text from strangers', () => {
  const values: Record<string, string> = {
    'a NUL and lone surrogates, as JSON writes them': '{"text":"a\\u0000b \\ud800 \\udc00\\ud800"}',
    'characters of every width': '{"text":"zażółć 雪 🚀 \u{10ffff} \u2028 \u0001"}'.replace(
      '\u0001',
      '\\u0001',
    ),
    'blanks, key order, doubled keys and number spellings': '{ "b" : 1.0, "a":1e2,\n "b":-0 }',
    'a value of a megabyte': JSON.stringify({ text: '🚀"\\'.repeat(200_000) }),
    'quotes and braces of array literals': '{"a":"{\\"x\\",NULL}","b":[[],{}]}',
  }
  test.each(Object.entries(values))('%s come back byte for byte', async (_, value) => {
    await writeSteps(
      store,
      completion(job, didOf(0), host, [record(job.collections.get(POST)!, '~:a.b-C_d', cidOf('x'), value)]),
    )
    const [stored] = await storedRecords(store)
    expect(stored!.uri).toBe(`at://${didOf(0)}/${POST}/~:a.b-C_d`)
    expect(Buffer.from(stored!.value!).equals(Buffer.from(value))).toBe(true)
  })

  test('a failure message with NUL, half a surrogate pair or no end does not take the batch down', async () => {
    const messages = ['a\u0000b', 'half \ud83d', `${'x'.repeat(299)}🚀`, '', '{"quoted",NULL}\\']
    const failing = messages
      .slice(0, 4)
      .map((message, index) =>
        step(job, didOf(index), host, { status: 'failed', failure: 'bad-response', message }),
      )
    expect(await writeSteps(store, ...failing)).toEqual([true, true, true, true])
    const stored = (await reposOf(job)).map((repo) => repo.message)
    expect(stored[0]).toBe('ab')
    expect(stored[1]).toBe('half \ufffd')
    expect(stored[2]).toMatch(/^x{299}/)
    expect(stored[3]).toBe('')
    const other = await addJob(store, { repos: [didOf(9)] })
    await writeSteps(
      store,
      step(other, didOf(9), host, { status: 'failed', failure: 'timeout', message: messages[4]! }),
    )
    expect((await reposOf(other))[0]!.message).toBe(messages[4])
  })
})
