import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import pg from 'pg'
import type { TestProject } from 'vitest/node'
import { startEmbeddedPostgres } from '../../src/postgres/embedded.js'
import { migrate, openStore } from '../../src/store/database.js'

declare module 'vitest' {
  interface ProvidedContext {
    /** The server that all test files share; each makes its own database on it. */
    postgresUrl: string
  }
}

export const TEMPLATE = 'template_aquifer'

/** One real Postgres for the whole run, with a migrated template that each test file clones. */
export default async function setup(project: TestProject): Promise<() => Promise<void>> {
  const directory = await mkdtemp(join(tmpdir(), 'aquifer-test-'))
  const server = await startEmbeddedPostgres({
    dataDirectory: join(directory, 'postgres'),
    // Test databases live for seconds: what a crash would lose is of no interest.
    settings: { fsync: 'off', synchronous_commit: 'off', full_page_writes: 'off', max_connections: 200 },
  })
  const admin = new pg.Client({ connectionString: server.url })
  await admin.connect()
  await admin.query(`create database ${TEMPLATE}`)
  await makeLoginsCheap(admin, new URL(server.url).password)
  await admin.end()
  const store = openStore({
    url: databaseUrl(server.url, TEMPLATE),
    connections: 2,
    applicationName: 'aquifer-test-template',
    onError: () => {},
  })
  await migrate(store)
  await store[Symbol.asyncDispose]()
  project.provide('postgresUrl', server.url)
  return async () => {
    await server.release()
    await rm(directory, { recursive: true, force: true })
  }
}

/** Tests log in by the thousand: the password is stored so that proving it takes one round of hashing, not 4,096. */
async function makeLoginsCheap(admin: pg.Client, password: string): Promise<void> {
  await admin.query('set scram_iterations = 1')
  await admin.query(`alter role current_user password ${admin.escapeLiteral(decodeURIComponent(password))}`)
}

export function databaseUrl(serverUrl: string, database: string): string {
  const url = new URL(serverUrl)
  url.pathname = `/${database}`
  return url.href
}
