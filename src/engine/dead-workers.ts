import { forgetDeadWorkers } from '../store/workers.js'
import type { EngineContext } from './context.js'
import { repeatEvery } from './repeat.js'

/** How often there is a look at which processes are gone, ms. */
const LOOK_EVERY_MS = 500

/**
 * Frees what processes were at that are gone, long before their tasks are missed: a process that is started again
 * after a kill goes on at once. Taken over too early, a host is merely driven by somebody else: whoever drove it
 * finds its next write refused.
 */
export async function freeTasksUntil(ctx: EngineContext, signal: AbortSignal): Promise<void> {
  await repeatEvery(ctx, LOOK_EVERY_MS, signal, async () => {
    await ctx.dispatch.free(await forgetDeadWorkers(ctx.db))
  })
}
