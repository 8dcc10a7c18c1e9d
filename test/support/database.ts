import { randomBytes } from 'node:crypto'
import pg from 'pg'
import { inject } from 'vitest'
import { openStore, type Store } from '../../src/store/database.js'
import { databaseUrl, TEMPLATE } from './global-setup.js'

export interface TestDatabase extends AsyncDisposable {
  readonly url: string
}

/** An empty, migrated database of one's own. Dropped on disposal, with whoever is still connected. */
export async function createDatabase(options: { migrated?: boolean } = {}): Promise<TestDatabase> {
  const server = inject('postgresUrl')
  const name = `test_${randomBytes(6).toString('hex')}`
  const template = (options.migrated ?? true) ? TEMPLATE : 'template0'
  // A copy of files costs half of what the log of every page would.
  await asAdmin(server, `create database ${name} template ${template} strategy file_copy`)
  return {
    url: databaseUrl(server, name),
    [Symbol.asyncDispose]: () => asAdmin(server, `drop database ${name} with (force)`),
  }
}

/** A store on a database of its own. */
export async function createStore(): Promise<Store & { url: string }> {
  const database = await createDatabase()
  const store = openStore({
    url: database.url,
    connections: 5,
    applicationName: 'aquifer-test',
    onError: () => {},
  })
  return {
    ...store,
    url: database.url,
    async [Symbol.asyncDispose]() {
      await store[Symbol.asyncDispose]()
      await database[Symbol.asyncDispose]()
    },
  }
}

async function asAdmin(url: string, statement: string): Promise<void> {
  const admin = new pg.Client({ connectionString: url })
  await admin.connect()
  try {
    await admin.query(statement)
  } finally {
    await admin.end()
  }
}
