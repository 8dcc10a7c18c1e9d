import { TID } from '@atproto/common-web'
import { sql } from 'kysely'
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from 'vitest'
import { readConfig } from '../../src/config.js'
import type { EngineContext } from '../../src/engine/context.js'
import { keepHouseUntil } from '../../src/engine/janitor.js'
import { ENDED_STATUSES } from '../../src/jobs/state.js'
import { deleteDetails } from '../../src/store/details.js'
import { insertJob } from '../../src/store/jobs.js'
import { markForPurge } from '../../src/store/purge.js'
import { createStore } from '../support/database.js'
import { addJob, didsOf, empty, inTransaction, POST, type TestJob } from '../support/fixtures.js'
import { eventually } from '../support/wait.js'

/** What is done now and then, while one part of it takes long. */

let store: Awaited<ReturnType<typeof createStore>>
let stop: AbortController
const told: string[] = []

beforeAll(async () => {
  store = await createStore()
})

afterAll(() => store?.[Symbol.asyncDispose]())

beforeEach(() => {
  stop = new AbortController()
  told.length = 0
})

afterEach(() => empty(store))

/** Keeps house until the test is through. */
async function whileHouseIsKept(test: () => Promise<void>, tell: EngineContext['tell'] = () => {}) {
  const ctx = {
    ...{
      config: readConfig({}),
      db: store.db,
      now: Date.now,
      houseEveryMs: 100,
      notices: { tell: () => {} },
    },
    standstill: { over: async () => {}, notice: () => false },
    tell: (...event: Parameters<EngineContext['tell']>) => {
      told.push(event[0])
      tell(...event)
    },
  }
  const house = keepHouseUntil(ctx as unknown as EngineContext, stop.signal)
  try {
    await test()
  } finally {
    stop.abort()
    await house
  }
}

/** A job that has completed so many repos, of which nothing is stored. */
async function endedJob(from: number, repos: number): Promise<TestJob> {
  const job = await addJob(store, { repos: didsOf(repos, from) })
  await sql`update job_repo set status = 'completed' where job = ${job.key}`.execute(store.db)
  await sql`update job_progress set completed = total where job = ${job.key}`.execute(store.db)
  await sql`
    update job set status = 'completed', stage = 'completed', completed_at = now()
    where key = ${job.key}`.execute(store.db)
  return job
}

const reposOf = async ({ key }: Pick<TestJob, 'key'>) =>
  (await store.pool.query('select from job_repo where job = $1', [key])).rowCount ?? 0

/** A job that repeats another one, whose repos are still to be queued. */
async function refreshOf(job: TestJob): Promise<{ key: number }> {
  const id = TID.nextStr()
  await store.db.transaction().execute((trx) =>
    insertJob(trx, {
      ...{ id, caller: 'did:web:other.example', clientToken: null, inputHash: id, name: null },
      ...{ collections: [POST], method: 'auto', level: 'content', createdAt: new Date(), repoLimit: null },
      ...{ from: { relays: ['https://relay.example'] }, refreshes: { job: job.id, queueRepos: true } },
    }),
  )
  return store.db.selectFrom('job').select('key').where('id', '=', id).executeTakeFirstOrThrow()
}

test('a long purge holds up neither large refreshes nor other details that go', async () => {
  const PURGED = 40_000
  const purged = await endedJob(0, PURGED)
  const former = await endedJob(50_000, 6_000)
  const other = await endedJob(70_000, 10)
  await markForPurge(store.db, purged.key, ENDED_STATUSES)
  await whileHouseIsKept(async () => {
    await eventually(
      () => reposOf(purged),
      (left) => left < PURGED,
    )
    // It waits until both are there, however long that takes.
    const refresh = await inTransaction(store, 'commit', async (client) => {
      await client.query('lock table job_repo in share row exclusive mode')
      const added = await refreshOf(former)
      await deleteDetails(store.db, { key: other.key }, ENDED_STATUSES)
      return added
    })
    await eventually(
      async () => [await reposOf(refresh), await reposOf(other)],
      ([queued, left]) => queued === 6_000 && left === 0,
    )
    expect(await reposOf(purged)).toBeGreaterThan(5_000)
  })
})

test('what fails holds up nothing that comes after it, and is tried again', async () => {
  const expired = await endedJob(0, 10)
  await sql`update job set completed_at = now() - interval '100 days' where key = ${expired.key}`.execute(
    store.db,
  )
  const purged = await endedJob(50, 500)
  await markForPurge(store.db, purged.key, ENDED_STATUSES)
  await store.pool.query('alter table spent_token rename to spent_away')
  await whileHouseIsKept(async () => {
    await eventually(
      () => reposOf(purged),
      (left) => left === 0,
    )
    expect(told).toContain('job.details-deleted')
    const failures = () => told.filter((event) => event === 'engine.sweep-failed').length
    await eventually(failures, (count) => count > 1)
  })
  await store.pool.query('alter table spent_away rename to spent_token')
})
