import { sql } from 'kysely'
import { queueRepos } from './coverage.js'
import type { Db, Trx } from './database.js'
import { hostIds } from './hosts.js'
import { HAS_BEGUN } from './start-cursors.js'
import { printable } from './text.js'

/** A listing of a job: where it is asked for, and what it lists. */
export interface ListingKey {
  /** A relay, or a host. */
  readonly origin: string
  /** The collection whose repos it lists, `HOSTS` or `REPOS`. */
  readonly lists: string
}

/** What a relay's listing of all hosts lists. */
export const HOSTS = 'hosts'
/** What a host's listing of all its repos lists. */
export const REPOS = 'repos'

export interface Listing extends ListingKey {
  readonly cursor: string | null
  readonly attempts: number
  readonly retryAt: Date | null
}

/** The longest reason kept for a listing that cannot be read, in UTF-16 units. */
const FAILURE_LENGTH_MAX = 1_000

/** The listings of a job that can be read further at its relays. */
export async function openListings(db: Db, job: number): Promise<Listing[]> {
  const rows = await db
    .selectFrom('listing')
    .select(['origin', 'lists', 'cursor', 'attempts', 'retry_at'])
    .where('job', '=', job)
    .where('host', 'is', null)
    .where('done', '=', false)
    .where('failure', 'is', null)
    .orderBy('origin')
    .orderBy('lists')
    .execute()
  return rows.map(({ retry_at, ...listing }) => ({ ...listing, retryAt: retry_at }))
}

/** A host's listing that its driver may go on with, and whose it is. */
export interface HostListing extends Listing {
  readonly job: number
}

/** Of a listing of `host` in the running job `job`: whether it may be read further now. */
const canGoOn = (now: Date, queuedRepos: number) => sql`
  not l.done and l.failure is null and (l.retry_at is null or l.retry_at <= ${now})
  and job.status = 'running' and job.refresh_after is null and ${HAS_BEGUN}
  and exists (
    select from job_progress p
    where p.job = job.key and p.total - p.completed - p.unavailable - p.failed < ${queuedRepos}
  )`

/** The listings of a host that can go on now, of jobs with fewer open repos than `queuedRepos`; oldest job first. */
export async function dueHostListings(
  db: Db,
  host: number,
  now: Date,
  queuedRepos: number,
): Promise<HostListing[]> {
  const { rows } = await sql<HostListing>`
    select l.job, l.origin, l.lists, l.cursor, l.attempts, l.retry_at as "retryAt"
    from listing l join job on job.key = l.job
    where l.host = ${host} and ${canGoOn(now, queuedRepos)}
    order by l.job`.execute(db)
  return rows
}

/** The hosts that are still to be asked for repos of a job. */
export async function hostsListedFor(db: Db, job: number): Promise<number[]> {
  const { rows } = await sql<{ host: number }>`
    select host from listing
    where job = ${job} and host is not null and not done and failure is null`.execute(db)
  return rows.map((row) => row.host)
}

/**
 * Hosts with a listing that can go on now, and no cooldown: each needs a driver.
 * @param when `hostNow` is now by the database's clock, by which hosts are left alone
 */
export async function hostsToList(
  db: Db,
  when: { now: Date; hostNow: Date; queuedRepos: number },
): Promise<number[]> {
  const { now, hostNow, queuedRepos } = when
  const { rows } = await sql<{ id: number }>`
    select distinct host.id
    from listing l join job on job.key = l.job join host on host.id = l.host
    where host.next_request_at <= ${hostNow} and ${canGoOn(now, queuedRepos)}`.execute(db)
  return rows.map((row) => row.id)
}

/**
 * Listings of running jobs at hosts that have given no good answer since a moment, and are left alone at present.
 * Both moments by the database's clock.
 */
