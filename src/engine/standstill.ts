import type { Tell } from '../events.js'
import { pause } from '../pause.js'
import { isConnectionLost, isDatabaseTrouble } from '../store/trouble.js'

/** The pauses between looks whether the database is well again double from the first to the longest, ms. */
const FIRST_LOOK_MS = 250
const LAST_LOOK_MS = 15_000

/** Trouble that comes back so soon was not over, ms. */
const WELL_MS = 60_000

/**
 * The engine stands still while its database cannot be reached, or takes nothing in: whatever is under way ends at
 * its next write, and nothing new is begun that hosts would be asked for in vain. It goes on by itself.
 */
export class Standstill {
  readonly #look: () => Promise<unknown>
  readonly #tell: Tell
  readonly #now: () => number
  #why: string | null = null
  #over: Promise<void> = Promise.resolve()
  #pauseMs = FIRST_LOOK_MS
  #wellSince = Number.NEGATIVE_INFINITY

  /** @param look writes something; rejects while the database cannot take it */
  constructor(options: { look: () => Promise<unknown>; tell: Tell; now: () => number }) {
    this.#look = options.look
    this.#tell = options.tell
    this.#now = options.now
  }

  /** Why the engine stands still; null while it does not. */
  get why(): string | null {
    return this.#why
  }

  /** To be told of whatever went wrong. @returns whether it is the database that is in trouble */
  notice(error: unknown, signal: AbortSignal): boolean {
    if (!isDatabaseTrouble(error)) return false
    if (this.#why !== null || signal.aborted) return true
    this.#why = isConnectionLost(error) ? 'the database cannot be reached' : 'the database takes nothing in'
    if (this.#now() - this.#wellSince > WELL_MS) this.#pauseMs = FIRST_LOOK_MS
    this.#tell('engine.halted', { why: this.#why, err: error })
    this.#over = this.#untilWell(signal)
    return true
  }

  /** Waits until the engine may go on, or is to stop. */
  async over(): Promise<void> {
    await this.#over
  }

  async #untilWell(signal: AbortSignal): Promise<void> {
    while (await pause(this.#pauseMs, signal)) {
      this.#pauseMs = Math.min(2 * this.#pauseMs, LAST_LOOK_MS)
      try {
        await this.#look()
      } catch {
        continue
      }
      this.#why = null
      this.#wellSince = this.#now()
      this.#tell('engine.resumed')
      return
    }
  }
}
