import { pause } from '../pause.js'
import { forgetRequestCounts } from '../store/callers.js'
import { deleteDetailsPortion, expireDetails } from '../store/details.js'
import { forgetExpiredTokens } from '../store/tokens.js'
import type { EngineContext } from './context.js'
import { repeatEvery } from './repeat.js'

/** How often there is a look at what has had its time, ms. */
export const HOUSE_EVERY_MS = 30_000

/** Between two portions of a long list that goes away, ms: others want the database too. */
const PAUSE_MS = 50

/** Rows of a list that are deleted at once. */
const PORTION = 5_000

/** Spent tokens are kept this much past their end: clocks of processes may differ. */
const CLOCK_SKEW_MS = 5 * 60_000

const MINUTE_MS = 60_000
const DAY_MS = 24 * 60 * MINUTE_MS

/** Removes what has had its time: details of old jobs, details that a caller deleted, spent tokens. */
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
  while (!signal.aborted && (await deleteDetailsPortion(ctx.db, PORTION))) await pause(PAUSE_MS, signal)
}
