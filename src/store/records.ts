import { sql } from 'kysely'
import { BEST_RECEIPT } from './best-receipt.js'
import type { Db } from './database.js'
import { RECORDS_IN_RANGE } from './stored-ranges.js'

/** Where a reading of a job's records stands: after this record of this repo. */
export interface RecordPosition {
  /** The number the repo got when it was completed in the job. */
  readonly seq: number
  readonly collection: string
  readonly rkey: string
}

export interface StoredRecord extends RecordPosition {
  readonly did: string
  readonly cid: string
  /** The revision at which it was stored, or found to be gone, if that is known. */
  readonly rev: string | null
  /** JSON text, as it came in; null where the record's bytes are not valid data. */
  readonly value: string | null
}

export interface RecordQuery {
  readonly job: number
  readonly scope: number
  readonly collection: string | null
  readonly did: string | null
  readonly limit: number
}

/** The records of one collection of one repo: one stretch of the key that records are stored under. */
export interface Range {
  readonly seq: number
  readonly did: string
  readonly repo: number
  readonly collection: string
  readonly collectionId: number
  /** The record key to go on after. */
  readonly after: string
  /** How many records its receipt counts: about as many as there are. */
  readonly counted: number
  /** Only what has changed since this rev; null for all there is. */
  readonly since: string | null
}

/** A record as a range has it: without a CID where it is gone, which ranges tell that are since a rev. */
export type RangeRecord = Omit<StoredRecord, 'cid'> & { readonly cid: string | null }

const START: RecordPosition = { seq: 0, collection: '', rkey: '' }

/** Repos looked up at once: few at first, as most pages end in them, and more as long as they hold nothing. */
const REPOS_AT_FIRST = 20
const REPOS_MAX = 500

/** Ranges read by one statement: bounds its cost where most of them are empty. */
const RANGES_MAX = 2_000

/**
 * A page of what a job has fetched: in the order its repos were completed, then by collection and record key.
 * A reader that goes on from the last record it got misses nothing: a repo completed later has a higher number.
 *
 * The statements are simple ones, each with one good plan: joined into one, the tables of a young database, of
 * which the planner knows nothing yet, are read whole for every repo.
 * @param after null to start
 */
export async function listRecords(
  db: Db,
  query: RecordQuery,
  after: RecordPosition | null,
): Promise<StoredRecord[]> {
  const records: StoredRecord[] = []
  let from = after ?? START
  for (let look = REPOS_AT_FIRST; ; look = Math.min(look * 5, REPOS_MAX)) {
    const repos = await completedRepos(db, query, from.seq, look)
    const ranges = await rangesOf(db, query, repos, from)
    records.push(...(await readRanges(db, ranges, query.limit - records.length)).filter(isThere))
    if (records.length === query.limit || repos.length < look) return records
    from = { seq: repos.at(-1)!.seq + 1, collection: '', rkey: '' }
  }
}

const isThere = (record: RangeRecord): record is RangeRecord & StoredRecord => record.cid !== null

/** The first records of these ranges, in their order. */
export async function readRanges(db: Db, ranges: readonly Range[], limit: number): Promise<RangeRecord[]> {
  const records: RangeRecord[] = []
  for (let read = 0; read < ranges.length && records.length < limit; ) {
    const wanted = limit - records.length
    const next = ranges.slice(read, read + RANGES_MAX)
    const count = rangesFor(next, wanted)
    records.push(...(await recordsIn(db, next.slice(0, count), wanted)))
    read += count
  }
  return records
}

type CompletedRepo = Pick<Range, 'seq' | 'did' | 'repo'>

