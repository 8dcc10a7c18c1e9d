import { Failure } from '../atproto/outcome.js'
import type { Query } from '../atproto/pds.js'
import { isFromFuture } from '../atproto/rev.js'
import { listRepoRevs, type RepoRev } from '../atproto/sync.js'
import {
  deferRevListing,
  dueRevListing,
  endRevListing,
  type RevListing,
  type RevsPage,
  type RevsSaved,
  saveRevsPage,
} from '../store/host-revs.js'
import type { RunningJob } from '../store/jobs.js'
import { isRetryable } from '../verdict.js'
import type { EngineContext } from './context.js'
import { backoffMs } from './retry.js'

/**
 * Learning at which revs a host's repos are, a thousand to a request: its driver reads the host's own listing beside
 * repos, a page at a time. Nothing depends on it: a repo of which the rev is not known this way is asked for it.
 *
 * It is worth its requests where a good share of a host's accounts is wanted. That shows after the first pages, and
 * goes into the database with what was seen of the host's size: a host has another driver every minute, perhaps in
 * another process, and none of them should find it out again.
 */

/** What this takes of the engine. */
export type RevsContext = Pick<EngineContext, 'db' | 'clock' | 'now' | 'random' | 'retry'>

/** The share of a host's accounts that must be wanted, and after how many accounts it is judged. */
const SHARE_MIN = 0.05
const JUDGED_AFTER = 2_000

/** A listing is no more than a help: it is not waited for as long as one that finds repos. */
const ATTEMPTS_MAX = 3

/** How soon it is looked again whether more of a host's accounts are wanted by now, where jobs still find repos. */
const JUDGED_AGAIN_MS = 60_000

/**
 * The reading of a host's revs that can go on now, if there is one or one is worth beginning.
 * @param jobs that want something of the host, and may be worked on
 */
export async function revsDue(
  ctx: RevsContext,
  host: number,
  jobs: readonly RunningJob[],
): Promise<RevListing | null> {
  const keys = jobs.map(({ key }) => key)
  return dueRevListing(ctx.db, host, keys, { share: SHARE_MIN, now: ctx.clock.now() })
}

/** What became of a page: `more` follows, or it was the last one to be read. */
export type RevsRead = 'more' | 'waits' | 'over'

/**
 * Reads one page of a host's revs.
 * @returns `waits` where it failed and is due again later
 * @throws RateLimited, JobStopped, or what the database or a shutdown threw: the listing stands where it did
 */
export async function readHostRevs(
  ctx: RevsContext,
  host: number,
  { cursor, attempts }: RevListing,
  query: Query,
): Promise<RevsRead> {
  try {
    const askedAt = ctx.clock.now()
    const page = await listRepoRevs(query, cursor)
    const times = { askedAt, answeredAt: ctx.clock.now() }
    const saved = await saveRevsPage(ctx.db, host, cursor, pageOf(page, ctx.now()), times)
    if (saved.became !== 'saved' || page.cursor === null) return 'over'
    if (isWorth(saved)) return 'more'
    await endRevListing(ctx.db, host, ctx.clock.toDatabase(ctx.now() + JUDGED_AGAIN_MS))
    return 'over'
  } catch (error) {
    if (!(error instanceof Failure)) throw error
    if (!isRetryable(error.failure) || attempts + 1 >= ATTEMPTS_MAX) {
      await endRevListing(ctx.db, host, null)
      return 'over'
    }
    const delayMs = backoffMs(ctx.retry.listing, attempts + 1, ctx.random())
    const retryAt = ctx.clock.toDatabase(ctx.now() + delayMs)
    await deferRevListing(ctx.db, host, { attempts: attempts + 1, retryAt })
    return 'waits'
  }
}

/**
 * Reads all of a host's revs, as far as it is worth it: for whoever waits for them before the first repo.
 * @param goesOn whether there is time for another page
 */
export async function readAllHostRevs(
  ctx: RevsContext,
  host: number,
  jobs: readonly RunningJob[],
  query: Query,
  goesOn: () => boolean,
): Promise<void> {
  while (goesOn()) {
    const due = await revsDue(ctx, host, jobs)
    if (!due || (await readHostRevs(ctx, host, due, query)) !== 'more') return
  }
}

/** Whether so many of the accounts listed are wanted that the rest is worth asking for. */
function isWorth({ listed, wanted }: RevsSaved): boolean {
  return listed < JUDGED_AFTER || wanted >= listed * SHARE_MIN
}

/** What counts of a page: where an account has been, it is listed as inactive, with a rev that is not its own any more. */
export function pageOf(page: { repos: readonly RepoRev[]; cursor: string | null }, now: number): RevsPage {
  const revs = page.repos.flatMap(({ did, rev, active }) =>
    active && rev !== null && !isFromFuture(rev, now) ? [{ did, rev }] : [],
  )
  return { revs, listed: page.repos.length, cursor: page.cursor }
}
