import { setTimeout as sleep } from 'node:timers/promises'

/** The most requests let through at once after a quiet time, as a share of a minute's budget. */
const BURST_MINUTES = 1 / 60

/**
 * Lets requests to one host pass at a steady rate: never more than the rate in any minute, plus one second's
 * worth at once after a quiet time.
 */
export class Gate {
  readonly #intervalMs: number
  readonly #burst: number
  readonly #now: () => number
  #nextAt: number
  #heldUntil = Number.NEGATIVE_INFINITY

  /**
   * @param rpm requests a minute
   * @param notBefore nothing passes before this moment (ms since epoch)
   */
  constructor(rpm: number, notBefore: number, now: () => number) {
    this.#intervalMs = 60_000 / rpm
    this.#burst = Math.max(1, Math.floor(rpm * BURST_MINUTES))
    this.#now = now
    this.#nextAt = notBefore
  }

  /** When the next request may pass (ms since epoch). */
  get nextAt(): number {
    return this.#nextAt
  }

  /** Until when the host asked to be left alone (ms since epoch); may be long ago. */
  get heldUntil(): number {
    return this.#heldUntil
  }

  /** Waits for this request's turn; rejects with the signal's reason when it is aborted. */
  async pass(signal: AbortSignal): Promise<void> {
    signal.throwIfAborted()
    let turn = this.#takeTurn()
    for (;;) {
      // A turn within a pause that the host asked for meanwhile is lost; all at once after it would be no rate.
      if (turn < this.#heldUntil) turn = this.#takeTurn()
      const wait = turn - this.#now()
      if (wait <= 0) return
      await sleep(wait, undefined, { signal }).catch((error: unknown) => {
        signal.throwIfAborted()
        throw error
      })
    }
  }

  /** Holds back every request that has not been let through yet. */
  holdUntil(moment: number): void {
    this.#heldUntil = Math.max(this.#heldUntil, moment)
    this.#nextAt = Math.max(this.#nextAt, moment)
  }

  #takeTurn(): number {
    const turn = Math.max(this.#nextAt, this.#now() - (this.#burst - 1) * this.#intervalMs)
    this.#nextAt = turn + this.#intervalMs
    return turn
  }
}
