import { type RawBuilder, type SqlBool, sql } from 'kysely'
import { type FailureClass, type JobStatus, RETRYABLE_FAILURES } from '../verdict.js'
import { queueRepos } from './coverage.js'
import type { Db, Trx } from './database.js'

/**
 * Moving a job from one status to another: each move is one guarded statement, so that of several callers in
 * any number of processes exactly one makes it. A move takes the next number of the job, like a step of a repo
 * does, and says in the same statement whether steps still take effect.
 */

/** From which status to which; `jobs/state.ts` has the whole table. */
export interface JobMove {
  readonly from: JobStatus
  readonly to: JobStatus
}

/** The job's id, and its status after the move. */
export interface MovedJob {
  readonly id: string
  readonly status: JobStatus
}

const ALWAYS = sql<SqlBool>`true`

/** No process may have anything of the job in flight. */
const QUIET = sql<SqlBool>`not exists (select from engagement where engagement.job = job.key)`

const EVERY_REPO_ENDED = sql<SqlBool>`(job.retrying is null and exists (
  select from job_progress p
  where p.job = job.key and p.completed + p.unavailable + p.failed = p.total
))`

/** Discovery has ended everywhere, though not always at the end of the listing. */
const DISCOVERY_GAVE_UP = sql<SqlBool>`(
  job.refresh_after is null
  and exists (select from listing l where l.job = job.key and l.failure is not null)
  and not exists (select from listing l where l.job = job.key and not l.done and l.failure is null)
)`

/**
 * Moves a job at a caller's request.
 * @returns null when its status allows none of the moves
 */
export function moveJob(db: Db, key: number, moves: readonly JobMove[], now: Date) {
  return move(db, key, moves, ALWAYS, now)
}

/** Moves a job of which nothing is in flight any more. @returns as `moveJob` */
export function moveQuietJob(db: Db, key: number, moves: readonly JobMove[], now: Date) {
  return move(db, key, moves, QUIET, now)
}

/** Ends a job of which every repo has its outcome and discovery is complete. @returns as `moveJob` */
export function moveDoneJob(db: Db, key: number, moves: readonly JobMove[], now: Date) {
  return move(db, key, moves, sql<SqlBool>`job.discovery_complete and ${EVERY_REPO_ENDED}`, now)
}

/** Ends a job of which every repo has its outcome and discovery has a gap. @returns as `moveJob` */
export function moveGivenUpJob(db: Db, key: number, moves: readonly JobMove[], now: Date) {
  return move(
    db,
    key,
    moves,
    sql<SqlBool>`not job.discovery_complete and ${DISCOVERY_GAVE_UP} and ${EVERY_REPO_ENDED}`,
    now,
  )
}

/**
 * Jobs that run and have nothing left to do.
 * @param keys only of these; null for all
 */
export async function jobsAtEnd(db: Db, keys: readonly number[] | null): Promise<number[]> {
  const among = keys === null ? ALWAYS : sql<SqlBool>`job.key = any(${[...keys]}::int[])`
  const { rows } = await sql<{ key: number }>`
    select job.key from job
    where job.status = 'running' and ${among} and ${EVERY_REPO_ENDED}
      and (job.discovery_complete or ${DISCOVERY_GAVE_UP})`.execute(db)
  return rows.map((row) => row.key)
}

async function move(
  db: Db,
  key: number,
  moves: readonly JobMove[],
  condition: RawBuilder<SqlBool>,
  now: Date,
): Promise<MovedJob | null> {
  const from = moves.map((each) => each.from)
  const to = moves.map((each) => each.to)
  const { rows } = await sql<MovedJob>`
    -- Not the key: a step of the job that holds its progress already may still have to refer to it.
    with next as materialized (
      select job.key, move.status
      from job join unnest(${from}::job_status[], ${to}::job_status[]) as move (before, status)
        on move.before = job.status
      where job.key = ${key} and (move.status <> 'running' or job.details = 'kept') and ${condition}
      for no key update of job
    ),
    moved as (
      update job
      set status = next.status,
          stage = case
            when next.status in ('completed', 'failed', 'cancelled') then next.status::text::job_stage
            when job.stage not in ('completed', 'failed') then job.stage
            when job.discovery_complete then 'resolving-and-fetching'
            else 'discovering-repos'
          end,
          started_at = case
            when next.status in ('completed', 'failed') then coalesce(job.started_at, ${now})
            else job.started_at
          end,
          completed_at = case when next.status in ('completed', 'failed', 'cancelled') then ${now}::timestamptz end
      from next
      where job.key = next.key
      returning job.key, job.id, job.status
    )
    update job_progress p
    set seq = p.seq + 1,
        state_seq = p.seq + 1,
        stopped = moved.status in ('paused', 'completed', 'failed', 'cancelled')
    from moved
    where p.job = moved.key
    returning moved.id, moved.status`.execute(db)
  return rows[0] ?? null
}

