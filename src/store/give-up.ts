import { sql } from 'kysely'
import type { Db, Trx } from './database.js'
import { IS_DUE } from './repos.js'

/** Repos that were failed for their host. */
export interface GivenUp {
  readonly job: number
  readonly repos: number
}

/**
 * Hosts that have given no good answer since a moment, are left alone at present, and have repos waiting in jobs
 * that run.
 */
export async function hostsToGiveUp(db: Db, since: Date, now: Date): Promise<number[]> {
  const { rows } = await sql<{ id: number }>`
    select host.id from host
    where host.unanswered_since <= ${since} and not host.given_up and host.next_request_at > ${now}
      and exists (
        select 1 from job
        where job.status = 'running' and (
          exists (
            select 1 from job_repo r where r.host = host.id and r.job = job.key
              and ${IS_DUE}
          )
          or exists (
            select 1 from job_repo r where r.host = host.id and r.job = job.key
              and r.status in ('resolved', 'fetching') and r.retry_at is not null
          )
        )
      )`.execute(db)
  return rows.map((row) => row.id)
}

/**
 * Fails all repos that wait for a host, in every job that runs. Whoever drives it loses it by this. A host that
 * is parked may be tried at once from now on: for repos that come to it later.
 * @returns the jobs; none when the host has answered meanwhile, or somebody else was quicker
 */
export function giveUpHost(
  db: Db,
  host: number,
  { since, now, message }: { since: Date; now: Date; message: string },
): Promise<GivenUp[]> {
  return db.transaction().execute(async (trx) => {
    // Taken first, as steps do: no step for this host is under way then, and none takes effect later.
    const { rows } = await sql`
      update host
      set epoch = epoch + 1, given_up = true,
          next_request_at = case when parked then ${now}::timestamptz else next_request_at end
      where id = ${host} and unanswered_since <= ${since} and not given_up and next_request_at > ${now}
      returning 1`.execute(trx)
    if (rows.length === 0) return []
    const given: GivenUp[] = []
    for (const job of await runningJobsAt(trx, host)) {
      given.push({ job, repos: await failReposAt(trx, host, job, message) })
    }
    return given
  })
}

/** Held to the commit: they stay as they are, and numbers become visible in order. */
async function runningJobsAt(trx: Trx, host: number): Promise<number[]> {
  const { rows } = await sql<{ job: number }>`
    select p.job from job_progress p
    where not p.stopped and p.job in (select key from job where status = 'running') and p.job in (
      select job from job_repo
      where host = ${host} and status in ('resolved', 'fetching') and retry_at is null
      union
      select job from job_repo
      where host = ${host} and status in ('resolved', 'fetching') and retry_at is not null
    )
    order by p.job
    for update of p`.execute(trx)
  return rows.map((row) => row.job)
}

async function failReposAt(trx: Trx, host: number, job: number, message: string): Promise<number> {
  const { rows } = await sql<{ repos: number }>`
    with waiting as materialized (
      select did from job_repo
      where host = ${host} and job = ${job} and status in ('resolved', 'fetching') and retry_at is null
      union all
      select did from job_repo
      where host = ${host} and job = ${job} and status in ('resolved', 'fetching') and retry_at is not null
    ),
    picked as materialized (select did, row_number() over (order by did) as n from waiting),
    changed as (
      update job_repo r
      set status = 'failed', failure = 'host-unavailable', message = ${message}, retry_at = null,
          seq = p.seq + picked.n, changed_at = now()
      from picked, job_progress p
      where p.job = ${job} and r.job = ${job} and r.did = picked.did
    ),
    counted as (
      insert into job_failure (job, class, count)
      select ${job}::int, 'host-unavailable', count(*) from picked having count(*) > 0
      on conflict (job, class) do update set count = job_failure.count + excluded.count
    )
    update job_progress p
    set seq = p.seq + failed.count, failed = p.failed + failed.count
    from (select count(*) as count from picked) failed
    where p.job = ${job}
    returning failed.count as repos`.execute(trx)
  return rows[0]?.repos ?? 0
}
