import { sql } from 'kysely'
import type { JobStatus } from '../verdict.js'
import type { Db } from './database.js'

/**
 * The list of a job's repos, once the job has ended. It counts as gone as soon as it is marked; its rows, which
 * may be millions, go in portions.
 */

/** Details that were marked as gone. */
export interface DeletedDetails {
  readonly jobs: number
  readonly repos: number
}

/**
 * Marks the details of jobs as gone.
 * @param which one job, or all of a caller
 * @param ended the statuses of jobs that have ended; others keep their details
 */
export async function deleteDetails(
  db: Db,
  which: { readonly key: number } | { readonly caller: string },
  ended: readonly JobStatus[],
): Promise<DeletedDetails> {
  const those = 'key' in which ? sql`job.key = ${which.key}` : sql`job.caller = ${which.caller}`
  const { rows } = await sql<DeletedDetails>`
    with marked as (
      update job set details = 'deleting'
      where ${those} and details = 'kept' and status = any(${[...ended]}::job_status[])
      returning key
    )
    select count(*)::int as jobs, coalesce(sum(p.total), 0)::bigint as repos
    from marked join job_progress p on p.job = marked.key`.execute(db)
  return rows[0] ?? { jobs: 0, repos: 0 }
}

/**
 * Marks the details of all jobs that ended before a moment.
 * @param records whether what the jobs have stored stays, or goes with them as far as nobody else needs it
 * @returns the jobs' ids
 */
export async function expireDetails(db: Db, endedBefore: Date, records: 'keep' | 'purge'): Promise<string[]> {
  const rows = await db
    .updateTable('job')
    .set(records === 'purge' ? { details: 'deleted', purge: 'purging' } : { details: 'deleting' })
    .where('details', '=', 'kept')
    .where('completed_at', '<', endedBefore)
    .returning('id')
    .execute()
  return rows.map((row) => row.id)
}

/**
 * Deletes a portion of details that are marked. Several processes may do so at once: each takes its own rows.
 * @returns whether there may be more
 */
export async function deleteDetailsPortion(db: Db, limit: number): Promise<boolean> {
  const job = await db
    .selectFrom('job')
    .select('key')
    .where('details', '=', 'deleting')
    .where(({ not, exists, selectFrom }) =>
      // Another job is still taking its repos from the list.
      not(
        exists(
          selectFrom('job as later')
            .select('later.key')
            .whereRef('later.refreshes', '=', 'job.id')
            .where('later.refresh_after', 'is not', null)
            .where('later.status', 'in', ['running', 'pausing', 'paused', 'cancelling']),
        ),
      ),
    )
    .orderBy('key')
    .limit(1)
    .executeTakeFirst()
  if (!job) return false
  for (const table of ['manifest_part', 'job_repo', 'reading_page', 'listing'] as const) {
    const { numAffectedRows } = await sql`
      delete from ${sql.table(table)} where ctid = any(array(
        select ctid from ${sql.table(table)} where job = ${job.key} limit ${limit} for update skip locked
      ))`.execute(db)
    if ((numAffectedRows ?? 0n) > 0n) return true
  }
  await db
    .updateTable('job')
    .set({ details: 'deleted' })
    .where('key', '=', job.key)
    .where((eb) => eb.not(eb.exists(eb.selectFrom('job_repo').select('did').whereRef('job', '=', 'job.key'))))
    .execute()
  return true
}
