import { sql } from 'kysely'
import type { Db } from './database.js'

/** How much there is to do for all processes on a database, and what holds it up. */
export interface Load {
  /** Jobs that have not ended. */
  readonly running: number
  readonly pausing: number
  readonly paused: number
  readonly cancelling: number
  /** Repos without an outcome in jobs that run: those whose PDS is not known yet, and the others. */
  readonly waiting: number
  readonly resolved: number
  /** Hosts, relays and the directory among them, that are left alone. */
  readonly cooling: number
  readonly parked: number
}

/** What is shorter is the pace at which a host is asked anyway, ms. */
const COOLING_MS_MIN = 2_000

/**
 * Reads the load from the counters of the jobs that have not ended, and from the hosts: the repos are not looked at.
 * A repo that failed before its PDS was found is in no counter of its own, and may stand for one that waits as long
 * as others of its job are open.
 */
export async function readLoad(db: Db): Promise<Load> {
  const { rows } = await sql<Load>`
    with open as (
      select job.status, p.total - p.resolved as unresolved, p.total - p.completed - p.unavailable - p.failed as open
      from job join job_progress p on p.job = job.key
      where job.status in ('running', 'pausing', 'paused', 'cancelling')
    ),
    jobs as (
      select count(*) filter (where status = 'running') as running,
             count(*) filter (where status = 'pausing') as pausing,
             count(*) filter (where status = 'paused') as paused,
             count(*) filter (where status = 'cancelling') as cancelling,
             coalesce(sum(least(unresolved, open)) filter (where status = 'running'), 0) as waiting,
             coalesce(sum(open - least(unresolved, open)) filter (where status = 'running'), 0) as resolved
      from open
    ),
    hosts as (
      select count(*) filter (where parked) as parked, count(*) filter (where not parked) as cooling
      from host
      where parked or next_request_at > clock_timestamp() + ${COOLING_MS_MIN}::float8 * interval '1 millisecond'
    )
    select running::int, pausing::int, paused::int, cancelling::int, waiting::float8, resolved::float8,
           cooling::int, parked::int
    from jobs, hosts`.execute(db)
  return rows[0]!
}
