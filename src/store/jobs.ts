import { createHash } from 'node:crypto'
import { type SqlBool, sql } from 'kysely'
import type { FailureClass, JobStatus, Level, RequestedMethod } from '../verdict.js'
import type { Db, Trx } from './database.js'
import { addHostListings, addListings, addRepos, HOSTS } from './listings.js'
import { IS_DUE } from './repos.js'
import { addStartCursors, HAS_BEGUN } from './start-cursors.js'

export interface NewJob {
  readonly id: string
  readonly caller: string
  readonly clientToken: string | null
  readonly inputHash: string
  readonly name: string | null
  /** Null: every collection. */
  readonly collections: readonly string[] | null
  readonly method: RequestedMethod
  readonly level: Level
  readonly createdAt: Date
  /** The most repos it may have; null for no limit. */
  readonly repoLimit: number | null
  readonly from: RepoSource
  /** The id of the job that this one repeats, and whether the repos of that one are to be queued, too. */
  readonly refreshes?: { readonly job: string; readonly queueRepos: boolean }
  /** The relays whose firehose positions are to be taken before anything else is done; none when absent. */
  readonly cursorsOf?: readonly string[]
}

/** The accounts; or the hosts that have them; or the relays to ask for them, or for every host of the network. */
export type RepoSource =
  | { readonly repos: readonly string[] }
  | { readonly hosts: readonly { readonly hostname: string; readonly origin: string }[] }
  | { readonly relays: readonly string[]; readonly wholeNetwork?: boolean }

/** A job with its counters, as its caller sees it. */
export type JobRow = Awaited<ReturnType<typeof findJob>> & object

export interface FailureCount {
  class: FailureClass
  count: number
}

/** Where a relay's firehose stood before anything of a job was read. */
export interface StartCursor {
  relay: string
  seq: number
}

const jobs = (db: Db) =>
  db
    .selectFrom('job')
    .innerJoin('job_progress as p', 'p.job', 'job.key')
    // Only the one of this end: a job that is tried again has none until it has ended anew.
    .leftJoin('manifest as m', (join) =>
      join.onRef('m.job', '=', 'job.key').onRef('m.completed_at', '=', 'job.completed_at'),
    )
    .selectAll('job')
    .select(['m.hash as manifest_hash', 'm.receipts as manifest_receipts', 'm.built_at as manifest_built_at'])
    .select([
      'p.seq',
      'p.state_seq',
      'p.total',
      'p.resolved',
      'p.completed',
      'p.unavailable',
      'p.failed',
      'p.records',
    ])
    .select((eb) =>
      eb
        .selectFrom('job_failure as f')
        .whereRef('f.job', '=', 'job.key')
        .select(
          sql<
            FailureCount[]
          >`coalesce(jsonb_agg(jsonb_build_object('class', f.class, 'count', f.count) order by f.class), '[]')`.as(
            'list',
          ),
        )
        .as('failures'),
    )
    .select((eb) =>
      eb
        .selectFrom('start_cursor as c')
        .whereRef('c.job', '=', 'job.key')
        .where('c.seq', 'is not', null)
        .select(
          sql<
            StartCursor[]
          >`coalesce(jsonb_agg(jsonb_build_object('relay', c.relay, 'seq', c.seq) order by c.relay), '[]')`.as(
            'list',
          ),
        )
        .as('start_cursors'),
    )

/** A job by the id callers see. */
export async function findJob(db: Db, id: string) {
  return jobs(db).where('job.id', '=', id).executeTakeFirst()
}

export async function findJobByToken(db: Db, caller: string, clientToken: string) {
  return jobs(db)
    .where('job.caller', '=', caller)
    .where('job.client_token', '=', clientToken)
    .executeTakeFirst()
}

/** The newest job of a caller that still runs and asks for the same. */
export async function findRunningJob(db: Db, caller: string, inputHash: string) {
  return jobs(db)
    .where('job.caller', '=', caller)
    .where('job.input_hash', '=', inputHash)
    .where('job.status', '=', 'running')
    .orderBy('job.id', 'desc')
    .limit(1)
    .executeTakeFirst()
}

/** A page of jobs, newest first. `before` is the id of the last one already seen. */
export async function listJobs(
  db: Db,
  page: { callers: readonly string[] | null; status: JobStatus | null; before: string | null; limit: number },
) {
  let query = jobs(db).orderBy('job.id', 'desc').limit(page.limit)
  if (page.callers) query = query.where('job.caller', 'in', page.callers)
  if (page.status) query = query.where('job.status', '=', page.status)
  if (page.before !== null) query = query.where('job.id', '<', page.before)
  return query.execute()
}

/**
 * Inserts a job with its repos or listings.
 * @returns false when the caller has used the client token before; nothing is written then
 */
