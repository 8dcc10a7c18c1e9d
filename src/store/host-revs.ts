import { sql } from 'kysely'
import type { Level } from '../verdict.js'
import type { Db, Trx } from './database.js'
import { trailAfter } from './listings.js'
import { IS_DUE } from './repos.js'

/**
 * The revs at which hosts list their repos, a thousand to a request. They tell which repos have not changed since
 * they were read, and at which rev a repo was that was read in a single answer, which names none.
 *
 * All moments are the database's. An answer tells of some moment between question and answer, so a rev counts as
 * seen first when the answer was there, and as seen last when the question was sent: between the two the repo was
 * at this rev for certain, because a rev that has been left does not come back.
 */

/** Where the reading of a host's revs stands. */
export interface RevListing {
  readonly cursor: string | null
  readonly attempts: number
}

/** Fewer repos of a job on one host are not worth a listing; and so many always are worth looking at one. */
const REPOS_MIN = 5
const REPOS_ENOUGH = 1_000

/** What a listing has shown of a host's size counts for so long, days. */
const SIZE_KNOWN_DAYS = 1

/** So many receipts of one repo are looked at. */
const RECEIPTS_PER_REPO = 10

/** Of these jobs, whether one has no listing of the host yet, and so many repos due there that one is worth it. */
const isWorthListing = (host: number, jobs: readonly number[], share: number, now: Date) => sql`
  exists (
    select from unnest(${jobs}::int[]) as job (key)
    left join rev_listing l on l.host = ${host}
    cross join lateral (
      select least(${REPOS_ENOUGH}, greatest(${REPOS_MIN}, case
        when l.began_at > ${now}::timestamptz - ${SIZE_KNOWN_DAYS} * interval '1 day'
        then ceil(${share}::float8 * l.listed)
      end))::bigint as repos
    ) needed
    where job.key <> all (coalesce(l.jobs, '{}')) and coalesce(l.retry_at <= ${now}, true)
      and needed.repos <= (
        select count(*) from (
          select from job_repo r
          where r.host = ${host} and r.job = job.key
            and ${IS_DUE}
          limit needed.repos
        ) due
      )
  )`

/** So many due repos of a job are looked at to tell whether others have read them before. */
const SAMPLE = 100

/**
 * Of these jobs, the ones to which the revs of a host's repos are of use: those that want repos which were read
 * before, and those of which the repos get no rev by being read, unless they have the host listed anyway.
 * @param proves whether the host's answers have revs, where a job leaves the method open
 */
export async function jobsWantingRevs(
  db: Db,
  host: number,
  jobs: readonly number[],
  proves: boolean,
): Promise<number[]> {
  const { rows } = await sql<{ key: number }>`
    select job.key from job
    where job.key = any(${jobs}::int[]) and (
      (
        (job.method = 'list-records' or not ${proves})
        and not exists (select from listing l where l.job = job.key and l.host = ${host})
      ) or exists (
        select from (
          select r.repo from job_repo r
          where r.host = ${host} and r.job = job.key and ${IS_DUE}
          limit ${SAMPLE}
        ) due
        where exists (select from receipt where receipt.repo = due.repo)
      )
    )
    order by job.key`.execute(db)
  return rows.map(({ key }) => key)
}

/**
 * The reading of a host's revs that is to be gone on with now, begun if it is worth it: for jobs that have none
 * yet and want a good share of the host's accounts, as far as its size is known. One reading is for all jobs that
 * have begun by then.
 * @param jobs that want something of the host now, and may be worked on
 * @param share of a host's accounts that make it worth its requests
 * @param now by the database's clock, as everywhere here
 */
export async function dueRevListing(
  db: Db,
  host: number,
  jobs: readonly number[],
  { share, now }: { share: number; now: Date },
): Promise<RevListing | null> {
  if (jobs.length === 0) return null
  const open = await db
    .selectFrom('rev_listing')
    .select(['cursor', 'attempts', 'retry_at'])
    .where('host', '=', host)
    .where('done', '=', false)
    .executeTakeFirst()
  if (open) return open.retry_at !== null && open.retry_at > now ? null : open
  const { rows } = await sql`
    insert into rev_listing (host, jobs, began_at)
    select ${host}::int, ${jobs}::int[], ${now} where ${isWorthListing(host, jobs, share, now)}
    on conflict (host) do update
    set jobs = array(
          select distinct key from unnest(rev_listing.jobs || excluded.jobs) as key
          where key = any(excluded.jobs) or exists (select from job where job.key = key and job.status = 'running')
        ),
        began_at = excluded.began_at, cursor = null, pages = 0, mark = null, listed = 0, wanted = 0, done = false,
        attempts = 0, retry_at = null
    returning 1`.execute(db)
  return rows.length > 0 ? { cursor: null, attempts: 0 } : null
}

