import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { purgeAccounts, tellAccounts } from '../../src/store/accounts.js'
import { DeliveryReader } from '../../src/store/delivery.js'
import { deleteDetails, deleteDetailsPortion, expireDetails } from '../../src/store/details.js'
import type { HostClaim } from '../../src/store/hosts.js'
import { markForPurge, purgePortion } from '../../src/store/purge.js'
import { createStore } from '../support/database.js'
import {
  addJob,
  assertCountersEqualRows,
  completeJob,
  completion,
  didOf,
  drive,
  empty,
  inTransaction,
  LIKE,
  POST,
  posts,
  record,
  revOf,
  step,
  storedRecords,
  type TestJob,
  waitingBackends,
  writeSteps,
} from '../support/fixtures.js'

/** What goes away when nobody needs it any more, and what does not. */

const ENDED = ['completed', 'failed', 'cancelled'] as const
const [ADA, BEA, CAT] = [didOf(1), didOf(2), didOf(3)]

let store: Awaited<ReturnType<typeof createStore>>
let host: HostClaim

beforeAll(async () => {
  store = await createStore()
})

afterAll(() => store[Symbol.asyncDispose]())

beforeEach(async () => {
  host = await drive(store.db)
})

afterEach(() => empty(store))

const likes = (job: TestJob, ...rkeys: string[]) =>
  rkeys.map((rkey) => record(job.collections.get(LIKE)!, rkey))

/** A job that has ended, and has completed each of these with some records. */
async function ended(
  dids: readonly string[],
  rows: (job: TestJob) => ReturnType<typeof posts>,
  collections: readonly string[] | null = [POST],
  move: Parameters<typeof completion>[4] = {},
): Promise<TestJob> {
  const job = await addJob(store, { repos: dids, collections })
  await writeSteps(store, ...dids.map((did) => completion(job, did, host, rows(job), move)))
  expect(await completeJob(store.db, job.key)).toBe(job.id)
  return job
}

/** Purges all that is marked, in the smallest portions. @returns how many there were */
async function purgeAll(limit = 2): Promise<number> {
  for (let portions = 1; ; portions += 1) {
    if (!(await purgePortion(store.db, limit)).more) return portions
  }
}

const purge = async (job: TestJob, limit?: number) => {
  expect(await markForPurge(store.db, job.key, ENDED)).toBe(true)
  return purgeAll(limit)
}

const uris = async () => (await storedRecords(store)).map(({ uri }) => uri.slice('at://'.length))
const receipts = () =>
  store.db.selectFrom('receipt').select(['repo', 'scope']).orderBy('repo').orderBy('scope').execute()
const stateOf = (job: TestJob) =>
  store.db.selectFrom('job').select(['details', 'purge']).where('key', '=', job.key).executeTakeFirstOrThrow()

