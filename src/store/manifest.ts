import { promisify } from 'node:util'
import { gunzip, gzip } from 'node:zlib'
import { type Expression, type SqlBool, sql } from 'kysely'
import type { FailureClass, Level, Method, RepoStatus, UnavailableReason } from '../verdict.js'
import type { Db, Trx } from './database.js'

/**
 * The manifests of jobs: lines in parts, which are written one by one, and a head that makes them valid. A manifest is
 * of one end of its job. Whatever was written of an earlier end is not seen any more.
 */

const compressed = promisify(gzip)
const decompressed = promisify(gunzip)

/** An end of a job whose manifest is to be made. */
export interface ManifestDue {
  readonly job: number
  /** The job's id, as callers see it. */
  readonly id: string
  readonly scope: number
  /** As the database writes it: to the microsecond, which a Date does not hold. */
  readonly completedAt: string
}

/** What a manifest says of one repo. */
export interface ManifestRepo {
  readonly did: string
  readonly status: RepoStatus
  readonly method: Method | null
  readonly failure: FailureClass | null
  readonly reason: UnavailableReason | null
  /** Of the host that it was looked for on last. */
  readonly origin: string | null
  /** The receipt that it has now for the job's collections; null without one, and for what is not completed. */
  readonly receipt: {
    readonly rev: string | null
    readonly dataCid: string | null
    readonly counts: Readonly<Record<string, number>>
    readonly records: number
    readonly unreadable: number
    readonly method: Method
    readonly level: Level
    readonly origin: string
    readonly completedAt: Date
  } | null
}

/** How far a manifest has come. */
export interface ManifestMark<Tally> {
  readonly parts: number
  readonly lastDid: string
  /** The sums of the lines so far; null before the first part. */
  readonly tally: Tally | null
}

const due = (db: Db) =>
  db
    .selectFrom('job')
    .select(['key as job', 'id', 'scope', sql<string>`completed_at::text`.as('completedAt')])
    // As in the index that serves it.
    .where('completed_at', 'is not', null)
    .where('details', '=', 'kept')
    .where(sql<boolean>`manifest_of is distinct from completed_at`)

/** In a row: whether it is of this end of its job. */
const ofThisEnd = (completedAt: string) => sql<boolean>`completed_at = ${completedAt}::timestamptz`

/** Jobs that have ended and have no manifest of that end, oldest first. */
export async function dueManifests(db: Db, limit: number): Promise<ManifestDue[]> {
  return due(db).orderBy('key').limit(limit).execute()
}

/**
 * Runs `work` in a transaction if the manifest is still to be made, and nobody else is at it, in any process.
 * @returns what `work` returns; null when it was not run
 */
export async function withManifest<T>(
  db: Db,
  { job, completedAt }: ManifestDue,
  work: (trx: Trx) => Promise<T>,
): Promise<T | null> {
  return db.transaction().execute(async (trx) => {
    const { rows } = await sql<{ mine: boolean }>`
      select pg_try_advisory_xact_lock(hashtextextended(${`manifest of ${job}`}, 0)) as mine`.execute(trx)
    if (!rows[0]?.mine) return null
    // In a statement of its own: one sees only what was committed before it began.
    const still = await due(trx).where('key', '=', job).where(ofThisEnd(completedAt)).executeTakeFirst()
    return still ? work(trx) : null
  })
}

/** How far the manifest of this end of the job has come. */
export async function manifestMark<Tally>(trx: Trx, due: ManifestDue): Promise<ManifestMark<Tally>> {
  const last = await trx
    .selectFrom('manifest_part')
    .select(['part', 'last_did', 'tally'])
    .where('job', '=', due.job)
    .where(ofThisEnd(due.completedAt))
    .orderBy('part', 'desc')
    .limit(1)
    .executeTakeFirst()
  if (!last) return { parts: 0, lastDid: '', tally: null }
  return { parts: last.part + 1, lastDid: last.last_did, tally: last.tally as Tally }
}