/** What a page of a host's listing says. */
export interface RevsPage {
  /** Of accounts that are active, and have a rev. */
  readonly revs: readonly { readonly did: string; readonly rev: string }[]
  /** Entries in all. */
  readonly listed: number
  readonly cursor: string | null
}

export interface PageTimes {
  readonly askedAt: Date
  readonly answeredAt: Date
}

export interface RevsSaved {
  /** `moved-on`: somebody else has read this page meanwhile. `loop`: the listing goes in circles. */
  readonly became: 'saved' | 'moved-on' | 'loop'
  /** So far: entries listed, and how many of them are in the scope of the jobs that this is for. */
  readonly listed: number
  readonly wanted: number
}

/** Commits one page: its revs, what follows from them for receipts, and the cursor. */
export async function saveRevsPage(
  db: Db,
  host: number,
  from: string | null,
  page: RevsPage,
  times: PageTimes,
): Promise<RevsSaved> {
  return db.transaction().execute(async (trx) => {
    const before = await trx
      .selectFrom('rev_listing')
      .select(['pages', 'mark', 'listed', 'wanted'])
      .where('host', '=', host)
      .where('done', '=', false)
      .where('cursor', 'is not distinct from', from)
      .forUpdate()
      .executeTakeFirst()
    if (!before) return { became: 'moved-on', listed: 0, wanted: 0 } as const
    const wanted = before.wanted + (await saveRevs(trx, host, page.revs, times))
    const listed = before.listed + page.listed
    const trail = trailAfter(before, page.cursor)
    const ends = trail === null || page.cursor === null
    await trx
      .updateTable('rev_listing')
      .set({ ...trail, cursor: page.cursor, listed, wanted, done: ends, attempts: 0, retry_at: null })
      .where('host', '=', host)
      .execute()
    return { became: trail === null ? 'loop' : 'saved', listed, wanted } as const
  })
}

/** Notes that a page could not be had, and when to try again. */
export async function deferRevListing(
  db: Db,
  host: number,
  next: { attempts: number; retryAt: Date },
): Promise<void> {
  await db
    .updateTable('rev_listing')
    .set({ attempts: next.attempts, retry_at: next.retryAt })
    .where('host', '=', host)
    .where('done', '=', false)
    .execute()
}

/**
 * Ends the reading of a host's revs before its end.
 * @param why `judged`: it is not worth it, but may be for those of its jobs that are still finding repos; `failed`:
 *   it cannot be had, and is of no use to the jobs that it was for any more
 * @param again when it may be begun anew
 */
export async function endRevListing(
  db: Db,
  host: number,
  why: 'judged' | 'failed',
  again: Date,
): Promise<void> {
  const served = sql<number[]>`array(
    select key from job where key = any(rev_listing.jobs) and discovery_complete order by key
  )`
  await db
    .updateTable('rev_listing')
    .set({ done: true, retry_at: again, ...(why === 'judged' && { jobs: served }) })
    .where('host', '=', host)
    .where('done', '=', false)
    .execute()
}

/**
 * Keeps the revs that a host names, as `keepRevs` does.
 * @returns how many of these accounts are in the scope of the running jobs that the reading is for
 */
export async function saveRevs(
  trx: Trx,
  host: number,
  revs: RevsPage['revs'],
  times: PageTimes,
): Promise<number> {
  await keepRevs(trx, host, revs, times)
  return countWanted(
    trx,
    host,
    revs.map(({ did }) => did),
  )
}

/**
 * Keeps the revs that a host names, of repos that we know, and gives them to receipts that have none.
 * Both look up each account by itself: joined, a planner without statistics reads the tables whole.
 */
export async function keepRevs(
  trx: Trx,
  host: number,
  revs: RevsPage['revs'],
  { askedAt, answeredAt }: PageTimes,
): Promise<void> {
  const dids = revs.map(({ did }) => did)
  const { rows } = await sql<{ repo: number }>`
    insert into repo_rev (repo, host, rev, first_seen_at, seen_at)
    select distinct on (repo.id) repo.id, ${host}::int, named.rev, ${answeredAt}, ${askedAt}
    from unnest(${dids}::text[], ${revs.map(({ rev }) => rev)}::text[]) as named (did, rev)
    cross join lateral (select id from repo where repo.did = named.did limit 1) repo
    order by repo.id, named.rev collate "C" desc
    on conflict (repo) do update
    set host = excluded.host, rev = excluded.rev,
        first_seen_at = case
          when repo_rev.host = excluded.host and repo_rev.rev = excluded.rev then repo_rev.first_seen_at
          else excluded.first_seen_at
        end,
        seen_at = case
          when repo_rev.host = excluded.host and repo_rev.rev = excluded.rev
          then greatest(repo_rev.seen_at, excluded.seen_at)
          else excluded.seen_at
        end
    returning repo`.execute(trx)
  await settleRevs(
    trx,
    host,
    rows.map(({ repo }) => repo),
  )
}