export async function strandedListings(
  db: Db,
  since: Date,
  now: Date,
): Promise<(ListingKey & { job: number; id: string })[]> {
  const { rows } = await sql<ListingKey & { job: number; id: string }>`
    select l.job, job.id, l.origin, l.lists
    from listing l join job on job.key = l.job join host on host.id = l.host
    where job.status = 'running' and not l.done and l.failure is null
      and host.unanswered_since <= ${since} and host.next_request_at > ${now}`.execute(db)
  return rows
}

/** Has every relay asked for each of these: collections, or `HOSTS`. */
export async function addListings(
  trx: Trx,
  job: number,
  relays: readonly string[],
  listed: readonly string[],
): Promise<void> {
  const values = relays.flatMap((origin) => listed.map((lists) => ({ job, origin, lists })))
  await trx.insertInto('listing').values(values).execute()
}

/** Has each of these hosts asked for all of its repos; ones the job has already stay as they are. */
export async function addHostListings(trx: Trx, job: number, origins: readonly string[]): Promise<void> {
  const hosts = await hostIds(trx, origins)
  if (hosts.size === 0) return
  await trx
    .insertInto('listing')
    .values([...hosts].map(([origin, host]) => ({ job, origin, lists: REPOS, host })))
    .onConflict((conflict) => conflict.doNothing())
    .execute()
}

/** What became of a page of discovery. */
export type PageSaved =
  | 'saved'
  /** Somebody else has moved this listing on meanwhile, or ended it. */
  | 'moved-on'
  /** Its cursor was met before: the listing goes in circles and would never end. */
  | 'loop'
  /** It has had more pages than any true one. */
  | 'endless'
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
 * The most pages of a listing: of what is beyond no end can be expected, however new its cursors are. A host has a
 * million accounts at most, a relay all there are, and each gives hundreds on a page.
 */
export const PAGES_MAX = { host: 100_000, relay: 1_000_000 }

/** Where a listing stands when a page is asked for. */
export type ListingAt = ListingKey & Pick<Listing, 'cursor'>

/**
 * Commits one page of discovery: its repos and its cursor together. Nothing is written unless the answer is
 * `saved`.
 */
export async function saveListingPage(
  db: Db,
  job: number,
  listing: ListingAt,
  page: { dids: readonly string[]; cursor: string | null },
): Promise<PageSaved> {
  return savePage(db, job, listing, page.cursor, async (trx, limit) => {
    const total = await addRepos(trx, job, page.dids)
    if (limit !== null && total > limit) throw new TooManyRepos()
  })
}

/** Commits one page of hosts, each to be asked for its repos, as `saveListingPage` does one of repos. */
export async function saveHostsPage(
  db: Db,
  job: number,
  listing: ListingAt,
  page: { origins: readonly string[]; cursor: string | null },
): Promise<PageSaved> {
  return savePage(db, job, listing, page.cursor, (trx) => addHostListings(trx, job, page.origins))
}

async function savePage(
  db: Db,
  job: number,
  { origin, lists, cursor: from }: ListingAt,
  cursor: string | null,
  add: (trx: Trx, repoLimit: number | null) => Promise<void>,
): Promise<PageSaved> {
  return db
    .transaction()
    .execute(async (trx) => {
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
        .select(['pages', 'mark', 'host'])
        .where('job', '=', job)
        .where('origin', '=', origin)
        .where('lists', '=', lists)
        .where('done', '=', false)
        .where('cursor', 'is not distinct from', from)
        .forUpdate()
        .executeTakeFirst()
      if (!before) return 'moved-on'
      const trail = trailAfter(before, cursor)
      if (!trail) return 'loop'
      if (cursor !== null && trail.pages > PAGES_MAX[before.host === null ? 'relay' : 'host'])
        return 'endless'
      await trx
        .updateTable('listing')
        .set({ ...trail, cursor, done: cursor === null, attempts: 0, retry_at: null })
        .where('job', '=', job)
        .where('origin', '=', origin)
        .where('lists', '=', lists)
        .execute()
      await add(trx, guard.repo_limit)
      return 'saved' as const
    })
    .catch((error: unknown) => {
      if (error instanceof TooManyRepos) return 'too-many-repos'
      throw error
    })
}

