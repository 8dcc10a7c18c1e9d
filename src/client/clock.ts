import { setTimeout as sleep } from 'node:timers/promises'

/** Time and chance, which tests bring along themselves. */
export interface Clock {
  /** ms since the epoch */
  now(): number
  /** 0 ≤ x < 1 */
  random(): number
  /** Rejects with the signal's reason as soon as it aborts. */
  sleep(ms: number, signal?: AbortSignal): Promise<void>
}

export const SYSTEM_CLOCK: Clock = {
  now: () => Date.now(),
  random: () => Math.random(),
  async sleep(ms, signal) {
    signal?.throwIfAborted()
    try {
      await sleep(ms, undefined, signal && { signal })
    } catch (error) {
      // It rejects with an error of its own, in which the reason is only the cause.
      signal?.throwIfAborted()
      throw error
    }
  },
}
