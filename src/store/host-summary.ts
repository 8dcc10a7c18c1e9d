import { sql } from 'kysely'
import type { Db } from './database.js'

/** What became of a job's repos on one host, or on several together. */
export interface RepoCounts {
  readonly total: number
  readonly completed: number
  readonly failed: number
  readonly unavailable: number
  readonly records: number
}

export interface HostSummary extends RepoCounts {
  readonly origin: string
  /** No request before this moment; may be long ago. */
  readonly nextRequestAt: Date
  /** It did not answer, and is left alone but for a probe at that moment. */
  readonly parked: boolean
}

export interface HostSummaries {
  readonly hosts: readonly HostSummary[]
  /** The rest, where there are more than were asked for. */
  readonly others: (RepoCounts & { readonly hosts: number }) | null
}

/** The hosts of a job, the one with the most of its repos first. */
export async function summarizeHosts(db: Db, job: number, limit: number): Promise<HostSummaries> {
  const { rows } = await sql<
    RepoCounts & { hosts: number; origin: string | null; nextRequestAt: Date | null; parked: boolean }
  >`
    with per_host as materialized (
      select r.host,
             count(*) as total,
             count(*) filter (where r.status = 'completed') as completed,
             count(*) filter (where r.status = 'failed') as failed,
             count(*) filter (where r.status = 'unavailable') as unavailable,
             sum(r.records) as records,
             row_number() over (order by count(*) desc, r.host) as place
      from job_repo r
      where r.job = ${job} and r.host is not null
      group by r.host
    ),
    shown as (
      select host.origin, greatest(host.next_request_at, 'epoch') as "nextRequestAt", host.parked, p.*
      from per_host p join host on host.id = p.host
      where p.place <= ${limit}
    )
    select origin, "nextRequestAt", parked, 1 as hosts, total, completed, failed, unavailable, records, place from shown
    union all
    select null, null, false, count(*)::int, sum(total)::bigint, sum(completed)::bigint, sum(failed)::bigint,
           sum(unavailable)::bigint, sum(records)::bigint, null
    from per_host where place > ${limit} having count(*) > 0
    order by place nulls last`.execute(db)
  const hosts: HostSummary[] = []
  let others: HostSummaries['others'] = null
  for (const { origin, nextRequestAt, parked, ...counts } of rows) {
    if (origin === null || nextRequestAt === null) others = counts
    else hosts.push({ ...counts, origin, nextRequestAt, parked })
  }
  return { hosts, others }
}
