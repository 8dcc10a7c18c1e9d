import { sql } from 'kysely'
import type { Db } from './database.js'

/**
 * Processes that do the work, and the jobs that each may have something in flight for. A job that pauses or is
 * cancelled has stopped when no process is engaged in it any more. All by the database's clock: those of the
 * processes need not agree.
 */

/** A task of the dispatch that a worker has in hand. */
export interface HeldTask {
  readonly kind: string
  readonly id: string
  readonly key: number
}

/**
 * Says that a worker is alive, for so long, and what it is at.
 * @returns false when it had been taken for dead meanwhile: what it was engaged in is forgotten
 */
export async function reportAlive(
  db: Db,
  worker: string,
  forMs: number,
  tasks: readonly HeldTask[] = [],
): Promise<boolean> {
  const until = sql<Date>`now() + ${forMs} * interval '1 millisecond'`
  const { rows } = await sql<{ known: boolean }>`
    insert into worker (id, alive_until, backend, tasks)
    values (${worker}, ${until}, pg_backend_pid(), ${JSON.stringify(tasks)})
    on conflict (id) do update
    set alive_until = excluded.alive_until, backend = excluded.backend, reported_at = excluded.reported_at,
        tasks = excluded.tasks
    returning xmax <> 0 as known`.execute(db)
  return rows[0]?.known === true
}

/** Forgets a worker with what it is engaged in. */
export async function removeWorker(db: Db, worker: string): Promise<void> {
  await db.deleteFrom('worker').where('id', '=', worker).execute()
}

/**
 * Workers report far more often, ms. One that does not, and whose connection is closed, is gone: one that is only
 * slow has its connection, and one that only lost it reports over another.
 */
const GONE_MS = 2_000

/**
 * Forgets the workers that have been silent for too long, or are gone. What was reported to a server that has been
 * started again since says nothing about connections.
 * @returns the tasks that they were at
 */
export async function forgetDeadWorkers(db: Db): Promise<HeldTask[]> {
  const { rows } = await sql<{ tasks: HeldTask[] }>`
    delete from worker w
    where w.alive_until < now() or (
      w.reported_at between pg_postmaster_start_time() and now() - ${GONE_MS} * interval '1 millisecond'
      and not exists (select from pg_stat_activity a where a.pid = w.backend)
    )
    returning w.tasks`.execute(db)
  return rows.flatMap(({ tasks }) => tasks)
}

/**
 * Notes that a worker may have work of a job in flight.
 * @returns false when the job does not run, or the worker has been taken for dead; nothing is noted then
 */
export async function engage(db: Db, job: number, worker: string): Promise<boolean> {
  // The shared lock holds off whoever wants to stop the job: the engagement is there before the job is pausing.
  const { rows } = await sql`
    with running as materialized (
      select job.key, worker.id
      from job, worker
      where job.key = ${job} and job.status = 'running' and worker.id = ${worker}
      for share
    )
    insert into engagement (job, worker) select key, id from running
    on conflict (job, worker) do update set job = excluded.job
    returning 1`.execute(db)
  return rows.length > 0
}

/** The jobs that a worker is engaged in, and whether each still runs. */
export async function engagementsOf(db: Db, worker: string): Promise<Map<number, boolean>> {
  const rows = await db
    .selectFrom('engagement')
    .innerJoin('job', 'job.key', 'engagement.job')
    .select(['job.key', 'job.status'])
    .where('engagement.worker', '=', worker)
    .execute()
  return new Map(rows.map(({ key, status }) => [key, status === 'running']))
}

/** Notes that a worker has nothing of a job in flight any more. */
export async function disengage(db: Db, job: number, worker: string): Promise<void> {
  await db.deleteFrom('engagement').where('job', '=', job).where('worker', '=', worker).execute()
}
