import { setTimeout as sleep } from 'node:timers/promises'
import { hostsWithWork } from '../store/hosts.js'
import { stoppingJobs } from '../store/jobs.js'
import { jobsToDiscover } from '../store/listings.js'
import { hasUnresolvedRepos, wakeRepos } from '../store/repos.js'
import { forgetDeadWorkers } from '../store/workers.js'
import type { EngineContext } from './context.js'
import { settleJobs, settleStopping } from './settle.js'

/** Short enough that a lost wake-up is not noticed, long enough to cost nothing. */
export const SWEEP_EVERY_MS = 2_000

/**
 * Sends for whatever has work and nobody at it. Wake-ups only make things quicker: were every one of them lost,
 * this finds the work in the rows.
 */
export async function sweepUntil(
  ctx: EngineContext,
  signal: AbortSignal,
  onSwept: () => void,
): Promise<void> {
  while (!signal.aborted) {
    try {
      await sweep(ctx)
      onSwept()
    } catch (error) {
      if (!signal.aborted) ctx.tell('engine.sweep-failed', { err: error })
    }
    await sleep(ctx.sweepEveryMs * (0.75 + ctx.random() / 2), undefined, { signal }).catch(() => {})
  }
}

export async function sweep(ctx: EngineContext): Promise<void> {
  const now = new Date(ctx.now())
  await wakeRepos(ctx.db, now)
  await ctx.dispatch.wake('discover', await jobsToDiscover(ctx.db, now, ctx.config.engine.queuedRepos))
  if (await hasUnresolvedRepos(ctx.db)) await ctx.dispatch.wake('resolve', [ctx.directoryHost])
  await ctx.dispatch.wake('drive', await hostsWithWork(ctx.db, now))
  await settleJobs(ctx, null)
  await forgetDeadWorkers(ctx.db)
  for (const job of await stoppingJobs(ctx.db)) await settleStopping(ctx, job)
}
