import { sql } from 'kysely'
import type { UnavailableReason } from '../verdict.js'
import type { Db, Trx } from './database.js'
import {
  collectionsStored,
  DELIVERED_FIELDS,
  DELIVERED_FROM,
  type DeliveredReceipt,
  type Outcome,
  outcomeOf,
} from './outcomes.js'
import { fillPage } from './record-pages.js'
import {
  collectionIds,
  type Range,
  type RangeRecord,
  type RecordPosition,
  type RecordQuery,
  readRanges,
} from './records.js'

/** Where a reader of changes stands. */
export interface ChangePosition {
  /** Repos up to this number are closed; the last of them is not, where it is open. */
  readonly seq: number
  readonly open: OpenRepo | null
}

/** A repo of which some has been read: all up to this record. */
interface OpenRepo {
  readonly collection: string
  readonly rkey: string
  /** What its receipts were then. */
  readonly version: string
}

export interface ChangePage {
  /** In order; without a CID where they are gone. */
  readonly records: readonly RangeRecord[]
  /** The repo that was open, if it begins anew: what has been read of it does not count. */
  readonly restarted: string | null
  /** The repos that end on this page, in order. */
  readonly closed: readonly ClosedRepo[]
  /** Where the next page begins; null when this one is the last. */
  readonly next: ChangePosition | null
}

/** What became of a repo. What failed has no changes, and is not told. */
export interface ClosedRepo {
  readonly did: string
  readonly outcome: Exclude<Outcome, { status: 'failed' }>
}

/** How many records of a collection change from one job to the next: a guess, where nobody has counted them. */
const CHANGES = 20

/**
 * A page of what has changed in a job since the one that it refreshes: at most so many repos, and at most so many
 * records in them. A page is a picture of one moment; nothing is held between two of them. So a repo that takes several
 * is begun again when any of its receipts has been renewed in between.
 * @returns null when the list of the job's repos is not whole any more
 */
export function readChangePage(db: Db, query: RecordQuery, from: ChangePosition): Promise<ChangePage | null> {
  return db
    .transaction()
    .setIsolationLevel('repeatable read')
    .setAccessMode('read only')
    .execute((trx) => readPage(trx, query, from))
}

async function readPage(trx: Trx, query: RecordQuery, from: ChangePosition): Promise<ChangePage | null> {
  const job = await trx.selectFrom('job').select('details').where('key', '=', query.job).executeTakeFirst()
  if (job?.details !== 'kept') return null
  const ended = await endedRepos(trx, query, from)
  const receipts = await receiptsOf(trx, query.scope, ended)
  const repos = ended.map((repo) => ({
    ...repo,
    outcome: outcomeOf(repo, receipts.get(repo.repo) ?? null, repo.since),
  }))
  const [first] = repos
  const wasOpen = from.open !== null && first?.seq === from.seq && first.outcome.status === 'completed'
  const isSame = wasOpen && (await versionOf(trx, first.repo)) === from.open?.version
  const ranges = await rangesOf(trx, query, repos)
  const start = isSame ? { seq: first.seq, ...from.open } : undefined
  const { rows, next } = await fillPage<RangeRecord>(query.limit, (limit, last) =>
    readRanges(trx, rangesBehind(ranges, last ?? start), limit),
  )
  const closed = next === null ? repos : repos.filter(({ seq }) => seq < next.seq)
  const isLast = next === null && repos.length < query.limit
  const last = rows.at(-1)
  const open = next !== null && last?.seq === next.seq ? last : null
  return {
    records: rows,
    restarted: wasOpen && !isSame ? first.did : null,
    closed,
    next: isLast ? null : await positionAt(trx, closed.at(-1)?.seq ?? from.seq, open, repos),
  }
}

async function positionAt(
  trx: Trx,
  seq: number,
  open: RangeRecord | null,
  repos: readonly EndedRepo[],
): Promise<ChangePosition> {
  const repo = repos.find((each) => each.seq === open?.seq)
  if (open === null || repo === undefined) return { seq, open: null }
  const { collection, rkey } = open
  return { seq: repo.seq, open: { collection, rkey, version: await versionOf(trx, repo.repo) } }
}

interface EndedRepo {
  readonly seq: number
  readonly did: string
  readonly repo: number
  readonly status: 'completed' | 'unavailable'
  readonly reason: UnavailableReason | null
  /** The rev that it had in the job that this one refreshes, if that is known. */
  readonly since: string | null
  /** Why its account is unavailable by now; null if it is not. */
  readonly account: UnavailableReason | null
}

