import { ENDED_STATUSES } from '../jobs/state.js'
import { pause } from '../pause.js'
import { purgeAccounts, tellAccounts } from '../store/accounts.js'
import { forgetRequestCounts } from '../store/callers.js'
import { deleteDetailsPortion, expireDetails } from '../store/details.js'
import { purgePortion } from '../store/purge.js'
import { jobToQueueFor, queueFormerRepos } from '../store/refresh.js'
import { forgetExpiredTokens } from '../store/tokens.js'
import type { EngineContext } from './context.js'
import { repeatUntil } from './repeat.js'

/** How often there is a look at what has had its time, ms. */
export const HOUSE_EVERY_MS = 30_000

/** Between two rounds of portions, ms: others want the database too. */
const PAUSE_MS = 50

/** Rows of a list that are queued or deleted at once. */
const PORTION = 5_000

/** Spent tokens are kept this much past their end: clocks of processes may differ. */
const CLOCK_SKEW_MS = 5 * 60_000

const MINUTE_MS = 60_000
const DAY_MS = 24 * 60 * MINUTE_MS

/** One kind of work, or a portion of it. @returns whether there is more of it */
type Work = (ctx: EngineContext) => Promise<boolean>

const WORKS: readonly Work[] = [
  forgetSpent,
  expire,
  queueFormer,
  tellJobs,
  ({ db }) => purgeAccounts(db, PORTION),
  purgeJobs,
  ({ db }) => deleteDetailsPortion(db, PORTION),
]

/**
 * Does what is not urgent: removes what has had its time or is not wanted any more (details, records, spent tokens),
 * queues the many repos of jobs that repeat others, and tells jobs what has become of their accounts. What is long, or
 * fails, holds up nothing else: the kinds of work take turns, a portion each.
 */
export async function keepHouseUntil(ctx: EngineContext, signal: AbortSignal): Promise<void> {
  /** What may have more to do, whose turn comes first in front. */
  const open = new Set<Work>()
  let lookedAt = Number.NEGATIVE_INFINITY
  const round = async () => {
    const now = ctx.now()
    // What has come up is seen as soon as if nothing else went on.
    if (open.size === 0 || now - lookedAt >= ctx.houseEveryMs) {
      for (const work of WORKS) open.add(work)
      lookedAt = now
    }
    for (const work of [...open]) {
      if (signal.aborted) return
      // Also where it fails: others come first, and there is another look.
      open.delete(work)
      if (await work(ctx)) open.add(work)
    }
  }
  const rest = () => pause(open.size > 0 ? PAUSE_MS : ctx.houseEveryMs, signal)
  await repeatUntil(ctx, signal, round, rest)
}

async function forgetSpent({ db, now }: EngineContext): Promise<boolean> {
  await forgetExpiredTokens(db, new Date(now() - CLOCK_SKEW_MS))
  await forgetRequestCounts(db, Math.floor(now() / MINUTE_MS) - 1)
  return false
}

async function expire({ config, db, now, tell }: EngineContext): Promise<boolean> {
  const { detailsRetentionDays, expiredRecords } = config.engine
  if (detailsRetentionDays === 0) return false
  const endedBefore = new Date(now() - detailsRetentionDays * DAY_MS)
  const expired = await expireDetails(db, endedBefore, expiredRecords)
  for (const job of expired) tell('job.details-deleted', { job })
  return false
}

async function queueFormer({ db }: EngineContext): Promise<boolean> {
  const job = await jobToQueueFor(db, ENDED_STATUSES)
  if (job === null) return false
  await db.transaction().execute((trx) => queueFormerRepos(trx, job, PORTION))
  return true
}

async function tellJobs({ db, notices }: EngineContext): Promise<boolean> {
  const { jobs, more } = await tellAccounts(db)
  if (jobs.length > 0) notices.tell(jobs)
  return more
}

async function purgeJobs({ db, tell }: EngineContext): Promise<boolean> {
  const { more, purged } = await purgePortion(db, PORTION)
  if (purged !== null) tell('job.purged', { job: purged })
  return more
}
