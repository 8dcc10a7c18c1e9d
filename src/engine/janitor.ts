import { ENDED_STATUSES } from '../jobs/state.js'
import { pause } from '../pause.js'
import { purgeAccounts, tellAccounts } from '../store/accounts.js'
import { forgetRequestCounts } from '../store/callers.js'
import { deleteDetailsPortion, expireDetails } from '../store/details.js'
import { purgePortion } from '../store/purge.js'
import { jobToQueueFor, queueFormerRepos } from '../store/refresh.js'
import { forgetExpiredTokens } from '../store/tokens.js'
import type { EngineContext } from './context.js'
import { repeatEvery } from './repeat.js'

/** How often there is a look at what has had its time, ms. */
export const HOUSE_EVERY_MS = 30_000

/** Between two portions of a long list that goes away, ms: others want the database too. */
const PAUSE_MS = 50

/** Rows of a list that are queued or deleted at once. */
const PORTION = 5_000

/** Spent tokens are kept this much past their end: clocks of processes may differ. */
const CLOCK_SKEW_MS = 5 * 60_000

const MINUTE_MS = 60_000
const DAY_MS = 24 * 60 * MINUTE_MS

/**
 * Does what is not urgent: removes what has had its time or is not wanted any more (details, records, spent tokens),
 * queues the many repos of jobs that repeat others, and tells jobs what has become of their accounts.
 */
export async function keepHouseUntil(ctx: EngineContext, signal: AbortSignal): Promise<void> {
  await repeatEvery(ctx, ctx.houseEveryMs, signal, () => keepHouse(ctx, signal))
}

async function keepHouse(ctx: EngineContext, signal: AbortSignal): Promise<void> {
  const now = ctx.now()
  await forgetExpiredTokens(ctx.db, new Date(now - CLOCK_SKEW_MS))
  await forgetRequestCounts(ctx.db, Math.floor(now / MINUTE_MS) - 1)
  const { detailsRetentionDays } = ctx.config.engine
  if (detailsRetentionDays > 0) {
    const expired = await expireDetails(ctx.db, new Date(now - detailsRetentionDays * DAY_MS))
    for (const job of expired) ctx.tell('job.details-deleted', { job })
  }
  const inPortions = async (portion: () => Promise<boolean>) => {
    while (!signal.aborted && (await portion())) await pause(PAUSE_MS, signal)
  }
  await inPortions(() => queueFormer(ctx))
  await inPortions(() => tellJobs(ctx))
  await inPortions(() => purgeAccounts(ctx.db, PORTION))
  await inPortions(() => purgeJobs(ctx))
  await inPortions(() => deleteDetailsPortion(ctx.db, PORTION))
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