async function endedRepos(
  trx: Trx,
  { job, did, limit }: RecordQuery,
  { seq, open }: ChangePosition,
): Promise<EndedRepo[]> {
  // An account by its key alone: asked for more, a planner without statistics walks all repos of the job.
  const own = sql`select * from job_repo where job = ${job}`
  const { rows } = await sql<EndedRepo>`
    select r.seq, r.did, r.repo, r.status, r.reason, r.since_rev as since,
      (select a.reason from account_state a where a.repo = r.repo) as account
    from (${did === null ? own : sql`${own} and did = ${did} offset 0`}) r
    where r.seq > ${open ? seq - 1 : seq} and r.status in ('completed', 'unavailable')
    order by r.seq
    limit ${limit}`.execute(trx)
  return rows
}

type Receipt = Omit<DeliveredReceipt, 'did'>

async function receiptsOf(
  trx: Trx,
  scope: number,
  repos: readonly EndedRepo[],
): Promise<Map<number, Receipt>> {
  const numbers = repos.filter(({ status }) => status === 'completed').map(({ repo }) => repo)
  if (numbers.length === 0) return new Map()
  const { rows } = await sql<Receipt & { repo: number }>`
    select own.repo, ${sql.raw(DELIVERED_FIELDS)} ${sql.raw(DELIVERED_FROM)}
    where own.scope = ${scope} and own.repo = any(${numbers}::bigint[])`.execute(trx)
  return new Map(rows.map(({ repo, ...receipt }) => [repo, receipt]))
}

/** Another one whenever any receipt of the repo is made or renewed: all of them have to do with its rows. */
async function versionOf(trx: Trx, repo: number): Promise<string> {
  const { rows } = await sql<{ version: string | null }>`
    select md5(string_agg(scope || ' ' || extract(epoch from completed_at), ',' order by scope)) as version
    from receipt where repo = ${repo}`.execute(trx)
  return rows[0]?.version ?? ''
}

/** What there is to read of each repo: what its receipt counts, or what may have changed. */
async function rangesOf(
  trx: Trx,
  query: RecordQuery,
  repos: readonly (EndedRepo & ClosedRepo)[],
): Promise<Range[]> {
  const whole = repos.filter(({ outcome }) => outcome.status === 'completed' && outcome.since === null)
  const counts = whole.map(({ outcome }) => (outcome.status === 'completed' ? outcome.receipt.counts : {}))
  const idOf = await collectionIds(trx, query.collection, counts)
  const counted = whole.map(({ repo }, index) => {
    const entries = Object.entries(counts[index] ?? {}).filter(([nsid]) => idOf.has(nsid))
    const ranges = entries.map(([nsid, records]) => ({ nsid, id: idOf.get(nsid)!, records }))
    return [repo, ranges] as const
  })
  const found = new Map([...counted, ...(await changedCollections(trx, query, repos))])
  return repos.flatMap(({ seq, did, repo, since }) =>
    (found.get(repo) ?? [])
      .sort((a, b) => (a.nsid < b.nsid ? -1 : 1))
      .map(({ nsid, id, records }) => ({
        ...{ seq, did, repo, since, collection: nsid, collectionId: id },
        after: '',
        counted: records,
      })),
  )
}

/** The collections in which something may have changed, by repo. */
async function changedCollections(
  trx: Trx,
  { job, collection }: RecordQuery,
  repos: readonly (EndedRepo & ClosedRepo)[],
): Promise<Map<number, Stored[]>> {
  // At the same rev it is the same repo.
  const changed = repos.filter(({ outcome }) => {
    return outcome.status === 'completed' && outcome.since !== null && outcome.since !== outcome.receipt.rev
  })
  const stored = await collectionsStored(
    trx,
    job,
    changed.map(({ repo }) => repo),
  )
  const wanted = stored.filter(({ nsid }) => collection === null || nsid === collection)
  return Map.groupBy(
    wanted.map((each) => ({ ...each, records: CHANGES })),
    ({ repo }) => repo,
  )
}

/** A collection of which records are stored; about so many are to be read. */
interface Stored {
  readonly nsid: string
  readonly id: number
  readonly records: number
}

/** What there is to read behind a record, or at all. */
function rangesBehind(ranges: readonly Range[], last: RecordPosition | undefined): readonly Range[] {
  if (last === undefined) return ranges
  return ranges
    .filter(({ seq, collection }) => {
      return seq > last.seq || (seq === last.seq && collection >= last.collection)
    })
    .map((range) => {
      const isUnderWay = range.seq === last.seq && range.collection === last.collection
      return isUnderWay ? { ...range, after: last.rkey } : range
    })
}
