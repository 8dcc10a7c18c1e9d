import { type SqlBool, sql } from 'kysely'
import type { Db, Trx } from './database.js'
import { printable } from './text.js'

/**
 * Where each relay's firehose stood before anything of a job was read. A relay's row has its position, or the
 * reason why there is none; as long as one has neither, the job has not begun.
 */

/** Of a row of `job`: whether its positions are settled. */
export const HAS_BEGUN = sql<SqlBool>`not exists (
  select from start_cursor c where c.job = job.key and c.seq is null and c.failure is null
)`

/** The longest reason kept for a position that cannot be had, in UTF-16 units. */
const FAILURE_LENGTH_MAX = 1_000

export interface OpenCursor {
  readonly relay: string
  readonly attempts: number
  readonly retryAt: Date | null
}

export async function addStartCursors(trx: Trx, job: number, relays: readonly string[]): Promise<void> {
  if (relays.length === 0) return
  await trx
    .insertInto('start_cursor')
    .values(relays.map((relay) => ({ job, relay })))
    .execute()
}

/** The relays whose positions are still to be taken. */
export async function openCursors(db: Db, job: number): Promise<OpenCursor[]> {
  const rows = await db
    .selectFrom('start_cursor')
    .select(['relay', 'attempts', 'retry_at'])
    .where('job', '=', job)
    .where('seq', 'is', null)
    .where('failure', 'is', null)
    .orderBy('relay')
    .execute()
  return rows.map(({ relay, attempts, retry_at }) => ({ relay, attempts, retryAt: retry_at }))
}

/** Settles a relay's position, or why there is none. The first word stands: what was read since relies on it. */
export async function settleCursor(
  db: Db,
  job: number,
  relay: string,
  found: { readonly seq: number } | { readonly failure: string },
): Promise<void> {
  const settled =
    'seq' in found ? { seq: found.seq } : { failure: printable(found.failure, FAILURE_LENGTH_MAX) }
  await openCursor(db, job, relay)
    .set({ ...settled, retry_at: null })
    .execute()
}

/** Notes that a position could not be taken, and when to try again. */
export async function deferCursor(
  db: Db,
  job: number,
  relay: string,
  next: { attempts: number; retryAt: Date },
): Promise<void> {
  await openCursor(db, job, relay).set({ attempts: next.attempts, retry_at: next.retryAt }).execute()
}

const openCursor = (db: Db, job: number, relay: string) =>
  db
    .updateTable('start_cursor')
    .where('job', '=', job)
    .where('relay', '=', relay)
    .where('seq', 'is', null)
    .where('failure', 'is', null)
