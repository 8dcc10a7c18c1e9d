import { afterAll, beforeAll, expect, test } from 'vitest'
import { analyzeNewTables } from '../../src/store/statistics.js'
import { createStore } from '../support/database.js'

let store: Awaited<ReturnType<typeof createStore>>

beforeAll(async () => {
  store = await createStore()
  await store.pool.query('alter table repo set (autovacuum_enabled = off)')
})

afterAll(() => store[Symbol.asyncDispose]())

/** Rows of `repo` as far as the planner has been told; below zero when it has not. */
async function rowsKnown(): Promise<number> {
  const { rows } = await store.pool.query<{ count: number }>(
    `select reltuples::int as count from pg_class where oid = 'repo'::regclass`,
  )
  return rows[0]!.count
}

const addRepos = (from: number, to: number) =>
  store.pool.query(
    `insert into repo (did) select 'did:plc:' || lpad(n::text, 24, '0') from generate_series($1::int, $2) n`,
    [from, to],
  )

test('the planner learns of a table as soon as that is large, and of a small one by itself', async () => {
  await addRepos(1, 10)
  await analyzeNewTables(store.db)
  expect(await rowsKnown()).toBe(-1)
  await addRepos(11, 20_000)
  await analyzeNewTables(store.db)
  expect(await rowsKnown()).toBe(20_000)
})
