import { sql } from 'kysely'
import type { JobStatus } from '../verdict.js'
import { holdQueues, IS_NEEDED, storedIn, wants } from './coverage.js'
import type { Db, Trx } from './database.js'

/**
 * Jobs that leave nothing. One counts as gone as soon as it is marked; what it has stored goes in portions, repo by
 * repo, unless another job needs it. The list of its repos, which goes along, says what is still to be done: so
 * whoever is killed in between leaves nothing behind that would be taken for whole.
 */

/** Repos looked at at once. */
const REPOS = 100

/**
 * Marks a job, with its details, as gone.
 * @param ended the statuses of jobs that have ended; others stay as they are
 * @returns whether it was marked by this
 */
export async function markForPurge(db: Db, key: number, ended: readonly JobStatus[]): Promise<boolean> {
  const { numUpdatedRows } = await db
    .updateTable('job')
    .set({ details: 'deleted', purge: 'purging' })
    .where('key', '=', key)
    .where('details', '=', 'kept')
    .where('status', 'in', [...ended])
    .executeTakeFirst()
  return numUpdatedRows > 0n
}

/**
 * Removes a portion of what a marked job has stored. Several processes may do so at once: they take turns.
 * @param limit records at once
 * @returns whether there is more to do; and the id of the job of which this was the last portion
 */
export async function purgePortion(db: Db, limit: number): Promise<{ more: boolean; purged: string | null }> {
  return db.transaction().execute(async (trx) => {
    await holdQueues(trx)
    const job = await jobToPurge(trx)
    if (!job) return { more: false, purged: null }
    const repos = await trx
      .selectFrom('job_repo')
      .select('repo')
      .where('job', '=', job.key)
      .orderBy('did')
      .limit(REPOS)
      .execute()
    if (repos.length > 0) {
      await purgeRepos(trx, { job: job.key, repos: repos.map(({ repo }) => repo), limit })
      return { more: true, purged: null }
    }
    // What else there is in lists goes the way of all deleted details.
    await trx
      .updateTable('job')
      .set({ details: 'deleting', purge: 'purged' })
      .where('key', '=', job.key)
      .execute()
    return { more: true, purged: job.id }
  })
}

/** None that another job is still taking repos from. */
async function jobToPurge(trx: Trx): Promise<{ key: number; id: string } | undefined> {
  const { rows } = await sql<{ key: number; id: string }>`
    select key, id from job
    where purge = 'purging' and not exists (
      select from job later
      where later.refreshes = job.id and later.refresh_after is not null
        and later.status in ('running', 'pausing', 'paused', 'cancelling')
    )
    order by key
    limit 1`.execute(trx)
  return rows[0]
}

interface Portion {
  readonly job: number
  readonly repos: readonly number[]
  readonly limit: number
}

/** One step towards these repos being gone from the job; each is safe to be the last one for some time. */
async function purgeRepos(trx: Trx, { job, repos, limit }: Portion): Promise<void> {
  const all = sql`${repos}::bigint[]`
  const baseless = await baselessReceipts(trx, repos)
  // What another job needs and is signed must be replaceable by what that one reads, unless a signed receipt stays.
  const weakened = baseless.filter((receipt) => receipt.leavesSigned).map(({ repo }) => repo)
  if (weakened.length > 0 && (await weaken(trx, weakened, limit)) === limit) return
  // First what says that the records are there: nobody takes them for whole from now on.
  await sql`
    delete from receipt using unnest(
      ${baseless.map(({ repo }) => repo)}::bigint[], ${baseless.map(({ scope }) => scope)}::int[]
    ) as gone (repo, scope)
    where receipt.repo = gone.repo and receipt.scope = gone.scope`.execute(trx)
  const { numAffectedRows } = await sql`
    with unneeded as materialized (${unneeded(job, repos)})
    delete from record where ctid = any(array(
      select rows.place from unneeded cross join lateral (
        select record.ctid as place from record
        where record.repo = unneeded.repo and record.collection = unneeded.collection
        limit ${limit}
      ) rows
      limit ${limit}
    ))`.execute(trx)
  if (numAffectedRows === BigInt(limit)) return
  await sql`delete from job_repo where job = ${job} and repo = any(${all})`.execute(trx)
}

/**
 * Receipts of repos for scopes under which no job needs them, and whether they are the last signed ones of a repo that
 * a job needs something else of.
 */
async function baselessReceipts(trx: Trx, repos: readonly number[]) {
  const { rows } = await sql<{ repo: number; scope: number; leavesSigned: boolean }>`
    with found as materialized (
      select receipt.repo, receipt.scope, receipt.level, exists (
        select from job_repo r join job on job.key = r.job
        where r.repo = receipt.repo and job.scope = receipt.scope and ${IS_NEEDED}
      ) as needed, exists (
        select from job_repo r join job on job.key = r.job where r.repo = receipt.repo and ${IS_NEEDED}
      ) as leaves
      from receipt where receipt.repo = any(${repos}::bigint[])
    )
    select repo, scope, leaves and level = 'signed' and not exists (
      select from found other where other.repo = found.repo and other.needed and other.level = 'signed'
    ) as "leavesSigned"
    from found where not needed`.execute(trx)
  return rows
}

async function weaken(trx: Trx, repos: readonly number[], limit: number): Promise<number> {
  const { numAffectedRows } = await sql`
    update record set level = 'content' where ctid = any(array(
      select record.ctid from record
      where record.repo = any(${repos}::bigint[]) and record.level = 'signed'
      limit ${limit}
    ))`.execute(trx)
  return Number(numAffectedRows ?? 0n)
}

/** What is stored of repos, collection by collection, that is the job's and that no other job needs. */
function unneeded(job: number, repos: readonly number[]) {
  return sql`
    select stored.repo, stored.collection
    from ${storedIn(repos)}
    where exists (select from job purged where purged.key = ${job} and ${wants('purged.collections')})
      and not exists (
        select from job_repo r join job on job.key = r.job
        where r.repo = stored.repo and ${IS_NEEDED} and ${wants('job.collections')}
      )`
}
