import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import {
  findJob,
  findJobByToken,
  findRunningJob,
  finishDiscovery,
  insertJob,
  listJobs,
  runningJobs,
} from '../../src/store/jobs.js'
import { saveListingPage } from '../../src/store/listings.js'
import { reachStage } from '../../src/store/transitions.js'
import type { JobStatus } from '../../src/verdict.js'
import { createStore } from '../support/database.js'
import {
  addJob,
  assertCountersEqualRows,
  completeJob,
  completion,
  didOf,
  didsOf,
  drive,
  empty,
  failJob,
  findTestJob,
  type JobWish,
  LIKE,
  newJob,
  POST,
  posts,
  step,
  type TestJob,
  writeSteps,
} from '../support/fixtures.js'

let store: Awaited<ReturnType<typeof createStore>>

beforeAll(async () => {
  store = await createStore()
})

afterAll(() => store[Symbol.asyncDispose]())

afterEach(async () => {
  await assertCountersEqualRows(store)
  await empty(store)
})

const NOW = new Date('2030-05-06T07:08:09.123Z')
const ALICE = 'did:web:alice.example'
const BOB = 'did:web:bob.example'

const insert = (wish: JobWish) => store.db.transaction().execute((trx) => insertJob(trx, newJob(wish)))

describe('a new job', () => {
  test('has its repos at once, or its listings', async () => {
    const given = await addJob(store, { repos: [didOf(1), didOf(0), didOf(1)], name: 'mine', createdAt: NOW })
    expect(await findJob(store.db, given.id)).toMatchObject({
      key: given.key,
      caller: given.caller,
      name: 'mine',
      collections: [POST, LIKE],
      status: 'running',
      stage: 'pending',
      discovery_complete: true,
      total: 2,
      completed: 0,
      failures: [],
      created_at: NOW,
      started_at: null,
      completed_at: null,
    })
    const found = await addJob(store, { relays: ['https://relay.example'] })
    expect(await findJob(store.db, found.id)).toMatchObject({ discovery_complete: false, total: 0 })
    expect(await findJob(store.db, 'nonsense')).toBeUndefined()
  })

  test('shares its scope with jobs that want the same collections, in whatever order', async () => {
    const scopes = await Promise.all(
      [[POST, LIKE], [LIKE, POST], [LIKE, POST, LIKE], [POST], null].map((collections) =>
        addJob(store, { collections, repos: [] }).then(({ scope }) => scope),
      ),
    )
    expect(new Set(scopes.slice(0, 3)).size).toBe(1)
    expect(new Set(scopes).size).toBe(3)
  })

  test('takes as many collections as a request may name, each as long as it may be', async () => {
    const label = (index: number) => `${'x'.repeat(50)}${index}`.slice(-60)
    const collections = Array.from({ length: 100 }, (_, index) =>
      Array.from({ length: 5 }, (_, part) => label(index * 7919 + part * 104_729)).join('.'),
    )
    const random = [...collections].map((nsid) => nsid.replaceAll('x', () => letter()))
    const job = await addJob(store, { collections: random, repos: [didOf(0)] })
    expect((await findJob(store.db, job.id))!.collections).toEqual(random)
    expect((await addJob(store, { collections: [...random].reverse(), repos: [] })).scope).toBe(job.scope)
  })
})

let letters = 1
/** Letters that do not compress well. */
function letter(): string {
  letters = (letters * 48_271) % 2_147_483_647
  return String.fromCharCode(97 + (letters % 26))
}

describe('a client token', () => {
  test('makes one job, however many ask with it at once', async () => {
    const asked = await Promise.all(
      Array.from({ length: 5 }, (_, index) =>
        insert({ caller: ALICE, clientToken: 'token', inputHash: `input ${index}`, repos: didsOf(3) }),
      ),
    )
    expect(asked.filter(Boolean)).toHaveLength(1)
    const winner = asked.indexOf(true)
    expect(await findJobByToken(store.db, ALICE, 'token')).toMatchObject({
      input_hash: `input ${winner}`,
      total: 3,
    })
    expect(await listJobs(store.db, { callers: null, status: null, before: null, limit: 10 })).toHaveLength(1)
    expect((await store.pool.query('select did from job_repo')).rows).toHaveLength(3)
  })

  test('belongs to its caller, and no token at all is no token', async () => {
    expect(await insert({ caller: ALICE, clientToken: 'token' })).toBe(true)
    expect(await insert({ caller: BOB, clientToken: 'token' })).toBe(true)
    expect(await insert({ caller: ALICE })).toBe(true)
    expect(await insert({ caller: ALICE })).toBe(true)
    expect(await insert({ caller: ALICE, clientToken: 'token' })).toBe(false)
    expect(await findJobByToken(store.db, BOB, 'other')).toBeUndefined()
  })
})

test('the newest running job with the same input is found again', async () => {
  await addJob(store, { caller: ALICE, inputHash: 'same' })
  const second = await addJob(store, { caller: ALICE, inputHash: 'same' })
  const ended = await addJob(store, { caller: ALICE, inputHash: 'same' })
  await failJob(store.db, ended.key, 'no', NOW)
  await addJob(store, { caller: BOB, inputHash: 'same' })
  expect((await findRunningJob(store.db, ALICE, 'same'))!.id).toBe(second.id)
  expect(await findRunningJob(store.db, ALICE, 'other')).toBeUndefined()
})