/** More than a line usually takes but for its counts: DID, origin, CIDs. */
const LINE_BYTES = 1_000

/** As many times larger may what the database has compressed be at the most. */
const COMPRESSED_BY = 256

/**
 * What a line with these counts takes at the most, found without reading counts that are large: in the database their
 * names and numbers take no less than in a line, unless they are compressed.
 */
const bytesWith = (counts: Expression<unknown>) => sql<number>`${LINE_BYTES}::bigint + coalesce(
  pg_column_size(${counts}) * case when pg_column_compression(${counts}) is null then 1 else ${COMPRESSED_BY} end, 0
)`

/**
 * The next repos of a job, in the order of their DIDs.
 * @param most so many, and fewer where their lines may take more bytes than that together, but for the last one
 */
export async function manifestRepos(
  trx: Trx,
  { job, scope }: ManifestDue,
  after: string,
  most: { readonly repos: number; readonly bytes: number },
): Promise<ManifestRepo[]> {
  const repos = trx
    .selectFrom('job_repo')
    .select(['did', 'repo', 'host', 'status', 'failure', 'reason'])
    .where('job', '=', job)
    .where('did', '>', after)
    .orderBy('did')
    .limit(most.repos)
  // Joined to the portion rather than to the job, and looked up one by one: the planner may join first and cut the
  // portion out at the end, and else reads all receipts there are, portion by portion.
  const lines = trx
    .selectFrom(repos.as('r'))
    .leftJoin('host as h', 'h.id', 'r.host')
    .leftJoinLateral(
      (eb) =>
        eb
          .selectFrom('receipt')
          .selectAll()
          .select((of) =>
            of.selectFrom('host').whereRef('host.id', '=', 'receipt.host').select('origin').as('origin'),
          )
          .whereRef('receipt.repo', '=', 'r.repo')
          .where('receipt.scope', '=', scope)
          .where(eb.ref('r.status'), '=', 'completed')
          .limit(1)
          .as('c'),
      (join) => join.onTrue(),
    )
    .select([
      'r.did',
      'r.status',
      'c.method',
      'r.failure',
      'r.reason',
      'h.origin',
      'c.rev',
      'c.data_cid',
      'c.counts',
      'c.records',
      'c.unreadable',
      'c.method as receipt_method',
      'c.level',
      'c.completed_at',
      'c.origin as receipt_origin',
    ])
    .select((eb) => bytesWith(eb.ref('c.counts')).as('bytes'))
    .select((eb) =>
      sql<number>`sum(${bytesWith(eb.ref('c.counts'))}) over (order by r.did)`.as('bytes_through'),
    )
  const rows = await trx
    .selectFrom(lines.as('line'))
    .selectAll()
    .where(sql<SqlBool>`bytes_through - bytes < ${most.bytes}`)
    .orderBy('did')
    .execute()
  return rows.map(({ did, status, method, failure, reason, origin, ...receipt }) => ({
    ...{ did, status, method, failure, reason, origin },
    receipt: receiptOf(receipt),
  }))
}

/** A left join: all of the receipt is there, or nothing of it. */
function receiptOf(row: {
  rev: string | null
  data_cid: string | null
  counts: Record<string, number> | null
  records: number | null
  unreadable: number | null
  receipt_method: Method | null
  level: Level | null
  completed_at: Date | null
  receipt_origin: string | null
}): ManifestRepo['receipt'] {
  if (!row.completed_at || !row.level || !row.receipt_method || row.receipt_origin === null) return null
  return {
    rev: row.rev,
    dataCid: row.data_cid,
    counts: row.counts ?? {},
    records: row.records ?? 0,
    unreadable: row.unreadable ?? 0,
    method: row.receipt_method,
    level: row.level,
    origin: row.receipt_origin,
    completedAt: row.completed_at,
  }
}

/**
 * Adds a part. The first one takes the place of whatever was written of an earlier end of the job.
 * @returns false when the job was tried again or lost its details: nothing is written then
 */
