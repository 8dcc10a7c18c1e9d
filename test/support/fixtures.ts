import { TID } from '@atproto/common-web'
import type pg from 'pg'
import { expect } from 'vitest'
import { movesOf } from '../../src/jobs/state.js'
import { CollectionIds } from '../../src/store/collections.js'
import type { Db, Store } from '../../src/store/database.js'
import { claimHost, type HostClaim, hostIds } from '../../src/store/hosts.js'
import { insertJob, type NewJob } from '../../src/store/jobs.js'
import { type Fence, type RecordRow, type RepoStep, StepBatch } from '../../src/store/steps.js'
import { moveDoneJob, moveJob } from '../../src/store/transitions.js'
import { eventually } from './wait.js'

/** Small makers for tests of the store and of the engine's parts. */

export const POST = 'network.example.post'
export const LIKE = 'network.example.like'

/** A cid the store takes as it is: what it must be is for the readers to check. */
export const cidOf = (text: string) => `bafyrei-${text}`

/** Revs in the order of their numbers. */
export const revOf = (number: number) => `3k${String(number).padStart(11, '0')}`

/** DIDs in the order of their numbers. */
export const didOf = (number: number) => `did:plc:${String(number).padStart(24, '0')}`

export const didsOf = (count: number, from = 0) =>
  Array.from({ length: count }, (_, index) => didOf(from + index))

export interface TestJob {
  readonly key: number
  readonly id: string
  readonly scope: number
  readonly caller: string
  /** The numbers of its accounts by DID; without those a listing adds later. */
  readonly repos: ReadonlyMap<string, number>
  /** The numbers of its collections by name. */
  readonly collections: ReadonlyMap<string, number>
}

export type JobWish = Partial<NewJob> & {
  readonly repos?: readonly string[]
  readonly relays?: readonly string[]
}

/** What `insertJob` takes, with defaults for what a test does not care about. */
export function newJob({ repos, relays, ...wish }: JobWish = {}): NewJob {
  return {
    id: TID.nextStr(),
    caller: 'did:web:caller.example',
    clientToken: null,
    inputHash: 'input',
    name: null,
    collections: [POST, LIKE],
    method: 'auto',
    level: 'content',
    repoLimit: null,
    createdAt: new Date(),
    from: relays ? { relays } : { repos: repos ?? [] },
    ...wish,
  }
}

/** A job as the service makes one; of given accounts, or of relays that are still to be read. */
export async function addJob(store: Pick<Store, 'db'>, wish: JobWish = {}): Promise<TestJob> {
  const job = newJob(wish)
  const inserted = await store.db.transaction().execute((trx) => insertJob(trx, job))
  if (!inserted) throw new Error('the client token was used before')
  return findTestJob(store.db, job.id)
}

/** A job with the numbers of the accounts it has by now. */
export async function findTestJob(db: Db, id: string): Promise<TestJob> {
  const { key, scope, caller, collections } = await db
    .selectFrom('job')
    .select(['key', 'scope', 'caller', 'collections'])
    .where('id', '=', id)
    .executeTakeFirstOrThrow()
  const rows = await db.selectFrom('job_repo').select(['did', 'repo']).where('job', '=', key).execute()
  return {
    key,
    id,
    scope,
    caller,
    repos: new Map(rows.map(({ did, repo }) => [did, repo])),
    collections: await new CollectionIds(db).of(collections ?? []),
  }
}

/** Ends a job that has nothing left to do. @returns its id; null when it has */
export async function completeJob(db: Db, key: number, now = new Date()): Promise<string | null> {
  return (await moveDoneJob(db, key, movesOf('done'), now))?.id ?? null
}

/** Ends a running job as failed, whatever it has left to do. @returns whether it was running */
export async function failJob(db: Db, key: number, error: string, now = new Date()): Promise<boolean> {
  const moved = await moveJob(db, key, [{ from: 'running', to: 'failed' }], now)
  if (moved) await db.updateTable('job').set({ error }).where('key', '=', key).execute()
  return moved !== null
}

/** Drives a host from now on: whoever drove it before has lost it. */
export async function drive(db: Db, origin = 'https://pds.example'): Promise<HostClaim> {
  const ids = await hostIds(db, [origin])
  return (await claimHost(db, ids.get(origin)!))!
}

export function record(
  collection: number,
  rkey: string,
  cid = cidOf(rkey),
  value = '{"text":"hello"}',
): RecordRow {
  return { collection, rkey, cid, value }
}

/** Posts of a job under these keys. */
export const posts = (job: TestJob, ...rkeys: string[]) =>
  rkeys.map((rkey) => record(job.collections.get(POST)!, rkey))

/** A step that has stored nothing, unless `move` says otherwise. */
export function step(
  job: TestJob,
  did: string,
  fence: Fence,
  move: Pick<RepoStep, 'status'> & Partial<RepoStep>,
): RepoStep {
  return {
    job: job.key,
    did,
    repo: job.repos.get(did)!,
    fence: { host: fence.host, epoch: fence.epoch },
    attempts: 0,
    records: 0,
    recordsAdded: 0,
    level: 'content',
    rev: null,
    rows: [],
    ...move,
  }
}

