import { Failure, RateLimited } from '../atproto/outcome.js'
import { listReposByCollection } from '../atproto/relay.js'
import { finishDiscovery, openRepoCount, type RunningJob, runningJobs } from '../store/jobs.js'
import {
  deferListing,
  giveUpListing,
  type Listing,
  openListings,
  saveListingPage,
} from '../store/listings.js'
import { reachStage } from '../store/transitions.js'
import { isRetryable } from '../verdict.js'
import type { EngineContext } from './context.js'
import { JobStopped } from './engagements.js'
import type { Gate } from './gate.js'
import { SHORT_PAUSE_MS, TURN_MS } from './limits.js'
import { backoffMs } from './retry.js'
import { hostQuery } from './session.js'
import { settleJobs } from './settle.js'

/**
 * Finding a job's repos: every configured relay is asked for every collection, page by page, and what they say
 * is united. A page commits with its cursor. One discoverer works on a job at a time; a page saved by one that
 * was taken for dead is refused, because the cursor has moved.
 */

const TOO_MANY_REPOS = 'it found more repos than a job of this caller may have'

/** Characters of a cursor in a message. */
const CURSOR_SHOWN = 60

/** A job's discovery, as far as it goes for now. */
export async function discoverRepos(ctx: EngineContext, jobKey: number, signal: AbortSignal): Promise<void> {
  const job = (await runningJobs(ctx.db)).find(({ key }) => key === jobKey)
  if (!job) return
  using hold = await ctx.engagements.enter(job.key)
  if (!hold) return
  const signals = { stop: signal, hold: hold.signal }
  await reachStage(ctx.db, job.key, 'discovering-repos', new Date(ctx.now()))
  const listings = await openListings(ctx.db, job.key)
  // Relays side by side, the listings of one relay one after the other.
  const byRelay = Map.groupBy(listings, (listing) => listing.relay)
  const endsAt = ctx.now() + TURN_MS
  const readings = await Promise.allSettled(
    [...byRelay].map(async ([relay, ofRelay]) => {
      const gate = await ctx.relays.gate(relay)
      for (const listing of ofRelay) {
        if (gate.nextAt - ctx.now() > SHORT_PAUSE_MS) return
        if (listing.retryAt && listing.retryAt.getTime() > ctx.now()) continue
        await readListing(ctx, { job, listing, gate, signals, endsAt })
      }
    }),
  )
  // Not before each has ended: whoever goes on with the job must not meet one of these.
  for (const reading of readings) if (reading.status === 'rejected') throw reading.reason
  await finishDiscovery(ctx.db, job.key)
  if (ctx.now() >= endsAt) await ctx.dispatch.wake('discover', [job.key])
  await settleJobs(ctx, [job.key])
}

interface Reading {
  readonly job: RunningJob
  readonly listing: Listing
  readonly gate: Gate
  readonly signals: { readonly stop: AbortSignal; readonly hold: AbortSignal }
  readonly endsAt: number
}

async function readListing(
  ctx: EngineContext,
  { job, listing, gate, signals, endsAt }: Reading,
): Promise<void> {
  const query = hostQuery(ctx, listing.relay, gate, signals)
  let { cursor, attempts } = listing
  try {
    do {
      if (ctx.now() >= endsAt || signals.hold.aborted) return
      const page = await listReposByCollection(query, { collection: listing.collection, cursor })
      const { relay, collection } = listing
      const saved = await saveListingPage(ctx.db, job.key, { relay, collection, cursor }, page)
      if (saved === 'moved-on' || saved === 'stopped') return
      if (saved === 'too-many-repos') return await giveUp(ctx, job, listing, TOO_MANY_REPOS)
      if (saved === 'loop') {
        const met = page.cursor?.slice(0, CURSOR_SHOWN)
        throw new Failure('cursor-loop', `listReposByCollection: the cursor ${met} leads back to itself`)
      }
      ctx.tell('discovery.page', {
        job: job.id,
        relay,
        collection,
        repos: page.dids.length,
        invalid: page.invalid,
      })
      ctx.notices.tell([job.key])
      await ctx.dispatch.wake('resolve', [ctx.directoryHost])
      cursor = page.cursor
      attempts = 0
    } while (cursor !== null && (await openRepoCount(ctx.db, job.key)) < ctx.config.engine.queuedRepos)
  } catch (error) {
    if (signals.stop.aborted || error instanceof JobStopped) return
    if (error instanceof RateLimited) {
      await ctx.relays.pause(listing.relay, error.until)
      await postpone(ctx, job, listing, attempts, error.until, error.message)
    } else if (error instanceof Failure) await failed(ctx, job, listing, attempts + 1, error)
    else throw error
  }
}

async function failed(
  ctx: EngineContext,
  job: RunningJob,
  listing: Listing,
  attempts: number,
  failure: Failure,
): Promise<void> {
  if (isRetryable(failure.failure) && attempts < ctx.retry.listing.attempts) {
    const retryAt = new Date(ctx.now() + backoffMs(ctx.retry.listing, attempts, ctx.random()))
    await postpone(ctx, job, listing, attempts, retryAt, failure.message)
    return
  }
  await giveUp(ctx, job, listing, `${failure.failure}: ${failure.message}`)
}

/** The repos that were found keep their outcomes; the job fails when each has one. */
async function giveUp(ctx: EngineContext, job: RunningJob, listing: Listing, why: string): Promise<void> {
  const { relay, collection } = listing
  const error = `Discovery of ${collection} at ${relay} failed: ${why}`
  if (await giveUpListing(ctx.db, job.key, listing, error))
    ctx.tell('discovery.failed', { job: job.id, error })
  ctx.notices.tell([job.key])
}

async function postpone(
  ctx: EngineContext,
  job: RunningJob,
  listing: Listing,
  attempts: number,
  retryAt: Date,
  why: string,
): Promise<void> {
  await deferListing(ctx.db, job.key, listing, { attempts, retryAt })
  const { relay, collection } = listing
  ctx.tell('discovery.deferred', { job: job.id, relay, collection, attempts, retryAt, why })
}
