import { sql } from 'kysely'
import type { Db } from './database.js'

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

const START: RecordPosition = { seq: 0, collection: '', rkey: '' }

/** Repos looked into by one statement: bounds its cost where many repos hold no matching record. */
const REPOS_PER_STATEMENT = 500

/**
 * A page of what a job has fetched: in the order its repos were completed, then by collection and record key.
 * A reader that goes on from the last record it got misses nothing: a repo completed later has a higher number.
 * @param after null to start
 */
export async function listRecords(
  db: Db,
  query: RecordQuery,
  after: RecordPosition | null,
): Promise<StoredRecord[]> {
  const records: StoredRecord[] = []
  let from = after ?? START
  while (records.length < query.limit) {
    const repos = await completedRepos(db, query, from.seq)
    if (repos.length === 0) break
    records.push(...(await recordsOf(db, { ...query, limit: query.limit - records.length }, repos, from)))
    if (repos.length < REPOS_PER_STATEMENT) break
    from = { seq: repos.at(-1)! + 1, collection: '', rkey: '' }
  }
  return records
}

async function completedRepos(db: Db, query: RecordQuery, seq: number): Promise<number[]> {
  let repos = db
    .selectFrom('job_repo')
    .select('seq')
    .where('job', '=', query.job)
    .where('status', '=', 'completed')
    .where('seq', '>=', seq)
    .orderBy('seq')
    .limit(REPOS_PER_STATEMENT)
  if (query.did !== null) repos = repos.where('did', '=', query.did)
  return (await repos.execute()).map((row) => row.seq)
}

async function recordsOf(
  db: Db,
  query: RecordQuery,
  repos: readonly number[],
  from: RecordPosition,
): Promise<StoredRecord[]> {
  // The collections of a repo come from its receipt, in byte order, so that each is one range of the key.
  // Only the repo the reader stopped in needs its position compared; the ones behind it are read from their start.
  const { rows } = await sql<StoredRecord>`
    select r.seq, r.did, c.nsid as collection, record.rkey, record.cid, record.value
    from job_repo r
    join receipt on receipt.repo = r.repo and receipt.scope = ${query.scope}
    cross join lateral (
      select collection.id, collection.nsid
      from jsonb_object_keys(receipt.counts) as key (nsid)
      join collection on collection.nsid = key.nsid collate "C"
      where (${query.collection}::text is null or collection.nsid = ${query.collection})
        and (r.seq > ${from.seq} or collection.nsid >= ${from.collection})
    ) c
    cross join lateral (
      select rkey, cid, value from record
      where record.repo = r.repo and record.collection = c.id and record.cid is not null
        and record.rkey > case when r.seq = ${from.seq} and c.nsid = ${from.collection} then ${from.rkey} else '' end
      order by record.rkey
      limit ${query.limit}
    ) record
    where r.job = ${query.job} and r.status = 'completed' and r.seq = any(${[...repos]}::bigint[])
    order by r.seq, c.nsid, record.rkey
    limit ${query.limit}`.execute(db)
  return rows
}