describe('a purged job', () => {
  test('leaves nothing that is its own, in portions of any size', async () => {
    const job = await ended([ADA, BEA], (of) => posts(of, 'a', 'b', 'c', 'd', 'e'))
    await purge(job, 2)
    expect(await uris()).toEqual([])
    expect(await receipts()).toEqual([])
    expect(await store.db.selectFrom('job_repo').select('did').execute()).toEqual([])
    expect(await stateOf(job)).toEqual({ details: 'deleting', purge: 'purged' })
    while (await deleteDetailsPortion(store.db, 10)) {}
    expect(await stateOf(job)).toEqual({ details: 'deleted', purge: 'purged' })
    const { total, records } = await store.db
      .selectFrom('job_progress')
      .select(['total', 'records'])
      .executeTakeFirstOrThrow()
    expect({ total, records }).toEqual({ total: 2, records: 10 })
  })

  test('is also one whose time is over, where expired records are not kept', async () => {
    const expire = (records: 'keep' | 'purge') => expireDetails(store.db, new Date('2100-01-01'), records)
    const mine = await ended([ADA, BEA], (of) => posts(of, 'a'))
    const running = await addJob(store, { repos: [BEA], collections: [POST] })
    await writeSteps(store, completion(running, BEA, host, posts(running, 'a')))
    expect(await expire('purge')).toEqual([mine.id])
    await purgeAll()
    expect(await uris()).toEqual([`${BEA}/${POST}/a`])
    expect(await completeJob(store.db, running.key)).toBe(running.id)
    expect(await expire('keep')).toEqual([running.id])
    await purgeAll()
    expect(await uris()).toEqual([`${BEA}/${POST}/a`])
  })

  test('leaves what another job needs: its repos, its collections, and the receipts with them', async () => {
    const all = (of: TestJob) => [...posts(of, 'a', 'b'), ...likes(of, 'x')]
    const mine = await ended([ADA, BEA], all, [POST, LIKE])
    const other = await ended([BEA], (of) => posts(of, 'a', 'b'), [POST])
    await purge(mine)
    expect(await uris()).toEqual([`${BEA}/${POST}/a`, `${BEA}/${POST}/b`])
    expect(await receipts()).toEqual([{ repo: other.repos.get(BEA), scope: other.scope }])
    await purge(other)
    expect(await uris()).toEqual([])
  })

  test('a prefix needs what is below it, and every collection is needed by who asked for all', async () => {
    const inner = 'network.example.graph.follow'
    const rows = (of: TestJob) => [...posts(of, 'a'), record(of.collections.get(inner)!, 'f')]
    const mine = await ended([ADA, BEA, CAT], rows, [POST, inner])
    const under = await addJob(store, { repos: [ADA], collections: ['network.example.graph.*'] })
    await writeSteps(store, completion(under, ADA, host, []))
    const all = await addJob(store, { repos: [BEA], collections: null })
    await writeSteps(store, completion(all, BEA, host, []))
    const beside = await addJob(store, { repos: [CAT], collections: ['network.example.graphic.*'] })
    await writeSteps(store, completion(beside, CAT, host, []))
    await purge(mine)
    expect(await uris()).toEqual([`${ADA}/${inner}/f`, `${BEA}/${inner}/f`, `${BEA}/${POST}/a`])
  })

  test('a job that is still to read the repo needs it; one that was cancelled, purged or deleted does not', async () => {
    const mine = await ended([ADA, BEA], (of) => posts(of, 'a'))
    await addJob(store, { repos: [ADA], collections: [POST] })
    const cancelled = await addJob(store, { repos: [BEA], collections: [POST] })
    await store.db.updateTable('job').set({ status: 'cancelled' }).where('key', '=', cancelled.key).execute()
    const gone = await ended([BEA], (of) => posts(of, 'a'))
    await deleteDetails(store.db, { key: gone.key }, ENDED)
    await purge(mine)
    expect(await uris()).toEqual([`${ADA}/${POST}/a`])
  })

  test('what a failed reading may go on from is needed', async () => {
    const mine = await ended([ADA, BEA], (of) => posts(of, 'a'))
    const failed = await addJob(store, { repos: [ADA, BEA], collections: [POST] })
    const late = { failure: 'timeout', message: 'late' } as const
    await writeSteps(
      store,
      step(failed, ADA, host, { status: 'failed', ...late, progress: '{"at":1}' }),
      step(failed, BEA, host, { status: 'failed', ...late }),
    )
    await completeJob(store.db, failed.key)
    await purge(mine)
    expect(await uris()).toEqual([`${ADA}/${POST}/a`])
  })

  test('signed rows that stay can be replaced again, once no signed receipt is left', async () => {
    const rows = (of: TestJob) => [...posts(of, 'a', 'b', 'c'), ...likes(of, 'x')]
    const signed = { level: 'signed', rev: revOf(5) } as const
    const mine = await ended([ADA], rows, [POST, LIKE], signed)
    const other = await addJob(store, { repos: [ADA], collections: [POST] })
    await purge(mine)
    expect((await storedRecords(store)).map(({ level }) => level)).toEqual(['content', 'content', 'content'])
    const changed = [record(other.collections.get(POST)!, 'a', 'bafy-new')]
    await writeSteps(store, completion(other, ADA, host, changed, { rev: revOf(6) }))
    expect((await storedRecords(store))[0]).toMatchObject({ cid: 'bafy-new' })
  })

  test('nothing is taken for whole at any time in between', async () => {
    const job = await ended([ADA, BEA], (of) => posts(of, 'a', 'b', 'c', 'd'))
    await markForPurge(store.db, job.key, ENDED)
    for (let more = true; more; ) {
      const standing = new Set((await receipts()).map(({ repo }) => repo))
      const counted = Map.groupBy(await uris(), (uri) => uri.split('/')[0]!)
      for (const [did, repo] of job.repos) {
        if (standing.has(repo)) expect(counted.get(did)).toHaveLength(4)
      }
      ;({ more } = await purgePortion(store.db, 1))
    }
  })

  test('is not removed while repos are queued: who comes for one keeps it', async () => {
    const mine = await ended([ADA], (of) => posts(of, 'a', 'b'))
    await markForPurge(store.db, mine.key, ENDED)
    let portion: Promise<unknown> = Promise.resolve()
    const { key, scope } = mine
    await inTransaction(store, 'commit', async (client) => {
      // What whoever queues repos holds.
      await client.query(`select pg_advisory_xact_lock_shared(hashtextextended('coverage', 0))`)
      portion = purgePortion(store.db, 10)
      await waitingBackends(store)
      await client.query(
        `with later as (
           insert into job (id, caller, scope, collections, method, level, status, stage, created_at)
           select 'later', caller, $2, collections, method, level, 'running', stage, now() from job where key = $1
           returning key
         )
         insert into job_repo (job, repo, did, seq)
         select later.key, r.repo, r.did, 1 from later, job_repo r where r.job = $1`,
        [key, scope],
      )
    })
    await portion
    expect(await uris()).toHaveLength(2)
    expect(await receipts()).toHaveLength(1)
  })

  test('is one that has ended and has its details', async () => {
    const running = await addJob(store, { repos: [ADA] })
    expect(await markForPurge(store.db, running.key, ENDED)).toBe(false)
    const job = await ended([ADA], (of) => posts(of, 'a'))
    expect(await markForPurge(store.db, job.key, ENDED)).toBe(true)
    expect(await markForPurge(store.db, job.key, ENDED)).toBe(false)
  })
})

