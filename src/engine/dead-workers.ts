import { setTimeout as sleep } from 'node:timers/promises'
import { forgetDeadWorkers } from '../store/workers.js'
import type { EngineContext } from './context.js'

/** How often there is a look at which processes are gone, ms. */
const LOOK_EVERY_MS = 500

/**
 * Frees what processes were at that are gone, long before their tasks are missed: a process that is started again
 * after a kill goes on at once. Taken over too early, a host is merely driven by somebody else: whoever drove it
 * finds its next write refused.
 */
export async function freeTasksUntil(
  { db, dispatch, standstill, tell }: EngineContext,
  signal: AbortSignal,
): Promise<void> {
  while (!signal.aborted) {
    await standstill.over()
    try {
      await dispatch.free(await forgetDeadWorkers(db))
    } catch (error) {
      const halted = standstill.notice(error, signal)
      if (!signal.aborted && !halted) tell('engine.sweep-failed', { err: error })
    }
    await sleep(LOOK_EVERY_MS, undefined, { signal }).catch(() => {})
  }
}
