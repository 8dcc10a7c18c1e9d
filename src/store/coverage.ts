import { type SqlBool, sql } from 'kysely'
import type { Trx } from './database.js'
import { storedCollectionIds } from './stored-collections.js'

/**
 * Who still needs what is stored of a repo. Before something of a repo goes away, nobody may need it, and nobody may
 * come to need it until it is gone: whoever queues repos and whoever removes records keep out of each other's way.
 */

const LOCK = sql`hashtextextended('coverage', 0)`

/** Taken before repos are queued, and held to the commit. Any number hold it at once. */
export async function queueRepos(trx: Trx): Promise<void> {
  await sql`select pg_advisory_xact_lock_shared(${LOCK})`.execute(trx)
}

/** Taken before records are removed, and held to the commit: no repo is queued meanwhile. Not to be held for long. */
export async function holdQueues(trx: Trx): Promise<void> {
  await sql`select pg_advisory_xact_lock(${LOCK})`.execute(trx)
}

/** Of `job_repo r` in `job`: whether a reading of it goes on, or may go on where it stopped. */
export const IS_OPEN = sql<SqlBool>`(
  job.status <> 'cancelled' and job.details = 'kept' and (
    r.status in ('waiting', 'resolved', 'fetching') or r.status = 'failed' and r.progress is not null
  )
)`

/** Of `job_repo r` in `job`: whether that job needs what is stored of the repo. */
export const IS_NEEDED = sql<SqlBool>`(job.details = 'kept' and r.status = 'completed' or ${IS_OPEN})`

/** Tables for a `from`: `stored`, with a row for each collection of which something is stored of these repos. */
export function storedIn(repos: readonly number[]) {
  return sql`
    unnest(${repos}::bigint[]) as mine (repo)
    cross join lateral (
      select mine.repo, seen.collection, collection.nsid
      from (${sql.raw(storedCollectionIds('mine.repo'))}) seen join collection on collection.id = seen.collection
    ) stored`
}

/** Of `stored.nsid`: whether a list of patterns, as a job has it, holds it. @param collections the list's column */
export function wants(collections: string) {
  return sql.raw<SqlBool>(wanted(collections))
}

/** The same as text. */
export const wanted = (collections: string) => `(${collections} is null or exists (
    select from unnest(${collections}) as pattern
    where case when pattern like '%.*' then starts_with(stored.nsid, left(pattern, -1)) else stored.nsid = pattern end
  ))`
