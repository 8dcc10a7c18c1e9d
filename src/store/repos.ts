import { type SqlBool, sql } from 'kysely'
import type { RepoStatus } from '../verdict.js'
import { BEST_RECEIPT, type BestReceipt } from './best-receipt.js'
import type { Db } from './database.js'

/** A repo that is due, as its driver takes it up. */
export interface DueRepo {
  readonly id: number
  readonly did: string
  readonly repo: number
  readonly status: RepoStatus
  readonly attempts: number
  readonly records: number
  readonly progress: unknown
  /** Whether records of it are stored already, by this job or another. */
  readonly stored: boolean
  /** The newest rev that any receipt of it has. */
  readonly lastRev: string | null
  /** Whether a receipt of it is signed: what was stored with it is not replaced by less. */
  readonly signed: boolean
}

/** Of `job_repo r`: whether its driver may begin it now. In the words of the index that finds it. */
export const IS_DUE = sql<SqlBool>`r.status in ('resolved', 'fetching') and r.retry_at is null`

/**
 * Due repos of one job on one host, in the order they were queued.
 * @param after the `id` of the last one taken
 */
export async function dueRepos(
  db: Db,
  due: { host: number; job: number; after: number; limit: number },
): Promise<DueRepo[]> {
  // Subqueries, not joins: the planner makes those for the rows of the page only.
  const { rows } = await sql<
    Omit<DueRepo, 'lastRev' | 'signed'> & { known: [string | null, boolean | null] }
  >`
    select r.id, r.did, r.repo, r.status, r.attempts, r.records, r.progress,
           exists (select 1 from record where record.repo = r.repo) as stored,
           (
             select jsonb_build_array(max(receipt.rev), bool_or(receipt.level = 'signed'))
             from receipt where receipt.repo = r.repo
           ) as known
    from job_repo r
    where r.host = ${due.host} and r.job = ${due.job} and r.id > ${due.after}
      and ${IS_DUE}
    order by r.id
    limit ${due.limit}`.execute(db)
  return rows.map(({ known: [lastRev, signed], ...repo }) => ({ ...repo, lastRev, signed: signed ?? false }))
}

/** What is stored of a repo by now. */
export async function storedOf(
  db: Db,
  repo: number,
): Promise<Pick<DueRepo, 'stored' | 'lastRev' | 'signed'>> {
  const { rows } = await sql<Pick<DueRepo, 'stored' | 'lastRev' | 'signed'>>`
    select exists (select 1 from record where record.repo = ${repo}::bigint) as stored,
           max(receipt.rev) as "lastRev", coalesce(bool_or(receipt.level = 'signed'), false) as signed
    from receipt where receipt.repo = ${repo}::bigint`.execute(db)
  return rows[0]!
}

/** Repos of a job whose PDS is not known yet and may be looked up now. */
export async function unresolvedRepos(db: Db, due: { job: number; after: number; limit: number }) {
  return db
    .selectFrom('job_repo')
    .select(['id', 'did', 'repo', 'attempts', 'records', 'changed_at as queuedAt'])
    .where('job', '=', due.job)
    .where('id', '>', due.after)
    .where('status', '=', 'waiting')
    .where('retry_at', 'is', null)
    .orderBy('id')
    .limit(due.limit)
    .execute()
}

/** Makes repos due whose time to wait is over. */
export async function wakeRepos(db: Db, now: Date): Promise<void> {
  await db.updateTable('job_repo').set({ retry_at: null }).where('retry_at', '<=', now).execute()
}

async function findHost(db: Db, origin: string): Promise<number | null> {
  const row = await db.selectFrom('host').select('id').where('origin', '=', origin).executeTakeFirst()
  return row?.id ?? null
}

/** A page of a job's repos in DID order, with what is known of each. */
export async function listRepos(
  db: Db,
  page: {
    job: number
    scope: number
    statuses: readonly RepoStatus[] | null
    /** Only those whose PDS is known. */
    resolvedOnly: boolean
    origin: string | null
    after: string
    limit: number
  },
) {
  let repos = db
    .selectFrom('job_repo')
    .selectAll()
    .where('job', '=', page.job)
    .where('did', '>', page.after)
    .orderBy('did')
    .limit(page.limit)
  if (page.statuses) repos = repos.where('status', 'in', page.statuses)
  if (page.resolvedOnly) repos = repos.where('host', 'is not', null)
  if (page.origin !== null) {
    const host = await findHost(db, page.origin)
    // Of a host that nobody has met all repos of the job would be read, to find none.
    if (host === null) return []
    repos = repos.where('host', '=', host)
  }
  // Joined to the page rather than to the job: the planner may join first and cut the page out at the end.
  return db
    .selectFrom(repos.as('r'))
    .leftJoin('host as h', 'h.id', 'r.host')
    .leftJoin('identity as i', 'i.did', 'r.did')
    .leftJoinLateral(
      sql<BestReceipt>`(
        select best.* from receipt own cross join ${sql.raw(BEST_RECEIPT)}
        where own.repo = r.repo and own.scope = ${page.scope} and r.status = 'completed'
      )`.as<'c'>('c'),
      (join) => join.onTrue(),
    )
    .leftJoin('host as ch', 'ch.id', 'c.host')
    .select([
      'r.did',
      'r.status',
      'r.method',
      'r.failure',
      'r.reason',
      'r.message',
      'r.attempts',
      'r.records',
      'r.retry_at',
      'h.origin',
      'i.handle',
      'c.rev',
      'c.data_cid',
      'c.counts',
      'c.level',
      'c.records as receipt_records',
      'c.method as receipt_method',
      'c.completed_at',
      'c.unreadable',
      'c.unreadable_first',
      'ch.origin as receipt_origin',
    ])
    .orderBy('r.did')
    .execute()
}

export type RepoRow = Awaited<ReturnType<typeof listRepos>>[number]

/** Whether any running job has repos whose PDS may be looked up now. */
export async function hasUnresolvedRepos(db: Db): Promise<boolean> {
  const { rows } = await sql`
    select 1 from job
    where job.status = 'running' and exists (
      select 1 from job_repo r where r.job = job.key and r.status = 'waiting' and r.retry_at is null
    )
    limit 1`.execute(db)
  return rows.length > 0
}