describe('a job is completed', () => {
  const endAll = async (job: TestJob) => {
    const host = await drive(store.db)
    await writeSteps(
      store,
      ...[...job.repos.keys()].map((did) => completion(job, did, host, posts(job, 'a'))),
    )
  }
  const complete = (job: TestJob) => completeJob(store.db, job.key, NOW)

  test('when each of its repos has its outcome, and not before', async () => {
    // One that could be completed, were it asked for.
    await addJob(store, { repos: [] })
    const job = await addJob(store, { repos: didsOf(3) })
    const host = await drive(store.db)
    const [first, second, third] = didsOf(3) as [string, string, string]
    expect(await complete(job)).toBeNull()
    await writeSteps(store, completion(job, first, host, []))
    await writeSteps(store, step(job, second, host, { status: 'unavailable', reason: 'deleted' }))
    expect(await complete(job)).toBeNull()
    await writeSteps(store, step(job, third, host, { status: 'failed', failure: 'timeout' }))
    expect(await complete(job)).toBe(job.id)
    expect(await findJob(store.db, job.id)).toMatchObject({
      status: 'completed',
      stage: 'completed',
      started_at: NOW,
      completed_at: NOW,
      failures: [{ class: 'timeout', count: 1 }],
    })
  })

  test('by exactly one of those who notice at the same time', async () => {
    for (let round = 0; round < 20; round += 1) {
      const job = await addJob(store, { repos: didsOf(2) })
      const ending = endAll(job)
      const early = Array.from({ length: 4 }, () => complete(job))
      await ending
      const ended = await Promise.all([...early, ...Array.from({ length: 4 }, () => complete(job))])
      expect(ended.filter((id) => id !== null)).toEqual([job.id])
    }
  })

  test('not before its discovery has come to its end, even with all known repos done', async () => {
    const { id, key } = await addJob(store, { relays: ['https://relay.example'], collections: [POST] })
    const listing = { origin: 'https://relay.example', lists: POST }
    const completed = async () => complete(await findTestJob(store.db, id))
    expect(await completed()).toBeNull()
    await saveListingPage(store.db, key, { ...listing, cursor: null }, { dids: didsOf(2), cursor: 'next' })
    await endAll(await findTestJob(store.db, id))
    await finishDiscovery(store.db, key)
    expect(await completed()).toBeNull()
    await saveListingPage(store.db, key, { ...listing, cursor: 'next' }, { dids: didsOf(1, 5), cursor: null })
    await finishDiscovery(store.db, key)
    expect(await completed()).toBeNull()
    const host = await drive(store.db)
    const job = await findTestJob(store.db, id)
    await writeSteps(store, step(job, didOf(5), host, { status: 'unavailable', reason: 'deleted' }))
    expect(await completed()).toBe(id)
  })

  test('at once when discovery found nothing, and not when it has failed before', async () => {
    const job = await addJob(store, { repos: [] })
    const failed = await addJob(store, { repos: [] })
    expect(await failJob(store.db, failed.key, 'no relay', NOW)).toBe(true)
    expect(await failJob(store.db, failed.key, 'again', NOW)).toBe(false)
    expect(await complete(job)).toBe(job.id)
    expect(await complete(failed)).toBeNull()
    expect(await failJob(store.db, job.key, 'late', NOW)).toBe(false)
    expect(await findJob(store.db, failed.id)).toMatchObject({ status: 'failed', error: 'no relay' })
  })
})

test('a job only ever gets on', async () => {
  const job = await addJob(store)
  const stage = async () => (await findJob(store.db, job.id))!.stage
  const later = new Date(NOW.getTime() + 1_000)
  await reachStage(store.db, job.key, 'discovering-repos', NOW)
  expect(await stage()).toBe('discovering-repos')
  await reachStage(store.db, job.key, 'resolving-and-fetching', later)
  await reachStage(store.db, job.key, 'discovering-repos', later)
  expect(await stage()).toBe('resolving-and-fetching')
  expect((await findJob(store.db, job.id))!.started_at).toEqual(NOW)
  await completeJob(store.db, job.key, later)
  await reachStage(store.db, job.key, 'resolving-and-fetching', later)
  expect(await stage()).toBe('completed')
})

describe('a list of jobs', () => {
  const page = (before: string | null, limit: number, status: JobStatus | null = null) =>
    listJobs(store.db, { callers: [ALICE], status, before, limit })

  test('goes from the newest on, and new ones do not move its pages', async () => {
    const ids: string[] = []
    for (let index = 0; index < 7; index += 1) ids.unshift((await addJob(store, { caller: ALICE })).id)
    await addJob(store, { caller: BOB })
    const seen: string[] = []
    for (let before: string | null = null; ; before = seen.at(-1)!) {
      const rows = await page(before, 3)
      seen.push(...rows.map(({ id }) => id))
      await addJob(store, { caller: ALICE })
      if (rows.length < 3) break
    }
    expect(seen).toEqual(ids)
  })

  test('holds those of the asked callers and status', async () => {
    const alices = await addJob(store, { caller: ALICE })
    const bobs = await addJob(store, { caller: BOB })
    await failJob(store.db, bobs.key, 'no', NOW)
    const ids = async (callers: string[] | null, status: JobStatus | null) =>
      (await listJobs(store.db, { callers, status, before: null, limit: 10 })).map(({ id }) => id)
    expect(await ids(null, null)).toEqual([bobs.id, alices.id])
    expect(await ids([ALICE, BOB], null)).toEqual([bobs.id, alices.id])
    expect(await ids([BOB], 'failed')).toEqual([bobs.id])
    expect(await ids([ALICE], 'failed')).toEqual([])
    expect((await runningJobs(store.db)).map(({ key }) => key)).toEqual([alices.key])
  })
})