/** Keeps the revs of a page by which a job finds repos: nothing but these. */
export function keepFoundRevs(db: Db, host: number, revs: RevsPage['revs'], times: PageTimes): Promise<void> {
  return db.transaction().execute((trx) => keepRevs(trx, host, revs, times))
}

async function countWanted(trx: Trx, host: number, dids: readonly string[]): Promise<number> {
  const { rows } = await sql<{ wanted: number }>`
    with wanting as materialized (
      select job.key from job
      where job.status = 'running' and job.key = any((select jobs from rev_listing where host = ${host})::int[])
    )
    select count(*) as wanted from (
      select named.did
      from unnest(${dids}::text[]) as named (did), wanting
      cross join lateral (
        select from job_repo r where r.job = wanting.key and r.did = named.did limit 1
      ) found
      group by named.did
    ) accounts`.execute(trx)
  return rows[0]!.wanted
}

/**
 * Gives receipts of this host that have no rev the one at which the repo was while it was read.
 *
 * The host must have named the rev before anything was read (`read_from`), and still have named it after all was
 * (`completed_at`). A host that names a rev late, after it has begun to give out what is newer, makes a receipt
 * older than its records: whoever goes on from there applies a change twice. It cannot make it newer.
 */
export async function settleRevs(trx: Trx, host: number, repos: readonly number[]): Promise<number> {
  // Locked in the order in which steps write receipts. One that is written meanwhile is left as it is.
  const { numAffectedRows } = await sql`
    with settled as materialized (
      select c.place
      from unnest(${repos.toSorted((a, b) => a - b)}::bigint[]) as seen (repo)
      cross join lateral (
        select first_seen_at, seen_at from repo_rev where repo_rev.repo = seen.repo and repo_rev.host = ${host} limit 1
      ) named
      cross join lateral (
        select ctid as place from receipt
        where receipt.repo = seen.repo and receipt.rev is null and receipt.host = ${host}
          and receipt.read_from >= named.first_seen_at and receipt.completed_at <= named.seen_at
        order by scope
        limit ${RECEIPTS_PER_REPO}
        for update
      ) c
    )
    update receipt set rev = (select rev from repo_rev where repo_rev.repo = receipt.repo)
    where receipt.ctid = any(array(select place from settled))`.execute(trx)
  return Number(numAffectedRows)
}

/** A rev that a host has named. */
export interface NamedRev {
  readonly rev: string
  /** When it was asked, for the last time, by the database's clock. */
  readonly at: Date
}

/**
 * The revs of repos that a host has named for a job: since after the job had begun, so that nothing which has
 * happened between the two is missed by whoever goes on from where the relays stood then.
 */
export async function revsFor(
  db: Db,
  { host, job, repos }: { host: number; job: number; repos: readonly number[] },
): Promise<Map<number, NamedRev>> {
  const { rows } = await sql<NamedRev & { repo: number }>`
    select named.repo, named.rev, named.seen_at as at
    from repo_rev named
    where named.repo = any(${repos}::bigint[]) and named.host = ${host}
      and named.seen_at >= (
        select l.began_at from rev_listing l where l.host = ${host} and ${job}::int = any(l.jobs)
      )`.execute(db)
  return new Map(rows.map(({ repo, rev, at }) => [repo, { rev, at }]))
}

/** A receipt that may stand for another wish; its scope says for which. */
export interface StandingReceipt {
  readonly repo: number
  readonly scope: number
  /** NSIDs and prefixes; empty for every collection. */
  readonly collections: readonly string[]
  readonly counts: Readonly<Record<string, number>>
  readonly level: Level
  readonly rev: string
  readonly dataCid: string | null
  readonly host: number
  /** Records whose bytes are not valid data, and the first of them. */
  readonly unreadable: number
  readonly unreadableFirst: readonly { collection: string; rkey: string; cid: string }[] | null
}

/**
 * The receipts of repos that have a rev and reach a level, by repo; the best first: of the wish's own scope, of the
 * highest level, of the newest rev.
 */
export async function standingReceipts(
  db: Db,
  { repos, scope, level }: { repos: readonly number[]; scope: number; level: Level },
): Promise<Map<number, StandingReceipt[]>> {
  const { rows } = await sql<StandingReceipt>`
    select c.repo, c.scope, scope.collections, c.counts, c.level, c.rev, c.data_cid as "dataCid", c.host, c.unreadable,
           c.unreadable_first as "unreadableFirst"
    from unnest(${repos}::bigint[]) with ordinality as wanted (repo, n)
    cross join lateral (
      select * from receipt
      where receipt.repo = wanted.repo and receipt.rev is not null and receipt.level >= ${level}::proof_level
      order by receipt.scope = ${scope} desc, receipt.level desc, receipt.rev desc
      limit ${RECEIPTS_PER_REPO}
    ) c
    join scope on scope.id = c.scope
    order by wanted.n, c.scope = ${scope} desc, c.level desc, c.rev desc`.execute(db)
  return Map.groupBy(rows, ({ repo }) => repo)
}
