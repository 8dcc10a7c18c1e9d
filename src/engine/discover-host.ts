import { Failure } from '../atproto/outcome.js'
import type { Query } from '../atproto/pds.js'
import { finishDiscovery, type RunningJob } from '../store/jobs.js'
import { dueHostListings, type HostListing, strandedListings } from '../store/listings.js'
import type { EngineContext } from './context.js'
import { afterFailedPage, giveUp, readPage } from './discover-page.js'
import { giveUpTerm } from './give-up.js'
import { settleJobs } from './settle.js'

/**
 * Finding the repos of one host: its driver reads its listings in turn with its repos, a page at a time. What a host
 * lists is believed as far as that these accounts are wanted; where each lives is looked up like any other's.
 */

/** The listings of a host that can go on now, with their jobs, of those that may be worked on. */
export async function listingsOf(
  ctx: EngineContext,
  host: number,
  jobs: readonly RunningJob[],
): Promise<{ job: RunningJob; listing: HostListing }[]> {
  const { queuedRepos } = ctx.config.engine
  const due = await dueHostListings(ctx.db, host, new Date(ctx.now()), queuedRepos)
  return due.flatMap((listing) => {
    const job = jobs.find(({ key }) => key === listing.job)
    return job ? [{ job, listing }] : []
  })
}

/**
 * Reads one page of a host's listing.
 * @throws RateLimited, JobStopped, or what the database or a shutdown threw: the listing stands where it did
 */
export async function readHostPage(
  ctx: EngineContext,
  job: RunningJob,
  listing: HostListing,
  query: Query,
): Promise<void> {
  try {
    if (await readPage(ctx, job, listing, query)) return
    await finishDiscovery(ctx.db, job.key)
  } catch (error) {
    if (!(error instanceof Failure)) throw error
    await afterFailedPage(ctx, job, listing, error)
  }
  await settleJobs(ctx, [job.key])
}

/** Gives up the listings of hosts that have given no good answer for long, as `giveUpHosts` does with repos. */
export async function giveUpHostListings(ctx: EngineContext): Promise<void> {
  const { since, why } = giveUpTerm(ctx)
  for (const { job, id, ...listing } of await strandedListings(ctx.db, since, ctx.clock.now())) {
    await giveUp(ctx, { key: job, id }, listing, `host-unavailable: ${why}`)
  }
}
