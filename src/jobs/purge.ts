import { RequestError } from '../errors.js'
import { findJob, type JobRow } from '../store/jobs.js'
import { markForPurge } from '../store/purge.js'
import type { Asker, JobsContext } from './context.js'
import { assertHasDetails, ownJob } from './read.js'
import { ENDED_STATUSES, hasEnded } from './state.js'

/**
 * Lets a job that has ended leave nothing that no other job needs. It counts as gone at once; the engine removes
 * what it has stored.
 * @throws RequestError `JobNotFound`, `InvalidState`, `DetailsDeleted`
 */
export async function purgeJob(ctx: JobsContext, asker: Asker, id: string): Promise<JobRow> {
  const job = await ownJob(ctx, asker, id)
  const marked = await markForPurge(ctx.db, job.key, ENDED_STATUSES)
  const now = (await findJob(ctx.db, id)) ?? job
  if (marked) {
    ctx.tell('job.purging', { job: id })
    ctx.notices.tell([job.key])
    return now
  }
  if (!hasEnded(now.status)) {
    throw new RequestError(
      'InvalidState',
      `Job ${id} is ${now.status}: only a job that has ended can be purged`,
    )
  }
  if (now.purge === null) assertHasDetails(now)
  return now
}