/** The step that finds a repo's PDS: the driven host. */
export const resolution = (job: TestJob, did: string, fence: Fence) =>
  step(job, did, fence, { status: 'resolved', movedTo: fence.host, firstResolved: true })

/** The step that ends a repo which was read in one go. */
export function completion(
  job: TestJob,
  did: string,
  fence: Fence,
  rows: readonly RecordRow[],
  move: Partial<RepoStep> = {},
): RepoStep {
  const rev = move.rev ?? null
  return step(job, did, fence, {
    status: 'completed',
    method: 'list-records',
    rows,
    records: rows.length,
    recordsAdded: rows.length,
    receipt: { scope: job.scope, rev, dataCid: null, counts: countsOf(job, rows) },
    // The database tells parts of a millisecond.
    aliveAt: new Date(Date.now() + 1),
    ...move,
  })
}

function countsOf(job: TestJob, rows: readonly RecordRow[]): Record<string, number> {
  const counts = [...job.collections].map(([nsid, id]): [string, number] => [
    nsid,
    rows.filter((row) => row.collection === id).length,
  ])
  return Object.fromEntries(counts)
}

/** Writes steps as one batch. */
export async function writeSteps(store: Pick<Store, 'pool'>, ...steps: RepoStep[]): Promise<boolean[]> {
  const batch = new StepBatch()
  for (const each of steps) batch.add(each)
  const client = await store.pool.connect()
  try {
    return await batch.write(client)
  } finally {
    client.release()
  }
}

/** Runs something inside a transaction, which then ends as asked; when it fails, it leaves no lock behind. */
export async function inTransaction<T>(
  store: Pick<Store, 'pool'>,
  end: 'commit' | 'rollback',
  run: (client: pg.PoolClient) => Promise<T>,
): Promise<T> {
  const client = await store.pool.connect()
  let ended = false
  try {
    await client.query('begin')
    const result = await run(client)
    await client.query(end)
    ended = true
    return result
  } finally {
    client.release(!ended)
  }
}

/** The server's processes that wait for a lock in this database, as soon as there are so many. */
export async function waitingBackends(store: Pick<Store, 'pool'>, count = 1): Promise<number[]> {
  const look = async () => {
    const { rows } = await store.pool.query<{ pid: number }>(
      `select pid from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'`,
    )
    return rows.map(({ pid }) => pid)
  }
  return eventually(look, (pids) => pids.length >= count, 5_000)
}

/** All stored records in readable form, by URI; tombstones with a null cid. */
export async function storedRecords(store: Pick<Store, 'pool'>) {
  const { rows } = await store.pool.query<{
    uri: string
    cid: string | null
    rev: string | null
    level: string
    value: string | null
  }>(
    `select 'at://' || repo.did || '/' || collection.nsid || '/' || record.rkey as uri,
            record.cid, record.rev, record.level, record.value
     from record join repo on repo.id = record.repo join collection on collection.id = record.collection
     order by repo.did, collection.nsid, record.rkey`,
  )
  return rows
}

/**
 * Asserts for every job that its counters are those of its rows, that its failures by class are, and that each
 * repo has a number of its own, given out before.
 */
export async function assertCountersEqualRows(store: Pick<Store, 'pool'>): Promise<void> {
  const counted = await store.pool.query(
    'select job, total, resolved, completed, unavailable, failed, records from job_progress order by job',
  )
  const rows = await store.pool.query(
    `select p.job, count(r.did) as total, count(r.host) as resolved,
            count(*) filter (where r.status = 'completed') as completed,
            count(*) filter (where r.status = 'unavailable') as unavailable,
            count(*) filter (where r.status = 'failed') as failed,
            coalesce(sum(r.records), 0)::bigint as records
     from job_progress p left join job_repo r on r.job = p.job group by p.job order by p.job`,
  )
  expect(counted.rows).toEqual(rows.rows)
  const countedFailures = await store.pool.query('select * from job_failure order by job, class')
  const failures = await store.pool.query(
    `select job, failure as class, count(*) from job_repo where status = 'failed'
     group by job, failure order by job, failure`,
  )
  expect(countedFailures.rows).toEqual(failures.rows)
  const misnumbered = await store.pool.query(
    `select p.job from job_progress p join job_repo r on r.job = p.job group by p.job, p.seq
     having count(distinct r.seq) < count(*) or max(r.seq) > p.seq or min(r.seq) < 1`,
  )
  expect(misnumbered.rows).toEqual([])
}

/** Numbers from 0 to 1 that look random and are the same for the same seed (mulberry32). */
export function randomOf(seed: number): () => number {
  let state = seed
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296
  }
}

/** Empties a database for the next test: quicker than a new one. */
export async function empty(store: Pick<Store, 'pool'>): Promise<void> {
  await store.pool.query(
    `truncate record, receipt, listing, job_failure, job_progress, job_repo, job, scope,
              host, repo, collection, identity, spent_token, worker, caller, request_count,
              repo_rev, account_state restart identity cascade`,
  )
}