export async function addManifestPart(
  trx: Trx,
  { job, completedAt }: ManifestDue,
  part: { number: number; lastDid: string; tally: object; lines: string },
): Promise<boolean> {
  const lines = await compressed(part.lines)
  if (part.number === 0) {
    await trx.deleteFrom('manifest_part').where('job', '=', job).execute()
  }
  // Locked, so that no part is added behind the back of whoever deletes them.
  const { numAffectedRows } = await sql`
    insert into manifest_part (job, completed_at, part, last_did, tally, lines)
    select key, completed_at, ${part.number}::int, ${part.lastDid}::text, ${JSON.stringify(part.tally)}::jsonb,
           ${lines}::bytea
    from job
    where key = ${job} and ${ofThisEnd(completedAt)} and details = 'kept'
    for share`.execute(trx)
  return (numAffectedRows ?? 0n) > 0n
}

/** The lines of a manifest, part by part. @throws ManifestGone */
export async function* manifestLines(
  db: Db,
  { job, completedAt }: Pick<ManifestDue, 'job' | 'completedAt'>,
  parts: number,
): AsyncGenerator<Buffer> {
  for (let part = 0; part < parts; part += 1) {
    const row = await db
      .selectFrom('manifest_part')
      .select('lines')
      .where('job', '=', job)
      .where(ofThisEnd(completedAt))
      .where('part', '=', part)
      .executeTakeFirst()
    if (!row) throw new ManifestGone()
    yield decompressed(row.lines)
  }
}

/**
 * Makes a manifest valid, with its last line.
 * @returns false as `addManifestPart`
 */
export async function finishManifest(
  trx: Trx,
  { job, completedAt }: ManifestDue,
  made: { hash: string; head: string; receipts: number; parts: number; builtAt: Date },
): Promise<boolean> {
  const { numAffectedRows } = await sql`
    with ended as (
      update job set manifest_of = completed_at
      where key = ${job} and ${ofThisEnd(completedAt)} and details = 'kept'
      returning key, completed_at
    )
    insert into manifest (job, completed_at, hash, head, receipts, parts, built_at)
    select key, completed_at, ${made.hash}::text, ${made.head}::text, ${made.receipts}::bigint,
           ${made.parts}::int, ${made.builtAt}::timestamptz
    from ended
    on conflict (job) do update
      set completed_at = excluded.completed_at, hash = excluded.hash, head = excluded.head,
          receipts = excluded.receipts, parts = excluded.parts, built_at = excluded.built_at`.execute(trx)
  return (numAffectedRows ?? 0n) > 0n
}

/** A manifest that was removed while it was read: the job was tried again, or its details were deleted. */
export class ManifestGone extends Error {
  override readonly name = 'ManifestGone'
  constructor() {
    super('the manifest was removed while it was read')
  }
}

/**
 * The manifest of a job, piece by piece: lines first, the signed head at the end.
 * @param job its key
 * @returns null when there is none: the job has not ended, it is not made yet, or the job's details were deleted.
 *   The pieces end with ManifestGone if it is removed before the last one
 */
export async function readManifest(db: Db, job: number): Promise<AsyncGenerator<Buffer> | null> {
  const found = await db
    .selectFrom('manifest as m')
    .innerJoin('job', (join) =>
      join.onRef('job.key', '=', 'm.job').onRef('job.completed_at', '=', 'm.completed_at'),
    )
    .select([sql<string>`m.completed_at::text`.as('completedAt'), 'm.head', 'm.parts'])
    .where('m.job', '=', job)
    .where('job.details', '=', 'kept')
    .executeTakeFirst()
  return found ? pieces(db, { job, ...found }) : null
}

async function* pieces(
  db: Db,
  manifest: { job: number; completedAt: string; head: string; parts: number },
): AsyncGenerator<Buffer> {
  yield* manifestLines(db, manifest, manifest.parts)
  yield Buffer.from(manifest.head)
}