/** Notes that a job's work has begun, and what part of it it has reached. Goes forward only. */
export async function reachStage(
  db: Db,
  key: number,
  stage: 'discovering-repos' | 'resolving-and-fetching',
  now: Date,
): Promise<void> {
  const before = stage === 'discovering-repos' ? ['pending'] : ['pending', 'discovering-repos']
  await sql`
    with moved as (
      update job set stage = ${stage}, started_at = coalesce(started_at, ${now})
      where key = ${key} and status = 'running' and stage = any(${before}::job_stage[])
      returning key
    )
    update job_progress p set seq = p.seq + 1, state_seq = p.seq + 1 from moved where p.job = moved.key
  `.execute(db)
}

/**
 * Notes that failed repos of a job are to be queued again, and how many repos it may have. Part of the transaction
 * that moves the job.
 * @returns how many repos have failed in one of these ways
 */
export async function markForRetry(
  trx: Trx,
  key: number,
  retry: { readonly classes: readonly FailureClass[]; readonly repoLimit: number | null },
): Promise<number> {
  const { count } = await trx
    .selectFrom('job_failure')
    .select((eb) => eb.fn.coalesce(eb.fn.sum<number>('count'), eb.val(0)).as('count'))
    .where('job', '=', key)
    .where('class', 'in', [...retry.classes])
    .executeTakeFirstOrThrow()
  await trx
    .updateTable('job')
    .set({ repo_limit: retry.repoLimit, ...(Number(count) > 0 && { retrying: [...retry.classes] }) })
    .where('key', '=', key)
    .execute()
  return Number(count)
}

/** The jobs of which failed repos are still to be queued again. */
export async function jobsToRequeue(db: Db): Promise<number[]> {
  const rows = await db.selectFrom('job').select('key').where('retrying', 'is not', null).execute()
  return rows.map((row) => row.key)
}

/**
 * Queues a portion of a job's failed repos again, with all their tries. What was stored of one whose failure may go
 * away by itself counts: it goes on there. One whose host was given up is looked up again. Any number of processes may
 * do so at once. Of a job that has been cancelled meanwhile the rest stays as it is.
 * @param limit how many at once: others want the job's counters too
 * @returns whether there may be more
 */
export async function requeueFailedRepos(db: Db, key: number, limit = 5_000): Promise<boolean> {
  return db.transaction().execute(async (trx) => {
    await queueRepos(trx)
    // The job before its progress, as whoever moves it or saves a page for it: or the two would wait for each other.
    const job = await trx
      .selectFrom('job')
      .select('completed_at')
      .where('key', '=', key)
      .forNoKeyUpdate()
      .executeTakeFirst()
    if (!job || job.completed_at !== null) {
      await nothingToRequeue(trx, key)
      return false
    }
    // Taken before the repos, as whoever writes a step takes it: so portions come one after the other.
    await trx.selectFrom('job_progress').select('seq').where('job', '=', key).forUpdate().execute()
    const { rows } = await sql<{ repos: number }>`
      with picked as materialized (
        select r.did, r.failure, row_number() over (order by r.did) as n,
               -- Whose host was away for so long may live elsewhere by now.
               r.host is null or (r.failure = 'host-unavailable' and r.progress is null) as homeless,
               r.host is not null as was_resolved
        from job_repo r join job on job.key = r.job
        where r.job = ${key} and r.status = 'failed' and r.failure = any(job.retrying)
        order by r.did
        limit ${limit}
      ),
      changed as (
        update job_repo r
        set status = (case
              when picked.homeless then 'waiting'
              when r.failure = any(${[...RETRYABLE_FAILURES]}::failure_class[]) and r.progress is not null then 'fetching'
              else 'resolved'
            end)::repo_status,
            host = case when not picked.homeless then r.host end,
            progress = case when r.failure = any(${[...RETRYABLE_FAILURES]}::failure_class[]) then r.progress end,
            failure = null, message = null, attempts = 0, retry_at = null,
            seq = p.seq + picked.n, changed_at = now()
        from picked, job_progress p
        where p.job = ${key} and r.job = ${key} and r.did = picked.did
      ),
      counted as (
        update job_failure f set count = f.count - gone.count
        from (select failure, count(*) as count from picked group by failure) gone
        where f.job = ${key} and f.class = gone.failure
      )
      update job_progress p
      set seq = p.seq + queued.count, failed = p.failed - queued.count, resolved = p.resolved - queued.homeless
      from (
        select count(*) as count, count(*) filter (where homeless and was_resolved) as homeless from picked
      ) queued
      where p.job = ${key}
      returning queued.count as repos`.execute(trx)
    await trx.deleteFrom('job_failure').where('job', '=', key).where('count', '=', 0).execute()
    const more = (rows[0]?.repos ?? 0) === limit
    if (!more) await nothingToRequeue(trx, key)
    return more
  })
}

async function nothingToRequeue(trx: Trx, key: number): Promise<void> {
  await trx.updateTable('job').set({ retrying: null }).where('key', '=', key).execute()
}

/** Takes up listings again that could not be read to their end. @returns how many there were */
export async function reopenListings(trx: Trx, key: number): Promise<number> {
  const { numUpdatedRows } = await trx
    .updateTable('listing')
    .set({ failure: null, attempts: 0, retry_at: null, pages: 0, mark: null })
    .where('job', '=', key)
    .where('failure', 'is not', null)
    .executeTakeFirst()
  if (numUpdatedRows > 0n) await trx.updateTable('job').set({ error: null }).where('key', '=', key).execute()
  return Number(numUpdatedRows)
}
