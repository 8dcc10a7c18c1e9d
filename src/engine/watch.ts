import { pause } from '../pause.js'
import { Pulse } from '../pulse.js'
import type { EngineContext } from './context.js'
import { repeatUntil } from './repeat.js'

/** How often this process says that it is alive, and looks which of its jobs are to stop, ms. */
export const ALIVE_EVERY_MS = 1_000

/** The shortest time between two looks, however many hints there are, ms. */
const LOOK_PAUSE_MS = 200

type Needs = Pick<EngineContext, 'engagements' | 'standstill' | 'tell' | 'now' | 'aliveEveryMs'>

/** Says that this process is alive, and looks which of the jobs it is engaged in are to stop: soon after a hint. */
export class JobWatch {
  readonly #ctx: Needs
  readonly #hinted = new Pulse()

  constructor(ctx: Needs) {
    this.#ctx = ctx
  }

  /** Something of a job has changed, perhaps. */
  hint(job: number): void {
    if (this.#ctx.engagements.has(job)) this.#hinted.beat()
  }

  async until(signal: AbortSignal): Promise<void> {
    const { engagements, now, aliveEveryMs } = this.#ctx
    let reportAt = Number.NEGATIVE_INFINITY
    let hinted = this.#hinted.next
    const look = async () => {
      hinted = this.#hinted.next
      if (now() >= reportAt) {
        await engagements.report()
        reportAt = now() + aliveEveryMs
      }
      await engagements.refresh()
    }
    await repeatUntil(this.#ctx, signal, look, async () => {
      await pause(LOOK_PAUSE_MS, signal)
      await Promise.race([hinted, pause(aliveEveryMs - LOOK_PAUSE_MS, signal)])
    })
  }
}
