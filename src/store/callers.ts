import { type Selectable, sql } from 'kysely'
import type { Db, Trx } from './database.js'
import type { CallerTable } from './schema.js'

/** What an admin has said of a caller. */
export type CallerRow = Selectable<CallerTable>

export interface RequestCount {
  /** Minutes since the epoch. */
  readonly minute: number
  /** Requests of the caller in it, this one included. */
  readonly count: number
  readonly caller: CallerRow | null
}

/**
 * Counts a request of a caller, in every process together, and gives what is known of the caller.
 * @param minute the one that it is, in minutes since the epoch. Where another process is in the next one
 *   already, because its clock runs a little ahead, the request counts there: else the two would each begin
 *   anew, again and again.
 */
export async function countRequest(db: Db, did: string, minute: number): Promise<RequestCount> {
  const { rows } = await sql<
    { minute: number; count: number } & { [Key in keyof CallerRow]: CallerRow[Key] | null }
  >`
    with counted as (
      insert into request_count as r (did, minute, count) values (${did}, ${minute}, 1)
      on conflict (did) do update
      set minute = case when r.minute = excluded.minute + 1 then r.minute else excluded.minute end,
          count = case when r.minute in (excluded.minute, excluded.minute + 1) then r.count + 1 else 1 end
      returning minute, count
    )
    select counted.minute, counted.count, caller.*
    from counted left join caller on caller.did = ${did}`.execute(db)
  const { minute: counted, count, ...caller } = rows[0]!
  // A left join: the whole row, or nothing of it.
  return { minute: counted, count, caller: caller.did === null ? null : (caller as CallerRow) }
}

/** Forgets the requests of callers that have made none since. */
export async function forgetRequestCounts(db: Db, beforeMinute: number): Promise<void> {
  await db.deleteFrom('request_count').where('minute', '<', beforeMinute).execute()
}

export async function findCaller(db: Db, did: string): Promise<CallerRow | null> {
  return (await db.selectFrom('caller').selectAll().where('did', '=', did).executeTakeFirst()) ?? null
}

/** A page of callers, by DID. */
export async function listCallers(db: Db, page: { after: string; limit: number }): Promise<CallerRow[]> {
  return db
    .selectFrom('caller')
    .selectAll()
    .where('did', '>', page.after)
    .orderBy('did')
    .limit(page.limit)
    .execute()
}

export interface NewCaller {
  readonly did: string
  readonly permissions: readonly string[]
  readonly jobsOf: readonly string[]
  /** Null: the default. */
  readonly runningJobs: number | null
  readonly reposPerJob: number | null
  readonly requestsPerMinute: number | null
  readonly streams: number | null
}

/** Says something of a caller, in the place of everything that was said of it before. */
export async function putCaller(db: Db, caller: NewCaller, now: Date): Promise<CallerRow> {
  const said = {
    permissions: [...caller.permissions],
    jobs_of: [...caller.jobsOf],
    running_jobs: caller.runningJobs,
    repos_per_job: caller.reposPerJob,
    requests_per_minute: caller.requestsPerMinute,
    streams: caller.streams,
    updated_at: now,
  }
  return db
    .insertInto('caller')
    .values({ did: caller.did, ...said, created_at: now })
    .onConflict((conflict) => conflict.column('did').doUpdateSet(said))
    .returningAll()
    .executeTakeFirstOrThrow()
}

/** Forgets what was said of a caller. @returns false when nothing was */
export async function deleteCaller(db: Db, did: string): Promise<boolean> {
  const { numDeletedRows } = await db.deleteFrom('caller').where('did', '=', did).executeTakeFirst()
  return numDeletedRows > 0n
}

/**
 * How many jobs of a caller have not ended. Until the transaction ends nobody else who asks the same of this
 * caller gets an answer, in any process: so a job that is made or taken up again on the strength of this number
 * is in the next one.
 */
export async function countUnfinishedJobs(trx: Trx, caller: string): Promise<number> {
  // In a statement of its own: one sees only what was committed before it began.
  await sql`select pg_advisory_xact_lock(hashtextextended(${`jobs of ${caller}`}, 0))`.execute(trx)
  // The words stand in the statement, as in the index that serves it.
  const { rows } = await sql<{ count: number }>`
    select count(*) as count from job
    where caller = ${caller} and status in ('running', 'pausing', 'paused', 'cancelling')`.execute(trx)
  return rows[0]!.count
}
