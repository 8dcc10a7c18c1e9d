import { pause } from '../pause.js'
import { hostsWithWork } from '../store/hosts.js'
import { stoppingJobs } from '../store/jobs.js'
import { hostsToList, jobsToDiscover } from '../store/listings.js'
import { hasUnresolvedRepos, wakeRepos } from '../store/repos.js'
import { analyzeNewTables } from '../store/statistics.js'
import { jobsToRequeue, requeueFailedRepos } from '../store/transitions.js'
import type { EngineContext } from './context.js'
import { giveUpHostListings } from './discover-host.js'
import { giveUpHosts } from './give-up.js'
import { repeatUntil } from './repeat.js'
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
  const swept = async () => {
    await sweep(ctx)
    onSwept()
  }
  await repeatUntil(ctx, signal, swept, () => pause(ctx.sweepEveryMs * (0.75 + ctx.random() / 2), signal))
}

export async function sweep(ctx: EngineContext): Promise<void> {
  const now = new Date(ctx.now())
  await wakeRepos(ctx.db, now)
  const { queuedRepos } = ctx.config.engine
  await ctx.dispatch.wake('discover', await jobsToDiscover(ctx.db, now, queuedRepos))
  if (await hasUnresolvedRepos(ctx.db)) await ctx.dispatch.wake('resolve', [ctx.directoryHost])
  await ctx.dispatch.wake('drive', await hostsWithWork(ctx.db, ctx.clock.now()))
  await ctx.dispatch.wake('drive', await hostsToList(ctx.db, { now, hostNow: ctx.clock.now(), queuedRepos }))
  await giveUpHosts(ctx)
  await giveUpHostListings(ctx)
  for (const job of await jobsToRequeue(ctx.db)) await requeue(ctx, job)
  await settleJobs(ctx, null)
  await analyzeNewTables(ctx.db)
  for (const job of await stoppingJobs(ctx.db)) await settleStopping(ctx, job)
}

/** Queues what is to be tried again of a job, some of it in each sweep. */
async function requeue(ctx: EngineContext, job: number): Promise<void> {
  for (let portions = 0; portions < 10; portions += 1) {
    if (!(await requeueFailedRepos(ctx.db, job))) break
  }
  ctx.notices.tell([job])
}
