import { RequestError } from '../errors.js'
import { findJob, type JobRow, listJobs as listJobRows } from '../store/jobs.js'
import { readRecordPage } from '../store/record-pages.js'
import type { RecordPosition, StoredRecord } from '../store/records.js'
import { listRepos as listRepoRows, type RepoRow } from '../store/repos.js'
import { JOB_STATUSES, REPO_STATUSES, type RepoStatus } from '../verdict.js'
import type { Asker, JobsContext } from './context.js'
import { resolveHandle } from './create.js'

export interface Page<Row> {
  readonly rows: readonly Row[]
  readonly more: boolean
}

/**
 * One job, to look at.
 * @throws RequestError `JobNotFound`, also for a job the asker may not see: the two are not told apart
 */
export async function getJob(ctx: JobsContext, asker: Asker, id: string): Promise<JobRow> {
  const job = await findJob(ctx.db, id)
  if (!job || !maySee(asker, job.caller)) throw new RequestError('JobNotFound', `There is no job ${id}`)
  return job
}

/**
 * One job, to steer it.
 * @throws RequestError `JobNotFound`, also for a job that the asker may only look at
 */
export async function ownJob(ctx: JobsContext, asker: Asker, id: string): Promise<JobRow> {
  const job = await findJob(ctx.db, id)
  if (!job || !(asker.admin || job.caller === asker.did))
    throw new RequestError('JobNotFound', `There is no job ${id} that ${asker.did} may change`)
  return job
}

/**
 * One job, to look at its repos and what they hold.
 * @throws RequestError `JobNotFound` as `getJob`; `DetailsDeleted`
 */
export async function getJobWithDetails(ctx: JobsContext, asker: Asker, id: string): Promise<JobRow> {
  const job = await getJob(ctx, asker, id)
  assertHasDetails(job)
  return job
}

/** @throws RequestError `DetailsDeleted` */
export function assertHasDetails(job: JobRow): void {
  if (job.details !== 'kept')
    throw new RequestError('DetailsDeleted', `The details of job ${job.id} were deleted`)
}

/** Whether somebody may look at the jobs of a caller. */
export function maySee(asker: Asker, caller: string): boolean {
  return asker.admin || caller === asker.did || asker.jobsOf.includes(caller)
}

/** The jobs that the asker may see, newest first: all of them, or those of one caller. */
export async function listJobs(
  ctx: JobsContext,
  asker: Asker,
  query: { caller?: string; status?: string; before: string | null; limit: number },
): Promise<Page<JobRow>> {
  const status = query.status === undefined ? null : oneOf('status', query.status, JOB_STATUSES)
  if (query.caller !== undefined && !maySee(asker, query.caller)) return { rows: [], more: false }
  const everybody = asker.admin ? null : [asker.did, ...asker.jobsOf]
  const callers = query.caller === undefined ? everybody : [query.caller]
  return page(query.limit, (limit) => listJobRows(ctx.db, { callers, status, before: query.before, limit }))
}

const PHASES = {
  discovered: { statuses: null, resolvedOnly: false },
  resolved: { statuses: null, resolvedOnly: true },
  fetched: { statuses: ['completed'], resolvedOnly: false },
} as const satisfies Record<string, { statuses: readonly RepoStatus[] | null; resolvedOnly: boolean }>

/** The repos of a job, in DID order. */
export async function listJobRepos(
  ctx: JobsContext,
  asker: Asker,
  query: {
    job: string
    phase?: string
    status?: string
    origin: string | null
    after: string
    limit: number
  },
): Promise<Page<RepoRow>> {
  const phase = oneOf('phase', query.phase ?? 'discovered', Object.keys(PHASES) as (keyof typeof PHASES)[])
  const status = query.status === undefined ? null : oneOf('status', query.status, REPO_STATUSES)
  const { statuses, resolvedOnly } = PHASES[phase]
  const job = await getJobWithDetails(ctx, asker, query.job)
  // A phase and a status that exclude each other: nothing is both.
  if (status && statuses && !(statuses as readonly RepoStatus[]).includes(status))
    return { rows: [], more: false }
  return page(query.limit, (limit) =>
    listRepoRows(ctx.db, {
      job: job.key,
      scope: job.scope,
      statuses: status ? [status] : statuses,
      resolvedOnly,
      origin: query.origin,
      after: query.after,
      limit,
    }),
  )
}

/** What a job has fetched, in the order its repos were completed. */
export async function listRecords(
  ctx: JobsContext,
  asker: Asker,
  query: {
    job: string
    collection: string | null
    repo: string | null
    after: RecordPosition | null
    limit: number
  },
): Promise<Page<StoredRecord>> {
  const job = await getJobWithDetails(ctx, asker, query.job)
  const did = query.repo === null ? null : await didOf(ctx, query.repo)
  const wanted = { job: job.key, scope: job.scope, collection: query.collection, did }
  return readRecordPage(ctx.db, { ...wanted, limit: query.limit }, query.after)
}

/**
 * The account that a DID or a handle names.
 * @throws RequestError `InvalidRequest` for a handle that no account answers to
 */
export async function didOf(ctx: JobsContext, repo: string): Promise<string> {
  const did = repo.startsWith('did:') ? repo : await resolveHandle(ctx, repo)
  if (did === null) throw new RequestError('InvalidRequest', `repo: no account answers to the handle ${repo}`)
  return did
}

/** Asks for one row more than wanted: so a page says whether another follows. */
async function page<Row>(limit: number, read: (limit: number) => Promise<Row[]>): Promise<Page<Row>> {
  const rows = await read(limit + 1)
  return { rows: rows.slice(0, limit), more: rows.length > limit }
}

function oneOf<T extends string>(field: string, value: string, words: readonly T[]): T {
  const word = words.find((known) => known === value)
  if (word === undefined) {
    throw new RequestError(
      'InvalidRequest',
      `${field} is ${JSON.stringify(value.slice(0, 100))}, but must be one of ${words.join(', ')}`,
    )
  }
  return word
}
