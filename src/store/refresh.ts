import { sql } from 'kysely'
import type { JobStatus } from '../verdict.js'
import { queueRepos } from './coverage.js'
import type { Db, Trx } from './database.js'

/**
 * Jobs that repeat an earlier one. Its repos are queued whatever discovery finds today: of one that has nothing left,
 * no relay says so. Each comes with the rev that it had then, so that what has changed since can be told.
 */

/**
 * Makes sure that the list of an ended job's repos stays as it is to the end of the transaction.
 * @returns false when its details are deleted
 */
export async function holdDetails(trx: Trx, key: number): Promise<boolean> {
  const { rows } = await sql`select from job where key = ${key} and details = 'kept' for share`.execute(trx)
  return rows.length > 0
}

/** The accounts of a job that names a few. */
export async function didsOf(trx: Trx, key: number): Promise<string[]> {
  const rows = await trx.selectFrom('job_repo').select('did').where('job', '=', key).orderBy('did').execute()
  return rows.map(({ did }) => did)
}

/** A job that is still to get repos of the one it repeats. */
export async function jobToQueueFor(db: Db, ended: readonly JobStatus[]): Promise<string | null> {
  const row = await db
    .selectFrom('job')
    .select('id')
    .where('refresh_after', 'is not', null)
    .where('status', 'not in', [...ended])
    .orderBy('key')
    .limit(1)
    .executeTakeFirst()
  return row?.id ?? null
}

/**
 * Whether more than what was stored under a later rev may be new to whoever has the former job's records. Who was told
 * that the account is gone has none of them any more; and a listing that was given up may have left rows that are of a
 * later rev than they say.
 */
const isUnsure = (refresh: number) => sql`(
  exists (select from account_state a where a.repo = former.repo and a.seen_at > former.changed_at)
  or exists (
    select from job_repo other
    where other.repo = former.repo and other.job not in (former.job, ${refresh}) and other.method = 'list-records'
      and other.records > 0 and other.status <> 'completed'
  )
)`

/**
 * Queues a portion of the repos that a job takes from the one it repeats. A repo whose receipt was without a rev when
 * it was completed has the one that the receipt was given later, if it is still the same receipt.
 * @param id as callers see it
 * @returns whether there is more
 */
export async function queueFormerRepos(trx: Trx, id: string, limit: number): Promise<boolean> {
  await queueRepos(trx)
  const job = await trx
    .selectFrom('job')
    .select(['key', 'refreshes', 'refresh_after'])
    .where('id', '=', id)
    .where('refresh_after', 'is not', null)
    .forNoKeyUpdate()
    .executeTakeFirst()
  if (!job) return false
  // Numbers become visible in order: as with every other change of repos.
  await trx.selectFrom('job_progress').select('seq').where('job', '=', job.key).forUpdate().execute()
  const { rows } = await sql<{ found: number; last: string | null }>`
    with former as materialized (
      select old.job, old.did, old.repo, old.status, old.rev, old.changed_at, origin.scope
      from job origin join job_repo old on old.job = origin.key
      where origin.id = ${job.refreshes} and old.did > ${job.refresh_after}
      order by old.did
      limit ${limit}
    ),
    added as (
      insert into job_repo (job, repo, did, seq, since_rev)
      select ${job.key}::int, former.repo, former.did, p.seq + row_number() over (order by former.did),
        case when former.status = 'completed' and not ${isUnsure(job.key)} then coalesce(former.rev, (
          select c.rev from receipt c
          where c.repo = former.repo and c.scope = former.scope and c.completed_at = former.changed_at
        )) end
      from former, job_progress p
      where p.job = ${job.key}
      on conflict (job, did) do update set since_rev = excluded.since_rev
    ),
    sums as (
      select count(*) as found, max(did) as last, count(*) filter (where not exists (
        select from job_repo r where r.job = ${job.key} and r.did = former.did
      )) as fresh
      from former
    )
    update job_progress p set total = p.total + sums.fresh, seq = p.seq + sums.found
    from sums where p.job = ${job.key}
    returning sums.found, sums.last`.execute(trx)
  const { found, last } = rows[0] ?? { found: 0, last: null }
  const more = found === limit
  await trx
    .updateTable('job')
    .set({ refresh_after: more ? last : null })
    .where('key', '=', job.key)
    .execute()
  return more
}
