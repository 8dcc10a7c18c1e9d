import { Failure, RateLimited } from '../atproto/outcome.js'
import { AnySignal } from '../signals.js'
import { findRunning, finishDiscovery, openRepoCount, type RunningJob } from '../store/jobs.js'
import { hostsListedFor, type Listing, openListings } from '../store/listings.js'
import { reachStage } from '../store/transitions.js'
import type { EngineContext } from './context.js'
import { afterFailedPage, giveUp, postpone, readPage } from './discover-page.js'
import { takeStartCursors } from './discover-start.js'
import { JobStopped } from './engagements.js'
import type { Gate } from './gate.js'
import { whyGivenUp } from './give-up.js'
import { SHORT_PAUSE_MS, TURN_MS } from './limits.js'
import { hostQuery } from './session.js'
import { settleJobs } from './settle.js'

/**
 * Finding a job's repos: every configured relay is asked for every collection, or for every host of the network,
 * page by page, and what they say is united. A page commits with its cursor. One discoverer works on a job at a
 * time; a page saved by one that was taken for dead is refused, because the cursor has moved. What hosts list is
 * read by their drivers (discover-host.ts).
 */

/** A job's discovery, as far as it goes for now. */
export async function discoverRepos(ctx: EngineContext, jobKey: number, signal: AbortSignal): Promise<void> {
  const job = await findRunning(ctx.db, jobKey)
  if (!job) return
  using hold = await ctx.engagements.enter(job.key)
  if (!hold) return
  const signals = { stop: signal, hold: hold.signal }
  const listings = await openListings(ctx.db, job.key)
  using either = new AnySignal(signal, hold.signal)
  if (!(await takeStartCursors(ctx, job, listings.length > 0, either.signal))) return
  // A job of named repos has nothing to discover.
  if (!job.discoveryComplete) {
    await reachStage(ctx.db, job.key, 'discovering-repos', new Date(ctx.now()))
    await ctx.dispatch.wake('drive', await hostsListedFor(ctx.db, job.key))
  }
  // Relays side by side, the listings of one relay one after the other.
  const byRelay = Map.groupBy(listings, (listing) => listing.origin)
  const endsAt = ctx.now() + TURN_MS
  const readings = await Promise.allSettled(
    [...byRelay].map(async ([relay, ofRelay]) => {
      const gate = await ctx.relays.gate(relay)
      for (const listing of ofRelay) {
        // A pause is waited for in the rows: what is refused is only what was asked for.
        if (gate.heldUntil > ctx.now() || gate.nextAt - ctx.now() > SHORT_PAUSE_MS) return
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
  const query = hostQuery(ctx, listing.origin, gate, signals)
  let at = listing
  try {
    do {
      if (ctx.now() >= endsAt || signals.hold.aborted) return
      const next = await readPage(ctx, job, at, query)
      await ctx.relays.answered(listing.origin)
      if (next === null) return
      at = next
    } while ((await openRepoCount(ctx.db, job.key)) < ctx.config.engine.queuedRepos)
  } catch (error) {
    if (signals.stop.aborted || error instanceof JobStopped) return
    if (error instanceof RateLimited) {
      const why = whyGivenUp(ctx, await ctx.relays.pause(listing.origin, error.until))
      if (why !== null) await giveUp(ctx, job, at, `host-unavailable: ${why}`)
      else await postpone(ctx, job, at, error.until, error.message)
    } else if (error instanceof Failure) await afterFailedPage(ctx, job, at, error)
    else throw error
  }
}
