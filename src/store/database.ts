import { Kysely, PostgresDialect, type Transaction } from 'kysely'
import { type Migration, Migrator } from 'kysely/migration'
import pg from 'pg'
import * as init from './migrations/0001-init.js'
import * as jobControl from './migrations/0002-job-control.js'
import * as hosts from './migrations/0003-hosts.js'
import * as discovery from './migrations/0004-discovery.js'
import * as workers from './migrations/0005-workers.js'
import * as verified from './migrations/0006-verified.js'
import * as manifest from './migrations/0007-manifest.js'
import * as refresh from './migrations/0008-refresh.js'
import * as costs from './migrations/0009-costs.js'
import * as callerStreams from './migrations/0010-caller-streams.js'
import type { Database } from './schema.js'

export type Db = Kysely<Database>
export type Trx = Transaction<Database>
export type Pool = pg.Pool
export type PoolClient = pg.PoolClient

/** Listed by hand, in order: a file that is not named here does not run. */
const MIGRATIONS: Record<string, Migration> = {
  '0001-init': init,
  '0002-job-control': jobControl,
  '0003-hosts': hosts,
  '0004-discovery': discovery,
  '0005-workers': workers,
  '0006-verified': verified,
  '0007-manifest': manifest,
  '0008-refresh': refresh,
  '0009-costs': costs,
  '0010-caller-streams': callerStreams,
}

/** The oldest server the statements are written for. */
const POSTGRES_MAJOR_MIN = 15

const types: pg.CustomTypesConfig = {
  getTypeParser(oid: number, format?: 'text' | 'binary') {
    if (oid === pg.types.builtins.INT8) return Number
    // Record values go out as they came in; jsonb columns are ours and are parsed.
    if (oid === pg.types.builtins.JSON) return (text: string) => text
    return pg.types.getTypeParser(oid, format as 'text')
  },
}

export interface Store extends AsyncDisposable {
  readonly db: Db
  readonly pool: Pool
}

/**
 * Opens a pool on a Postgres server. Nothing is sent before the first query.
 * @param onError told of connections that broke while idle; without a listener they would end the process
 */
export function openStore(options: {
  url: string
  connections: number
  applicationName: string
  onError: (error: Error) => void
}): Store {
  const pool = new pg.Pool({
    connectionString: options.url,
    max: options.connections,
    application_name: options.applicationName,
    connectionTimeoutMillis: 10_000,
    types,
  })
  pool.on('error', options.onError)
  // The pool listens to the connections that lie in it. One that breaks while it is taken, but not asked
  // anything, would end the process; with a listener, its next query fails.
  pool.on('connect', (client) => client.on('error', () => {}))
  const db = new Kysely<Database>({ dialect: new PostgresDialect({ pool }) })
  return { db, pool, [Symbol.asyncDispose]: () => db.destroy() }
}

/**
 * Brings the schema up to date. Safe to call from several processes at once: one migrates, the others wait.
 * @throws when the server is older than Postgres 15 or a migration fails
 */
export async function migrate(store: Store): Promise<void> {
  const { rows } = await store.pool.query<{ server_version_num: string }>('show server_version_num')
  const major = Math.floor(Number(rows[0]?.server_version_num) / 10_000)
  if (major < POSTGRES_MAJOR_MIN) {
    throw new Error(`Postgres ${POSTGRES_MAJOR_MIN} or newer is needed; this server is version ${major}`)
  }
  const migrator = new Migrator({
    db: store.db,
    provider: { getMigrations: async () => MIGRATIONS },
  })
  const { error } = await migrator.migrateToLatest()
  if (error) throw error
}