export async function insertJob(trx: Trx, job: NewJob): Promise<boolean> {
  const { from } = job
  const fromRepos = 'repos' in from ? from.repos : null
  const inserted = await trx
    .insertInto('job')
    .values({
      id: job.id,
      caller: job.caller,
      client_token: job.clientToken,
      input_hash: job.inputHash,
      name: job.name,
      scope: await scopeId(trx, job.collections ?? []),
      collections: job.collections ? [...job.collections] : null,
      repo_count: fromRepos ? fromRepos.length : null,
      hosts: 'hosts' in from ? from.hosts.map(({ hostname }) => hostname) : null,
      method: job.method,
      level: job.level,
      status: 'running',
      stage: 'pending',
      discovery_complete: fromRepos !== null,
      created_at: job.createdAt,
      repo_limit: job.repoLimit,
      refreshes: job.refreshes?.job ?? null,
      refresh_after: job.refreshes?.queueRepos ? '' : null,
    })
    .onConflict((conflict) =>
      conflict.columns(['caller', 'client_token']).where('client_token', 'is not', null).doNothing(),
    )
    .returning('key')
    .executeTakeFirst()
  if (!inserted) return false
  await trx.insertInto('job_progress').values({ job: inserted.key }).execute()
  const { key } = inserted
  await addStartCursors(trx, key, job.cursorsOf ?? [])
  if ('repos' in from) await addRepos(trx, key, from.repos)
  else if ('hosts' in from) {
    const origins = from.hosts.map(({ origin }) => origin)
    await addHostListings(trx, key, origins)
  } else await addListings(trx, key, from.relays, from.wholeNetwork ? [HOSTS] : (job.collections ?? []))
  return true
}

/** The number of a set of collections, made as needed. The empty set stands for every collection. */
async function scopeId(trx: Trx, collections: readonly string[]): Promise<number> {
  const sorted = [...new Set(collections)].sort()
  const hash = createHash('sha256').update(JSON.stringify(sorted)).digest('base64url')
  await trx
    .insertInto('scope')
    .values({ hash, collections: sorted })
    .onConflict((conflict) => conflict.column('hash').doNothing())
    .execute()
  const row = await trx.selectFrom('scope').select('id').where('hash', '=', hash).executeTakeFirstOrThrow()
  return row.id
}

/** Marks discovery as at its end, if every listing is, and the repos of an earlier job are all queued. */
export async function finishDiscovery(db: Db, key: number): Promise<void> {
  await db
    .updateTable('job')
    .set({ discovery_complete: true })
    .where('key', '=', key)
    .where('discovery_complete', '=', false)
    .where('refresh_after', 'is', null)
    .where(({ not, exists, selectFrom }) =>
      not(exists(selectFrom('listing').select('origin').where('job', '=', key).where('done', '=', false))),
    )
    .execute()
}

/** How many repos of a job have no outcome yet. */
export async function openRepoCount(db: Db, key: number): Promise<number> {
  const row = await db
    .selectFrom('job_progress')
    .select(sql<number>`total - completed - unavailable - failed`.as('open'))
    .where('job', '=', key)
    .executeTakeFirst()
  return row?.open ?? 0
}

/** The jobs that wait for their work in flight to stop. */
export async function stoppingJobs(db: Db): Promise<number[]> {
  const rows = await db
    .selectFrom('job')
    .select('key')
    .where('status', 'in', ['pausing', 'cancelling'])
    .execute()
  return rows.map((row) => row.key)
}

/** What the engine needs to know of a job it works for. */
export interface RunningJob {
  readonly key: number
  readonly id: string
  readonly caller: string
  readonly scope: number
  /** Null: every collection. */
  readonly collections: readonly string[] | null
  readonly method: RequestedMethod
  readonly level: Level
  readonly createdAt: Date
}

const running = (db: Db) =>
  db
    .selectFrom('job')
    .select(['key', 'id', 'caller', 'scope', 'collections', 'method', 'level', 'created_at as createdAt'])
    .where('status', '=', 'running')

/** A job, if it runs, whether or not its repos may be worked on. */
export async function findRunning(
  db: Db,
  key: number,
): Promise<(RunningJob & { discoveryComplete: boolean }) | undefined> {
  return running(db)
    .select('discovery_complete as discoveryComplete')
    .where('key', '=', key)
    .executeTakeFirst()
}

/** The jobs that run and whose repos may be worked on, oldest first: the relays' positions come before that. */
export async function runningJobs(db: Db): Promise<RunningJob[]> {
  return running(db).where(HAS_BEGUN).orderBy('key').execute()
}

/** Of these jobs, the ones that have something to be done on a host now, or a listing of it. */
export async function jobsWanting(db: Db, host: number): Promise<RunningJob[]> {
  return running(db)
    .where(HAS_BEGUN)
    .where(sql<SqlBool>`(
      exists (
        select from job_repo r
        where r.host = ${host} and r.job = job.key and ${IS_DUE}
      ) or exists (
        select from listing l where l.host = ${host} and l.job = job.key and not l.done and l.failure is null
      )
    )`)
    .orderBy('key')
    .execute()
}
