import { Failure } from '../atproto/outcome.js'
import type { Query } from '../atproto/pds.js'
import { isFromFuture } from '../atproto/rev.js'
import { listRepoRevs, type RepoRev } from '../atproto/sync.js'
import {
  deferRevListing,
  dueRevListing,
  endRevListing,
  keepFoundRevs,
  type PageTimes,
  type RevListing,
  type RevsPage,
  type RevsSaved,
  saveRevsPage,
} from '../store/host-revs.js'
import { hostIds } from '../store/hosts.js'
import type { RunningJob } from '../store/jobs.js'
import { isRetryable } from '../verdict.js'
import type { EngineContext } from './context.js'

/**
 * Learning at which revs a host's repos are, a thousand to a request: its driver reads the host's own listing beside
 * repos, a page at a time. Nothing depends on it: a repo of which the rev is not known this way is asked for it.
 *
 * It is worth its requests where a good share of a host's accounts is wanted. That shows after the first pages, and
 * goes into the database with what was seen of the host's size: a host has another driver every minute, perhaps in
 * another process, and none of them should find it out again.
 */

/** What this takes of the engine. */
export type RevsContext = Pick<EngineContext, 'db' | 'clock' | 'now' | 'random'>

/** The share of a host's accounts that must be wanted, and after how many accounts it is judged. */
const SHARE_MIN = 0.05
const JUDGED_AFTER = 2_000

/** A listing is no more than a help: it is not waited for as long as one that finds repos. */
const ATTEMPTS_MAX = 3

/**
 * Nor for as long as anything else that a host is asked for: most answer within a second. So long repos wait for the
 * revs of their host, too; then these are read beside them.
 */
export const REVS_MS = 10_000

/** A host that does not list its repos is not asked for it again for so long, whoever wants it. */
const UNLISTED_MS = 3_600_000

/**
 * How soon a host is asked again that did not answer; the next time twice as late. And how soon it is looked again
 * whether more of a host's accounts are wanted by now, where jobs still find repos.
 */
const AGAIN_MS = 60_000

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
    await endRevListing(ctx.db, host, 'judged', ctx.clock.toDatabase(ctx.now() + AGAIN_MS))
    return 'over'
  } catch (error) {
    if (!(error instanceof Failure)) throw error
    if (!isRetryable(error.failure) || attempts + 1 >= ATTEMPTS_MAX) {
      await endRevListing(ctx.db, host, 'failed', ctx.clock.toDatabase(ctx.now() + UNLISTED_MS))
      return 'over'
    }
    const delayMs = AGAIN_MS * 2 ** attempts * (0.5 + ctx.random() / 2)
    const retryAt = ctx.clock.toDatabase(ctx.now() + delayMs)
    await deferRevListing(ctx.db, host, { attempts: attempts + 1, retryAt })
    return 'waits'
  }
}

/**
 * Reads all of a host's revs, as far as it is worth it.
 * @param goesOn whether there is time for another page
 * @param onDoubt told where the host did not answer the last time: nobody should wait for what comes of it now
 */
export async function readAllHostRevs(
  ctx: RevsContext,
  host: number,
  jobs: readonly RunningJob[],
  query: Query,
  goesOn: () => boolean,
  onDoubt: () => void = () => {},
): Promise<void> {
  while (goesOn()) {
    const due = await revsDue(ctx, host, jobs)
    if (!due) return
    if (due.attempts > 0) onDoubt()
    if ((await readHostRevs(ctx, host, due, query)) !== 'more') return
  }
}

/**
 * Keeps the revs of a page by which a job finds the repos of a host. A reading that fits one answer has none of its own:
 * it gets this one when the host names it again, so that a second such job reads only what has changed. Nothing depends
 * on it, so it is not part of what finds the repos.
 */
export async function keepRevsOfFound(
  ctx: RevsContext,
  origin: string,
  repos: readonly RepoRev[],
  times: PageTimes,
): Promise<void> {
  const { revs } = pageOf({ repos, cursor: null }, ctx.now())
  const hosts = await hostIds(ctx.db, [origin])
  await keepFoundRevs(ctx.db, hosts.get(origin)!, revs, times)
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