/** Thrown to take a transaction back. */
class TooManyRepos extends Error {}

/** Notes that a listing cannot be read to its end, and tells the job's caller. */
export async function giveUpListing(
  db: Db,
  job: number,
  listing: ListingKey,
  failure: string,
): Promise<boolean> {
  return db.transaction().execute(async (trx) => {
    // The job's row first: of several that give up at once each counts the ones before.
    await trx.selectFrom('job').select('key').where('key', '=', job).forNoKeyUpdate().execute()
    const why = printable(failure, FAILURE_LENGTH_MAX)
    const { numUpdatedRows } = await trx
      .updateTable('listing')
      .set({ failure: why })
      .where('job', '=', job)
      .where('origin', '=', listing.origin)
      .where('lists', '=', listing.lists)
      .where('done', '=', false)
      .where('failure', 'is', null)
      .executeTakeFirst()
    if (numUpdatedRows === 0n) return false
    const error = printable(gapText(await gapsOf(trx, job), why), FAILURE_LENGTH_MAX)
    await trx.updateTable('job').set({ error }).where('key', '=', job).execute()
    return true
  })
}

interface Gaps {
  readonly failed: number
  readonly all: number
  readonly failedHosts: number
  readonly allHosts: number
}

async function gapsOf(trx: Trx, job: number): Promise<Gaps> {
  const { rows } = await sql<Gaps>`
    select count(failure) as failed, count(*) as "all",
      count(failure) filter (where host is not null) as "failedHosts", count(host) as "allHosts"
    from listing where job = ${job}`.execute(trx)
  return rows[0]!
}

/** What a job's caller reads: the reason where there is one, else how much is missing and the reason met last. */
function gapText({ failed, all, failedHosts, allHosts }: Gaps, last: string): string {
  if (failed === 1) return last
  const what =
    failed === failedHosts
      ? `${failedHosts} of ${allHosts} hosts could not be listed to their end`
      : `${failed} of ${all} listings could not be read to their end`
  return `${what}. The last of them: ${last}`
}

/** Notes that a listing could not be read, and when to try again. */
export async function deferListing(
  db: Db,
  job: number,
  listing: ListingKey,
  next: { attempts: number; retryAt: Date },
): Promise<void> {
  await db
    .updateTable('listing')
    .set({ attempts: next.attempts, retry_at: next.retryAt })
    .where('job', '=', job)
    .where('origin', '=', listing.origin)
    .where('lists', '=', listing.lists)
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
  await queueRepos(trx)
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

/**
 * Jobs whose discovery can go on now: running, and a relay's position is to be taken; or begun, not at its end, with
 * fewer open repos than `queuedRepos`, and none left to take from an earlier job. What hosts list is their drivers' work.
 */
export async function jobsToDiscover(db: Db, now: Date, queuedRepos: number): Promise<number[]> {
  const { rows } = await sql<{ key: number }>`
    select job.key
    from job join job_progress p on p.job = job.key
    where job.status = 'running' and (
      exists (
        select from start_cursor c
        where c.job = job.key and c.seq is null and c.failure is null
          and (c.retry_at is null or c.retry_at <= ${now})
      )
      or not job.discovery_complete and job.refresh_after is null and ${HAS_BEGUN}
        and p.total - p.completed - p.unavailable - p.failed < ${queuedRepos}
        and (
          exists (
            select from listing l
            where l.job = job.key and l.host is null and not l.done and l.failure is null
              and (l.retry_at is null or l.retry_at <= ${now})
          )
          or not exists (select from listing l where l.job = job.key and not l.done)
        )
    )`.execute(db)
  return rows.map((row) => row.key)
}
