import { sql } from 'kysely'
import type { Db } from './database.js'

/** The tables that grow with a job. */
const LARGE = ['job_repo', 'receipt', 'record', 'repo']

/** Smaller ones cost nothing even when they are read whole, bytes. */
const BYTES_MIN = 512 * 1024

/**
 * Has the planner learn of tables that it knows nothing about. The server sees to that by itself, but a minute or
 * more after a first job began: until then the planner takes whatever belongs to one job for a few rows, and has
 * them all sorted or read for each page.
 */
export async function analyzeNewTables(db: Db): Promise<void> {
  const { rows } = await sql<{ name: string }>`
    select relname as name from pg_class
    where relnamespace = current_schema()::regnamespace and relname = any(${LARGE}) and relkind = 'r'
      and reltuples < 0 and pg_relation_size(oid) >= ${BYTES_MIN}
    order by relname`.execute(db)
  // Passed over where another process is at it.
  for (const { name } of rows) await sql`analyze (skip_locked) ${sql.table(name)}`.execute(db)
}
