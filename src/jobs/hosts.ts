import { type HostSummaries, summarizeHosts as summarizeHostRows } from '../store/host-summary.js'
import type { Asker, JobsContext } from './context.js'
import { getJobWithDetails } from './read.js'

/** Hosts that are told one by one; the rest is summed up. */
const HOSTS_MAX = 10_000

/**
 * All hosts of a job, the one with the most of its repos first.
 * @throws RequestError `JobNotFound`, `DetailsDeleted`
 */
export async function summarizeHosts(ctx: JobsContext, asker: Asker, id: string): Promise<HostSummaries> {
  const job = await getJobWithDetails(ctx, asker, id)
  return summarizeHostRows(ctx.db, job.key, HOSTS_MAX)
}
