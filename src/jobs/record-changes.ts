import { RequestError } from '../errors.js'
import { type ChangePage, type ChangePosition, readChangePage } from '../store/record-changes.js'
import type { Asker, JobsContext } from './context.js'
import { didOf, getJobWithDetails } from './read.js'
import { assertRefreshes } from './refresh.js'

/**
 * A page of what has changed since the job that another one refreshes, in the order its repos ended.
 * @throws RequestError `JobNotFound`, `DetailsDeleted`, `InvalidRequest`
 */
export async function listChanges(
  ctx: JobsContext,
  asker: Asker,
  wish: {
    readonly job: string
    readonly collection: string | null
    readonly repo: string | null
    readonly from: ChangePosition
    readonly limit: number
  },
): Promise<ChangePage> {
  const { collection, repo, from, limit } = wish
  const job = await getJobWithDetails(ctx, asker, wish.job)
  assertRefreshes(job)
  const did = repo === null ? null : await didOf(ctx, repo)
  const query = { job: job.key, scope: job.scope, collection, did, limit }
  const page = await readChangePage(ctx.db, query, from)
  if (page !== null) return page
  throw new RequestError('DetailsDeleted', `The details of job ${job.id} were deleted`)
}
