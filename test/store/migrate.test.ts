import { readdir, readFile } from 'node:fs/promises'
import { basename, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { migrate, openStore, type Store } from '../../src/store/database.js'
import { createDatabase, type TestDatabase } from '../support/database.js'
import { describeSchema } from '../support/describe-schema.js'

let database: TestDatabase
const opened: Store[] = []

beforeEach(async () => {
  database = await createDatabase({ migrated: false })
})

afterEach(async () => {
  for (const store of opened.splice(0)) await store[Symbol.asyncDispose]()
  await database[Symbol.asyncDispose]()
})

function open(): Store {
  const store = openStore({
    url: database.url,
    connections: 2,
    applicationName: 'aquifer-test',
    onError: () => {},
  })
  opened.push(store)
  return store
}

async function tableCount(store: Store): Promise<number> {
  const { rows } = await store.pool.query<{ count: number }>(
    `select count(*) from pg_tables where schemaname = 'public'`,
  )
  return rows[0]!.count
}

test('an empty database gets the schema that is written down in test/schema.sql', async () => {
  const store = open()
  await migrate(store)
  const written = await readFile(join(import.meta.dirname, '../schema.sql'), 'utf8')
  const schema = written.slice(written.indexOf('\n\n') + 2)
  expect(
    await describeSchema(store.pool),
    'test/schema.sql is not what the migrations make: run npm run schema:dump and look at what changed',
  ).toBe(schema)
})

test('migrating again changes nothing and keeps the rows', async () => {
  const store = open()
  await migrate(store)
  await store.pool.query(`insert into repo (did) values ('did:plc:kept')`)
  const before = await describeSchema(store.pool)
  await migrate(store)
  expect(await describeSchema(store.pool)).toBe(before)
  expect((await store.pool.query('select did from repo')).rows).toEqual([{ did: 'did:plc:kept' }])
})

/** Every file of the folder: one that is not listed in the code would never run. */
async function migrationNames(): Promise<string[]> {
  const files = await readdir(fileURLToPath(new URL('../../src/store/migrations', import.meta.url)))
  return files.map((file) => basename(file, '.ts')).sort()
}

test('of four processes that start at once one migrates and the others wait for it', async () => {
  const stores = [open(), open(), open(), open()]
  await Promise.all(stores.map((store) => migrate(store)))
  const { rows } = await stores[0]!.pool.query('select name from kysely_migration')
  expect(rows.map(({ name }) => name).sort()).toEqual(await migrationNames())
  // Each of them can use the schema as soon as its own call has returned.
  for (const store of stores) expect((await store.pool.query('select from job')).rows).toEqual([])
})

test('a server older than Postgres 15 is refused before anything is made', async () => {
  const store = open()
  const query = async () => ({ rows: [{ server_version_num: '140017' }] })
  const old: Store = { ...store, pool: Object.create(store.pool, { query: { value: query } }) }
  await expect(migrate(old)).rejects.toThrow('Postgres 15 or newer is needed; this server is version 14')
  expect(await tableCount(store)).toBe(0)
})
