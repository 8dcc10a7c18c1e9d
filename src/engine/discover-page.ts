import { hostnameToOrigin } from '../atproto/host.js'
import { Failure } from '../atproto/outcome.js'
import type { Query } from '../atproto/pds.js'
import { listHosts, listRepos, listReposByCollection } from '../atproto/relay.js'
import { hostIds } from '../store/hosts.js'
import type { RunningJob } from '../store/jobs.js'
import {
  deferListing,
  giveUpListing,
  HOSTS,
  type Listing,
  type ListingKey,
  type PageSaved,
  REPOS,
  saveHostsPage,
  saveListingPage,
} from '../store/listings.js'
import { isRetryable } from '../verdict.js'
import type { EngineContext } from './context.js'
import { keepRevsOfFound } from './host-revs.js'
import { backoffMs } from './retry.js'

/**
 * One page of a listing, whoever's it is and whatever it lists: asked for, stored with its cursor, and what becomes
 * of the listing when it cannot be had.
 */

const TOO_MANY_REPOS = 'it found more repos than a job of this caller may have'

/** Characters of a cursor in a message. */
const CURSOR_SHOWN = 60

/** A page that was stored, or what kept it from being. */
type PageRead = { readonly saved: PageSaved; readonly cursor: string | null }

/**
 * Reads one page of a listing.
 * @returns the listing as it stands after the page, to be read further; null when it is at its end, given up, or
 *   somebody else's by now
 * @throws Failure, RateLimited, JobStopped: the listing stands where it did
 */
export async function readPage(
  ctx: EngineContext,
  job: RunningJob,
  listing: Listing,
  query: Query,
): Promise<Listing | null> {
  const { saved, cursor } =
    listing.lists === HOSTS
      ? await readHosts(ctx, job, listing, query)
      : await readRepos(ctx, job, listing, query)
  if (saved === 'moved-on' || saved === 'stopped') return null
  if (saved === 'too-many-repos') {
    await giveUp(ctx, job, listing, TOO_MANY_REPOS)
    return null
  }
  if (saved === 'loop') {
    const met = cursor?.slice(0, CURSOR_SHOWN)
    throw new Failure('cursor-loop', `${methodOf(listing)}: the cursor ${met} leads back to itself`)
  }
  if (saved === 'endless') {
    throw new Failure('cursor-loop', `${methodOf(listing)}: the listing has more pages than any that ends`)
  }
  ctx.notices.tell([job.key])
  return cursor === null ? null : { ...listing, cursor, attempts: 0, retryAt: null }
}

async function readRepos(
  ctx: EngineContext,
  job: RunningJob,
  listing: Listing,
  query: Query,
): Promise<PageRead> {
  const { origin, lists, cursor } = listing
  const askedAt = ctx.clock.now()
  const page =
    lists === REPOS
      ? await listRepos(query, { cursor })
      : { ...(await listReposByCollection(query, { collection: lists, cursor })), repos: [] }
  const times = { askedAt, answeredAt: ctx.clock.now() }
  const saved = await saveListingPage(ctx.db, job.key, listing, page)
  if (saved === 'saved') {
    if (page.repos.length > 0 && mayListRecords(job)) await keepRevsOfFound(ctx, origin, page.repos, times)
    const { dids, invalid } = page
    ctx.tell('discovery.page', { job: job.id, origin, lists, repos: dids.length, invalid })
    await ctx.dispatch.wake('resolve', [ctx.directoryHost])
  }
  return { saved, cursor: page.cursor }
}

/** Whether repos of the job may be read by the method whose short readings have no rev. */
function mayListRecords({ method, level }: RunningJob): boolean {
  return method === 'list-records' || (method === 'auto' && level !== 'signed')
}

async function readHosts(
  ctx: EngineContext,
  job: RunningJob,
  listing: Listing,
  query: Query,
): Promise<PageRead> {
  const { hostnames, banned, cursor } = await listHosts(query, listing)
  const found = hostnames.map((hostname) => hostnameToOrigin(hostname, ctx.config.network))
  const origins = [...new Set(found)].filter((origin) => origin !== null)
  const saved = await saveHostsPage(ctx.db, job.key, listing, { origins, cursor })
  if (saved === 'saved') {
    const invalid = found.filter((origin) => origin === null).length
    const { origin, lists } = listing
    ctx.tell('discovery.page', { job: job.id, origin, lists, hosts: origins.length, invalid, banned })
    await ctx.dispatch.wake('drive', (await hostIds(ctx.db, origins)).values())
  }
  return { saved, cursor }
}

/** What becomes of a listing of which a page could not be had: another try later, or none any more. */
export async function afterFailedPage(
  ctx: EngineContext,
  job: RunningJob,
  listing: Listing,
  failure: Failure,
): Promise<void> {
  const attempts = listing.attempts + 1
  if (isRetryable(failure.failure) && attempts < ctx.retry.listing.attempts) {
    const retryAt = new Date(ctx.now() + backoffMs(ctx.retry.listing, attempts, ctx.random()))
    return postpone(ctx, job, { ...listing, attempts }, retryAt, failure.message)
  }
  await giveUp(ctx, job, listing, `${failure.failure}: ${failure.message}`)
}

/** Leaves a listing alone until then. */
export async function postpone(
  ctx: EngineContext,
  job: RunningJob,
  { origin, lists, attempts }: Listing,
  retryAt: Date,
  why: string,
): Promise<void> {
  await deferListing(ctx.db, job.key, { origin, lists }, { attempts, retryAt })
  ctx.tell('discovery.deferred', { job: job.id, origin, lists, attempts, retryAt, why })
}

/** The repos that were found keep their outcomes; the job fails when each has one. */
export async function giveUp(
  ctx: EngineContext,
  job: Pick<RunningJob, 'key' | 'id'>,
  listing: ListingKey,
  why: string,
): Promise<void> {
  const error = `Discovery of ${nameOf(listing)} failed: ${why}`
  if (await giveUpListing(ctx.db, job.key, listing, error))
    ctx.tell('discovery.failed', { job: job.id, error })
  ctx.notices.tell([job.key])
}

function nameOf({ origin, lists }: ListingKey): string {
  if (lists === HOSTS) return `the hosts that ${origin} knows`
  return lists === REPOS ? `the repos of ${origin}` : `${lists} at ${origin}`
}

function methodOf({ lists }: ListingKey): string {
  if (lists === HOSTS) return 'listHosts'
  return lists === REPOS ? 'listRepos' : 'listReposByCollection'
}