const outcomes = async (job: TestJob, after = 0) => {
  const query = { job: job.key, scope: job.scope, collection: null, did: null, through: null }
  const { repos } = await new DeliveryReader(store.db, query, after).page()
  return repos.map(({ did, outcome }) => [
    did,
    outcome.status === 'unavailable' ? outcome.reason : outcome.status,
  ])
}

const seqOf = async (job: TestJob) =>
  (
    await store.db
      .selectFrom('job_progress')
      .select('seq')
      .where('job', '=', job.key)
      .executeTakeFirstOrThrow()
  ).seq

describe('what becomes of an account later', () => {
  const news = async (did: string, move: Parameters<typeof step>[3] | 'well') => {
    const job = await addJob(store, { repos: [did], collections: [POST] })
    await writeSteps(
      store,
      move === 'well' ? completion(job, did, host, posts(job, 'a', 'b')) : step(job, did, host, move),
    )
    expect(await completeJob(store.db, job.key)).toBe(job.id)
    return job
  }

  test('is told to the jobs that had completed it, behind what they have told already', async () => {
    const job = await ended([ADA, BEA], (of) => posts(of, 'a', 'b'))
    const before = await seqOf(job)
    await news(BEA, { status: 'unavailable', reason: 'takendown' })
    expect(await tellAccounts(store.db)).toEqual({ jobs: [job.key], more: false })
    expect(await outcomes(job, before)).toEqual([[BEA, 'takendown']])
    expect(await outcomes(job)).toEqual([
      [ADA, 'completed'],
      [BEA, 'takendown'],
    ])
    await assertCountersEqualRows(store)
    const told = await seqOf(job)
    expect(await tellAccounts(store.db)).toEqual({ jobs: [], more: false })
    expect(await seqOf(job)).toBe(told)
    const back = await news(BEA, 'well')
    // The one that found it well has said so itself.
    expect(await tellAccounts(store.db)).toEqual({ jobs: [job.key], more: false })
    expect(await outcomes(job, told)).toEqual([[BEA, 'completed']])
    expect(await outcomes(back)).toEqual([[BEA, 'completed']])
    await assertCountersEqualRows(store)
  })

  test('is not undone by a reading of which nothing was asked for since', async () => {
    const slow = await addJob(store, { repos: [ADA, BEA], collections: [POST] })
    const aliveAt = new Date()
    await news(ADA, { status: 'unavailable', reason: 'takendown' })
    await news(BEA, { status: 'unavailable', reason: 'deleted' })
    for (const did of [ADA, BEA]) {
      await writeSteps(store, completion(slow, did, host, posts(slow, 'a'), { aliveAt }))
    }
    expect(await outcomes(slow)).toEqual([
      [ADA, 'takendown'],
      [BEA, 'deleted'],
    ])
    await completeJob(store.db, slow.key)
    while (await purgeAccounts(store.db, 2)) {}
    expect(await uris()).toEqual([`${ADA}/${POST}/a`])
    await news(ADA, 'well')
    expect(await outcomes(slow)).toContainEqual([ADA, 'completed'])
  })

  test('is told in portions, of any number of jobs', async () => {
    const jobs = [
      await ended([ADA, BEA], (of) => posts(of, 'a')),
      await ended([BEA, CAT], (of) => posts(of, 'a')),
    ]
    for (const did of [ADA, BEA, CAT]) await news(did, { status: 'unavailable', reason: 'deactivated' })
    const told: number[][] = []
    for (let more = true; more; ) {
      const portion = await tellAccounts(store.db, 1)
      told.push(portion.jobs.sort())
      more = portion.more
    }
    const [one, two] = jobs as [TestJob, TestJob]
    expect(told).toEqual([[one.key], [one.key, two.key], [two.key], []])
    await assertCountersEqualRows(store)
  })

  test('one that was found again in the same way is no news', async () => {
    const job = await ended([ADA], (of) => posts(of, 'a'))
    await news(ADA, { status: 'unavailable', reason: 'suspended' })
    await tellAccounts(store.db)
    const told = await seqOf(job)
    await news(ADA, { status: 'unavailable', reason: 'suspended' })
    expect(await tellAccounts(store.db)).toEqual({ jobs: [], more: false })
    expect(await seqOf(job)).toBe(told)
  })

  test('of one that is deleted all records go, whoever had them', async () => {
    await ended([ADA, BEA], (of) => posts(of, 'a', 'b', 'c'))
    await ended([ADA], (of) => likes(of, 'x'), [LIKE])
    await news(ADA, { status: 'unavailable', reason: 'deleted' })
    await news(BEA, { status: 'unavailable', reason: 'deactivated' })
    while (await purgeAccounts(store.db, 2)) {}
    expect(await uris()).toEqual(['a', 'b', 'c'].map((rkey) => `${BEA}/${POST}/${rkey}`))
    expect(await receipts()).toHaveLength(1)
    await assertCountersEqualRows(store)
  })

  test('a job that is about to read it keeps its records, and they stay when it finds it well', async () => {
    const job = await ended([ADA], (of) => posts(of, 'a', 'b'))
    await news(ADA, { status: 'unavailable', reason: 'deleted' })
    const again = await addJob(store, { repos: [ADA], collections: [POST] })
    expect(await purgeAccounts(store.db, 2)).toBe(false)
    expect(await uris()).toHaveLength(2)
    await writeSteps(store, completion(again, ADA, host, posts(again, 'a', 'b')))
    expect(await purgeAccounts(store.db, 2)).toBe(false)
    expect(await uris()).toHaveLength(2)
    expect(await outcomes(job)).toEqual([[ADA, 'completed']])
  })

  test('a reading that failed begins anew where its records are gone', async () => {
    const failed = await addJob(store, { repos: [ADA], collections: [POST] })
    const rows = { rows: posts(failed, 'a'), records: 1, recordsAdded: 1 }
    await writeSteps(store, step(failed, ADA, host, { status: 'fetching', ...rows, progress: '{"at":1}' }))
    const late = { failure: 'timeout', message: 'late', records: 1 } as const
    await writeSteps(store, step(failed, ADA, host, { status: 'failed', ...late, progress: '{"at":1}' }))
    await completeJob(store.db, failed.key)
    await news(ADA, { status: 'unavailable', reason: 'tombstoned' })
    while (await purgeAccounts(store.db, 2)) {}
    expect(await uris()).toEqual([])
    const row = await store.db
      .selectFrom('job_repo')
      .select('progress')
      .where('job', '=', failed.key)
      .executeTakeFirstOrThrow()
    expect(row.progress).toBeNull()
  })
})
