import { randomBytes } from 'node:crypto'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import pg from 'pg'
import { startEmbeddedPostgres } from '../../src/postgres/embedded.js'
import type { TestDatabase } from '../support/database.js'

/** Where runs have their databases. */
export interface Databases extends AsyncDisposable {
  create(): Promise<TestDatabase>
}

/** A Postgres for runs outside of the tests. What a crash of it would lose is of no interest. */
export async function startDatabases(): Promise<Databases> {
  const directory = await mkdtemp(join(tmpdir(), 'aquifer-soak-'))
  const server = await startEmbeddedPostgres({
    dataDirectory: join(directory, 'postgres'),
    settings: { fsync: 'off', synchronous_commit: 'off', full_page_writes: 'off', max_connections: 200 },
  })
  const admin = new pg.Pool({ connectionString: server.url, max: 1 })
  return {
    async create() {
      const name = `soak_${randomBytes(6).toString('hex')}`
      await admin.query(`create database ${name} template template0`)
      const url = new URL(server.url)
      url.pathname = `/${name}`
      return {
        url: url.href,
        async [Symbol.asyncDispose]() {
          await admin.query(`drop database ${name} with (force)`)
        },
      }
    },
    async [Symbol.asyncDispose]() {
      await admin.end()
      await server.release()
      await rm(directory, { recursive: true, force: true })
    },
  }
}
