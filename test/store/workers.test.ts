import { randomUUID } from 'node:crypto'
import { sql } from 'kysely'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { type Db, openStore } from '../../src/store/database.js'
import { forgetDeadWorkers, reportAlive } from '../../src/store/workers.js'
import { createDatabase, type TestDatabase } from '../support/database.js'
import { eventually } from '../support/wait.js'

const ALIVE_MS = 60_000
const TASKS = [
  { kind: 'drive', id: randomUUID(), key: 7 },
  { kind: 'discover', id: randomUUID(), key: 1 },
]

let database: TestDatabase
const open = () =>
  openStore({ url: database.url, connections: 1, applicationName: 'test', onError: () => {} })
let other: ReturnType<typeof open>

beforeAll(async () => {
  database = await createDatabase()
  other = open()
})

afterAll(async () => {
  await other[Symbol.asyncDispose]()
  await database[Symbol.asyncDispose]()
})

/** As if all that was reported had been reported so much earlier. */
const silentFor = (db: Db, seconds: number) =>
  sql`update worker set reported_at = now() - ${seconds} * interval '1 second'`.execute(db)

/** As if the server had been running for long. */
const startedBefore = (db: Db, seconds: number) =>
  eventually(
    async () => {
      const { rows } = await sql<{ is: boolean }>`
        select pg_postmaster_start_time() < now() - ${seconds} * interval '1 second' as is`.execute(db)
      return rows[0]!.is
    },
    (is) => is,
  )

test('a worker whose connection is closed is forgotten with its tasks, and one that is only slow is not', async () => {
  await startedBefore(other.db, 4)
  const slow = randomUUID()
  await reportAlive(other.db, slow, ALIVE_MS)
  {
    await using store = open()
    await reportAlive(store.db, randomUUID(), ALIVE_MS, TASKS)
    await silentFor(other.db, 3)
    expect(await forgetDeadWorkers(other.db)).toEqual([])
  }
  await eventually(
    () => forgetDeadWorkers(other.db),
    (tasks) => {
      if (tasks.length === 0) return false
      expect(tasks).toEqual(TASKS)
      return true
    },
  )
  expect(await reportAlive(other.db, slow, ALIVE_MS)).toBe(true)
})

test('a worker that lost its connection a moment ago is given time to report over another', async () => {
  {
    await using store = open()
    await reportAlive(store.db, randomUUID(), ALIVE_MS, TASKS)
  }
  expect(await forgetDeadWorkers(other.db)).toEqual([])
})
