import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import {
  countRequest,
  countUnfinishedJobs,
  deleteCaller,
  findCaller,
  forgetRequestCounts,
  listCallers,
  type NewCaller,
  putCaller,
} from '../../src/store/callers.js'
import { insertJob } from '../../src/store/jobs.js'
import { JOB_STATUSES } from '../../src/verdict.js'
import { createStore } from '../support/database.js'
import { addJob, didOf, newJob } from '../support/fixtures.js'
import { eventually } from '../support/wait.js'

let store: Awaited<ReturnType<typeof createStore>>

beforeAll(async () => {
  store = await createStore()
})

afterAll(() => store[Symbol.asyncDispose]())

afterEach(() => store.pool.query('truncate caller, request_count'))

const ALICE = 'did:web:alice.example'
const BOB = 'did:web:bob.example'
const MINUTE = 29_000_000

const caller = (did: string, said: Partial<NewCaller> = {}): NewCaller => ({
  did,
  permissions: ['read'],
  jobsOf: [],
  runningJobs: null,
  reposPerJob: null,
  requestsPerMinute: null,
  streams: null,
  ...said,
})

describe('requests', () => {
  const count = async (did: string, minute: number) => (await countRequest(store.db, did, minute)).count

  test('are each counted once, however many come at the same time', async () => {
    const counts = await Promise.all(Array.from({ length: 25 }, () => count(ALICE, MINUTE)))
    expect(counts.sort((a, b) => a - b)).toEqual(Array.from({ length: 25 }, (_, index) => index + 1))
    expect(await count(BOB, MINUTE)).toBe(1)
  })

  test('are counted anew in another minute', async () => {
    await count(ALICE, MINUTE)
    expect(await count(ALICE, MINUTE)).toBe(2)
    expect(await count(ALICE, MINUTE + 1)).toBe(1)
    expect(await count(ALICE, MINUTE + 7)).toBe(1)
    expect(await count(ALICE, MINUTE + 7)).toBe(2)
  })

  test('of processes on both sides of the turn of a minute are counted together', async () => {
    const behind = () => countRequest(store.db, ALICE, MINUTE)
    expect(await count(ALICE, MINUTE + 1)).toBe(1)
    expect(await behind()).toMatchObject({ minute: MINUTE + 1, count: 2 })
    expect(await count(ALICE, MINUTE + 1)).toBe(3)
    expect(await behind()).toMatchObject({ minute: MINUTE + 1, count: 4 })
  })

  test('are not held up for long by a clock that was far ahead', async () => {
    for (let n = 0; n < 3; n += 1) await count(ALICE, MINUTE + 600)
    expect(await countRequest(store.db, ALICE, MINUTE)).toMatchObject({ minute: MINUTE, count: 1 })
  })

  test('give what was said of their caller as of now', async () => {
    expect((await countRequest(store.db, ALICE, MINUTE)).caller).toBeNull()
    const said = await putCaller(store.db, caller(ALICE, { jobsOf: [BOB], runningJobs: 3 }), new Date())
    expect((await countRequest(store.db, ALICE, MINUTE)).caller).toEqual(said)
    expect((await countRequest(store.db, BOB, MINUTE)).caller).toBeNull()
    await deleteCaller(store.db, ALICE)
    expect((await countRequest(store.db, ALICE, MINUTE)).caller).toBeNull()
  })

  test('are forgotten once they are of an earlier minute', async () => {
    await count(ALICE, MINUTE)
    await count(BOB, MINUTE + 1)
    await forgetRequestCounts(store.db, MINUTE + 1)
    const { rows } = await store.pool.query('select did from request_count')
    expect(rows).toEqual([{ did: BOB }])
  })
})

describe('what is said of a caller', () => {
  test('takes the place of all that was said before, but for when that began', async () => {
    const [first, later] = [new Date('2030-01-01'), new Date('2030-01-02')]
    const quotas = { runningJobs: 0, reposPerJob: 2, requestsPerMinute: 9_007_199_254_740_991, streams: 4 }
    const everything = caller(ALICE, { permissions: ['read', 'create'], jobsOf: [BOB], ...quotas })
    expect(await putCaller(store.db, everything, first)).toEqual({
      did: ALICE,
      permissions: ['read', 'create'],
      jobs_of: [BOB],
      running_jobs: 0,
      repos_per_job: 2,
      requests_per_minute: 9_007_199_254_740_991,
      streams: 4,
      created_at: first,
      updated_at: first,
    })
    const replaced = await putCaller(store.db, caller(ALICE, { permissions: [] }), later)
    expect(replaced).toEqual({
      did: ALICE,
      permissions: [],
      jobs_of: [],
      running_jobs: null,
      repos_per_job: null,
      requests_per_minute: null,
      streams: null,
      created_at: first,
      updated_at: later,
    })
    expect(await findCaller(store.db, ALICE)).toEqual(replaced)
    expect(await findCaller(store.db, BOB)).toBeNull()
  })

  test('can be taken back, once', async () => {
    await putCaller(store.db, caller(ALICE), new Date())
    expect(await deleteCaller(store.db, ALICE)).toBe(true)
    expect(await deleteCaller(store.db, ALICE)).toBe(false)
  })

  test('is listed in the order in which scripts sort DIDs, after any of them', async () => {
    const dids = [
      'did:plc:b',
      'did:plc:a',
      'did:web:Z',
      'did:web:a',
      'did:web:a%3A1',
      'did:web:a-b',
      'did:plc:a_',
    ]
    for (const did of dids) await putCaller(store.db, caller(did), new Date())
    const list = async (after: string, limit: number) =>
      (await listCallers(store.db, { after, limit })).map(({ did }) => did)
    const sorted = [...dids].sort()
    expect(await list('', 100)).toEqual(sorted)
    for (const [index, did] of sorted.entries()) {
      expect(await list(did, 2)).toEqual(sorted.slice(index + 1, index + 3))
    }
  })
})

describe('unfinished jobs', () => {
  test('are those of the caller that have not ended, paused ones among them', async () => {
    for (const [index, status] of JOB_STATUSES.entries()) {
      const { id } = await addJob(store, { caller: ALICE, repos: [didOf(index)] })
      await store.db.updateTable('job').set({ status }).where('id', '=', id).execute()
    }
    expect(await count(ALICE)).toBe(4)
    expect(await count(BOB)).toBe(0)
  })

  test('are counted by one at a time, who sees what the one before has made', async () => {
    const CAROL = 'did:web:carol.example'
    const [counted, mayCommit] = [Promise.withResolvers<number>(), Promise.withResolvers<void>()]
    const first = store.db.transaction().execute(async (trx) => {
      counted.resolve(await countUnfinishedJobs(trx, CAROL))
      await mayCommit.promise
      await insertJob(trx, newJob({ caller: CAROL, repos: [didOf(1)] }))
    })
    expect(await counted.promise).toBe(0)
    let answered = false
    const second = count(CAROL).finally(() => {
      answered = true
    })
    try {
      // For another caller's nobody has to wait.
      expect(await count(BOB)).toBe(0)
      await eventually(waitingForLocks, (waiting) => waiting === 1, 5_000)
      expect(answered).toBe(false)
    } finally {
      mayCommit.resolve()
      await first
    }
    expect(await second).toBe(1)
  })

  const count = (did: string) => store.db.transaction().execute((trx) => countUnfinishedJobs(trx, did))
  const waitingForLocks = async () => {
    const { rowCount } = await store.pool.query(
      `select from pg_locks where locktype = 'advisory' and not granted
       and database = (select oid from pg_database where datname = current_database())`,
    )
    return rowCount
  }
})
