import { sql } from 'kysely'
import { holdQueues, IS_OPEN } from './coverage.js'
import type { Db } from './database.js'

/**
 * What becomes of accounts after their repos were completed. The step that finds one unavailable, or well again,
 * notes it; here the other jobs that have it are told, and the records of those that are gone for good go, too.
 */

/** Accounts taken up at once. */
const ACCOUNTS = 200

/**
 * Gives the repos of accounts that have changed a new number in every job that had completed them before: whoever
 * comes back with an older one is told. Nothing else of them changes. Doing it twice does no harm.
 * @returns the jobs that have something to tell, and whether there is more to do
 */
export async function tellAccounts(db: Db, limit = ACCOUNTS): Promise<{ jobs: number[]; more: boolean }> {
  return db.transaction().execute(async (trx) => {
    const news = await trx
      .selectFrom('account_state')
      .select(['repo', sql<string>`seen_at::text`.as('version')])
      .where('untold', '=', true)
      .orderBy('repo')
      .limit(limit)
      .execute()
    if (news.length === 0) return { jobs: [], more: false }
    const repos = sql`${news.map(({ repo }) => repo)}::bigint[]`
    const versions = sql`${news.map(({ version }) => version)}::timestamptz[]`
    // The account comes last, as in a step: neither waits for the other.
    const { rows } = await sql<{ job: number }>`
      with told as materialized (
        select r.job, r.did, row_number() over (partition by r.job order by r.did) as n
        from unnest(${repos}, ${versions}) as news (repo, seen_at)
        join job_repo r on r.repo = news.repo
        join job on job.key = r.job
        where r.status = 'completed' and r.changed_at < news.seen_at and job.details = 'kept'
      ),
      locked as materialized (
        select p.job, p.seq from job_progress p where p.job in (select job from told) order by p.job for update
      ),
      -- changed_at stays: of the repo in that job nothing is new.
      changed as (
        update job_repo r set seq = locked.seq + told.n
        from told join locked on locked.job = told.job
        where r.job = told.job and r.did = told.did
      )
      update job_progress p set seq = p.seq + sums.repos
      from (select job, count(*) as repos from told group by job) sums
      where p.job = sums.job and exists (select from locked where locked.job = p.job)
      returning p.job`.execute(trx)
    await sql`
      update account_state a set untold = false
      from unnest(${repos}, ${versions}) as news (repo, seen_at)
      where a.repo = news.repo and a.seen_at = news.seen_at`.execute(trx)
    return { jobs: rows.map(({ job }) => job), more: news.length === limit }
  })
}

/**
 * Removes a portion of what is stored of accounts that are gone for good; of none that a job is about to read again.
 * @param limit records at once
 * @returns whether there is more to do
 */
export async function purgeAccounts(db: Db, limit: number): Promise<boolean> {
  return db.transaction().execute(async (trx) => {
    await holdQueues(trx)
    const { rows } = await sql<{ repo: number }>`
      select a.repo from account_state a
      where a.unpurged and not exists (
        select from job_repo r join job on job.key = r.job
        where r.repo = a.repo and r.status <> 'failed' and ${IS_OPEN}
      )
      order by a.repo
      limit ${ACCOUNTS}`.execute(trx)
    if (rows.length === 0) return false
    const repos = sql`${rows.map(({ repo }) => repo)}::bigint[]`
    // Tried again, it would go on behind records that are gone; and what was removed since a rev nobody can tell.
    await sql`
      update job_repo set progress = null, rev = null, since_rev = null
      where repo = any(${repos}) and status in ('completed', 'unavailable', 'failed')
        and (progress is not null or rev is not null or since_rev is not null)`.execute(trx)
    // First what says that the records are there: nobody takes them for whole from now on.
    await sql`delete from receipt where repo = any(${repos})`.execute(trx)
    const { numAffectedRows } = await sql`
      delete from record where ctid = any(array(
        select record.ctid from record where record.repo = any(${repos}) limit ${limit}
      ))`.execute(trx)
    if (numAffectedRows === BigInt(limit)) return true
    await sql`update account_state set unpurged = false where repo = any(${repos})`.execute(trx)
    return rows.length === ACCOUNTS
  })
}