async function completedRepos(
  db: Db,
  query: RecordQuery,
  seq: number,
  limit: number,
): Promise<CompletedRepo[]> {
  const repos = db
    .selectFrom('job_repo')
    .select(['seq', 'did', 'repo', 'status'])
    .where('job', '=', query.job)
  if (query.did === null) {
    return repos
      .where('status', '=', 'completed')
      .where('seq', '>=', seq)
      .orderBy('seq')
      .limit(limit)
      .execute()
  }
  // By its key alone: asked for the status too, a planner without statistics walks all completed repos.
  const found = await repos.where('did', '=', query.did).execute()
  return found.filter((repo) => repo.status === 'completed' && repo.seq >= seq)
}

/**
 * The ranges of these repos in order, from a position on. The collections of a repo come from its receipt. One whose
 * account is unavailable by now has none.
 */
async function rangesOf(
  db: Db,
  query: RecordQuery,
  repos: readonly CompletedRepo[],
  from: RecordPosition,
): Promise<Range[]> {
  if (repos.length === 0) return []
  const numbers = repos.map(({ repo }) => repo)
  const { rows: receipts } = await sql<{ repo: number; counts: Record<string, number> }>`
    select own.repo, best.counts
    from receipt own cross join ${sql.raw(BEST_RECEIPT)}
    where own.scope = ${query.scope} and own.repo = any(${numbers}::bigint[])
      and own.repo <> all (array(
        select a.repo from account_state a where a.reason is not null and a.repo = any(${numbers}::bigint[])
      ))`.execute(db)
  const countsOf = new Map(receipts.map(({ repo, counts }) => [repo, counts]))
  const idOf = await collectionIds(db, query.collection, [...countsOf.values()])
  return repos.flatMap(({ seq, did, repo }) => {
    const here = seq === from.seq ? from : START
    return Object.entries(countsOf.get(repo) ?? {})
      .filter(([nsid]) => idOf.has(nsid) && nsid >= here.collection)
      .sort(([a], [b]) => (a < b ? -1 : 1))
      .map(([collection, counted]) => ({
        seq,
        did,
        repo,
        collection,
        collectionId: idOf.get(collection)!,
        after: collection === here.collection ? here.rkey : '',
        counted,
        since: null,
      }))
  })
}

/** The numbers of the collections that are counted, or of the one that is wanted. */
export async function collectionIds(
  db: Db,
  wanted: string | null,
  counts: readonly Readonly<Record<string, number>>[],
): Promise<Map<string, number>> {
  const named = new Set(counts.flatMap((each) => Object.keys(each)))
  const nsids = [...named].filter((nsid) => wanted === null || nsid === wanted)
  if (nsids.length === 0) return new Map()
  const rows = await db
    .selectFrom('collection')
    .select(['id', 'nsid'])
    .where('nsid', '=', sql<string>`any(${nsids}::text[])`)
    .execute()
  return new Map(rows.map(({ id, nsid }) => [nsid, id]))
}

/** How many ranges to read for so many records, as far as receipts tell: too few only cost another statement. */
function rangesFor(ranges: readonly Range[], wanted: number): number {
  let counted = 0
  const enough = ranges.findIndex((range) => {
    counted += range.counted
    return counted >= wanted
  })
  return enough === -1 ? ranges.length : enough + 1
}

async function recordsIn(db: Db, ranges: readonly Range[], limit: number): Promise<RangeRecord[]> {
  const column = <Key extends keyof Range>(key: Key) => ranges.map((range) => range[key])
  const { rows } = await sql<{ n: number } & Pick<RangeRecord, 'rkey' | 'cid' | 'rev' | 'value'>>`
    select range.n, record.*
    from unnest(
      ${column('repo')}::bigint[], ${column('collectionId')}::int[], ${column('after')}::text[],
      ${column('since')}::text[]
    ) with ordinality as range (repo, collection, after, since, n)
    cross join lateral (
      select rkey, cid, rev, value ${sql.raw(RECORDS_IN_RANGE)}
      limit ${limit}
    ) record
    order by range.n, record.rkey
    limit ${limit}`.execute(db)
  return rows.map(({ n, ...record }) => {
    const { seq, did, collection } = ranges[n - 1]!
    return { seq, did, collection, ...record }
  })
}
