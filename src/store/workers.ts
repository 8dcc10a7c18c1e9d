import { sql } from 'kysely'
import type { Db } from './database.js'

/**
 * Processes that do the work, and the jobs that each may have something in flight for. A job that pauses or is
 * cancelled has stopped when no process is engaged in it any more. All by the database's clock: those of the
 * processes need not agree.
 */

/**
 * Says that a worker is alive, for so long.
 * @returns false when it had been taken for dead meanwhile: what it was engaged in is forgotten
 */
export async function reportAlive(db: Db, worker: string, forMs: number): Promise<boolean> {
  const until = sql<Date>`now() + ${forMs} * interval '1 millisecond'`
  const { rows } = await sql<{ known: boolean }>`
    insert into worker (id, alive_until) values (${worker}, ${until})
    on conflict (id) do update set alive_until = excluded.alive_until
    returning xmax <> 0 as known`.execute(db)
  return rows[0]?.known === true
}

/** Forgets a worker with what it is engaged in. */
export async function removeWorker(db: Db, worker: string): Promise<void> {
  await db.deleteFrom('worker').where('id', '=', worker).execute()
}

/** Forgets the workers that have been silent for too long. */
export async function forgetDeadWorkers(db: Db): Promise<void> {
  await db.deleteFrom('worker').where('alive_until', '<', sql<Date>`now()`).execute()
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
