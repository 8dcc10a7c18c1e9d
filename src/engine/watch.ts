import { setTimeout as sleep } from 'node:timers/promises'
import type { EngineContext } from './context.js'

/** How often this process says that it is alive, and looks which of its jobs are to stop, ms. */
const LOOK_EVERY_MS = 1_000

/** The shortest time between two looks, however many hints there are, ms. */
const LOOK_PAUSE_MS = 200

/** Says that this process is alive, and looks which of the jobs it is engaged in are to stop: soon after a hint. */
export class JobWatch {
  readonly #ctx: Pick<EngineContext, 'engagements' | 'standstill' | 'tell' | 'now'>
  #hinted = Promise.withResolvers<void>()

  constructor(ctx: Pick<EngineContext, 'engagements' | 'standstill' | 'tell' | 'now'>) {
    this.#ctx = ctx
  }

  /** Something of a job has changed, perhaps. */
  hint(job: number): void {
    if (this.#ctx.engagements.has(job)) this.#hinted.resolve()
  }

  async until(signal: AbortSignal): Promise<void> {
    const { engagements, standstill, tell, now } = this.#ctx
    let reportAt = Number.NEGATIVE_INFINITY
    while (!signal.aborted) {
      await standstill.over()
      this.#hinted = Promise.withResolvers()
      try {
        if (now() >= reportAt) {
          await engagements.report()
          reportAt = now() + LOOK_EVERY_MS
        }
        await engagements.refresh()
      } catch (error) {
        if (!standstill.notice(error, signal)) tell('engine.sweep-failed', { err: error })
      }
      await pause(LOOK_PAUSE_MS, signal)
      await Promise.race([this.#hinted.promise, pause(LOOK_EVERY_MS - LOOK_PAUSE_MS, signal)])
    }
  }
}

async function pause(milliseconds: number, signal: AbortSignal): Promise<void> {
  await sleep(milliseconds, undefined, { signal }).catch(() => {})
}
