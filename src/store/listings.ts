import { sql } from 'kysely'
import type { Db, Trx } from './database.js'
import { printable } from './text.js'

export interface Listing {
  readonly relay: string
  readonly collection: string
  readonly cursor: string | null
  readonly attempts: number
  readonly retryAt: Date | null
}

/** The longest reason kept for a listing that cannot be read, in UTF-16 units. */
const FAILURE_LENGTH_MAX = 1_000

/** The listings of a job that can be read further. */
export async function openListings(db: Db, job: number): Promise<Listing[]> {
  const rows = await db
    .selectFrom('listing')
    .selectAll()
    .where('job', '=', job)
    .where('done', '=', false)
    .where('failure', 'is', null)
    .orderBy('relay')
    .orderBy('collection')
    .execute()
  return rows.map((row) => ({
    relay: row.relay,
    collection: row.collection,
    cursor: row.cursor,
    attempts: row.attempts,
    retryAt: row.retry_at,
  }))
}

export async function addListings(
  trx: Trx,
  job: number,
  relays: readonly string[],
  collections: readonly string[],
) {
  const values = relays.flatMap((relay) => collections.map((collection) => ({ job, relay, collection })))
  await trx.insertInto('listing').values(values).execute()
}

/** What became of a page of discovery. */
export type PageSaved =
  | 'saved'
  /** Somebody else has moved this listing on meanwhile, or ended it. */
  | 'moved-on'
  /** Its cursor was met before: the listing goes in circles and would never end. */
  | 'loop'
  /** The job does not run any more. */
  | 'stopped'
  /** The job would have more repos than it may have. */
  | 'too-many-repos'

/** How far a listing has come: the pages saved, and the cursor of an earlier one to compare with. */
export interface ListingTrail {
  readonly pages: number
  readonly mark: string | null
}

/**
 * A listing's trail with one more page, by Brent's algorithm: the mark moves to the cursor of every page whose
 * number is a power of two. A circle is noticed within three times the pages up to where it closes, however
 * long it is, with one cursor kept.
 * @param cursor the page's; null at the end of the listing
 * @returns null when the listing goes in circles
 */
export function trailAfter({ pages, mark }: ListingTrail, cursor: string | null): ListingTrail | null {
  if (cursor !== null && cursor === mark) return null
  const count = pages + 1
  return { pages: count, mark: Number.isInteger(Math.log2(count)) ? cursor : mark }
}

/**
 * Commits one page of discovery: its repos and its cursor together. Nothing is written unless the answer is
 * `saved`.
 */
export async function saveListingPage(
  db: Db,
  job: number,
  listing: Pick<Listing, 'relay' | 'collection' | 'cursor'>,
  page: { dids: readonly string[]; cursor: string | null },
): Promise<PageSaved> {
  return db
    .transaction()
    .execute(async (trx) => {
      const { relay, collection } = listing
      const guard = await trx
        .selectFrom('job')
        .select('repo_limit')
        .where('key', '=', job)
        .where('status', 'in', ['running', 'pausing', 'cancelling'])
        .forShare()
        .executeTakeFirst()
      if (!guard) return 'stopped'
      const before = await trx
        .selectFrom('listing')
        .select(['pages', 'mark'])
        .where('job', '=', job)
        .where('relay', '=', relay)
        .where('collection', '=', collection)
        .where('done', '=', false)
        .where('cursor', 'is not distinct from', listing.cursor)
        .forUpdate()
        .executeTakeFirst()
      if (!before) return 'moved-on'
      const trail = trailAfter(before, page.cursor)
      if (!trail) return 'loop'
      await trx
        .updateTable('listing')
        .set({ ...trail, cursor: page.cursor, done: page.cursor === null, attempts: 0, retry_at: null })
        .where('job', '=', job)
        .where('relay', '=', relay)
        .where('collection', '=', collection)
        .execute()
      const total = await addRepos(trx, job, page.dids)
      if (guard.repo_limit !== null && total > guard.repo_limit) throw new TooManyRepos()
      return 'saved' as const
    })
    .catch((error: unknown) => {
      if (error instanceof TooManyRepos) return 'too-many-repos'
      throw error
    })
}

/** Thrown to take a transaction back. */
class TooManyRepos extends Error {}

/** Notes that a listing cannot be read to its end, and tells the job's caller of the first one. */
export async function giveUpListing(
  db: Db,
  job: number,
  listing: Pick<Listing, 'relay' | 'collection'>,
  failure: string,
): Promise<boolean> {
  return db.transaction().execute(async (trx) => {
    const error = printable(failure, FAILURE_LENGTH_MAX)
    await trx
      .updateTable('job')
      .set((eb) => ({ error: eb.fn.coalesce('error', eb.val(error)) }))
      .where('key', '=', job)
      .execute()
    const { numUpdatedRows } = await trx
      .updateTable('listing')
      .set({ failure: error })
      .where('job', '=', job)
      .where('relay', '=', listing.relay)
      .where('collection', '=', listing.collection)
      .where('done', '=', false)
      .where('failure', 'is', null)
      .executeTakeFirst()
    return numUpdatedRows > 0n
  })
}

/** Notes that a listing could not be read, and when to try again. */
export async function deferListing(
  db: Db,
  job: number,
  listing: Pick<Listing, 'relay' | 'collection'>,
  next: { attempts: number; retryAt: Date },
): Promise<void> {
  await db
    .updateTable('listing')
    .set({ attempts: next.attempts, retry_at: next.retryAt })
    .where('job', '=', job)
    .where('relay', '=', listing.relay)
    .where('collection', '=', listing.collection)
    .execute()
}

/**
 * Queues repos for a job; ones it already has stay as they are.
 * Takes the job's progress row and holds it to the commit.
 * @returns how many repos the job has now
 */
export async function addRepos(trx: Trx, job: number, dids: readonly string[]): Promise<number> {
  // Sorted, so that two pages with the same new repos wait for each other instead of deadlocking.
  const sorted = [...new Set(dids)].sort()
  await sql`insert into repo (did) select unnest(${sorted}::text[]) on conflict (did) do nothing`.execute(trx)
  const { rows } = await sql<{ total: number }>`
    with progress as materialized (select job, seq from job_progress where job = ${job} for update),
    added as (
      insert into job_repo (job, repo, did, seq)
      select ${job}::int, repo.id, repo.did, progress.seq + row_number() over (order by repo.did)
      from progress, repo where repo.did = any(${sorted}::text[])
      on conflict (job, did) do nothing
      returning 1
    )
    update job_progress
    set total = total + (select count(*) from added), seq = seq + ${sorted.length}::int
    where job = ${job}
    returning total`.execute(trx)
  return rows[0]?.total ?? 0
}

/** Jobs whose discovery can go on now: running, not at its end, with fewer open repos than `queuedRepos`. */
export async function jobsToDiscover(db: Db, now: Date, queuedRepos: number): Promise<number[]> {
  const { rows } = await sql<{ key: number }>`
    select job.key
    from job join job_progress p on p.job = job.key
    where job.status = 'running' and not job.discovery_complete
      and p.total - p.completed - p.unavailable - p.failed < ${queuedRepos}
      and (
        exists (
          select 1 from listing l
          where l.job = job.key and not l.done and l.failure is null and (l.retry_at is null or l.retry_at <= ${now})
        )
        or not exists (select 1 from listing l where l.job = job.key and not l.done)
      )`.execute(db)
  return rows.map((row) => row.key)
}
