/**
 * A steady rate: one turn after the other at an interval, and after a quiet time a few at once. Times are ms
 * since epoch.
 */
export class Pace {
  #last = Number.NEGATIVE_INFINITY
  #intervalMs = 0
  #burst = 1

  /** @param burst the most turns at once after a quiet time; a second's worth when absent */
  constructor(rpm: number, burst?: number) {
    this.set(rpm, burst)
  }

  get intervalMs(): number {
    return this.#intervalMs
  }

  set(rpm: number, burst = secondsWorth(rpm)): void {
    this.#intervalMs = 60_000 / rpm
    this.#burst = burst
  }

  /** When the next turn is. @param intervalMs where turns are to be further apart than the rate has them */
  nextAt(now: number, intervalMs = this.#intervalMs): number {
    return Math.max(this.#last + intervalMs, this.#floor(now, intervalMs))
  }

  take(now: number, intervalMs = this.#intervalMs): void {
    this.#last = this.nextAt(now, intervalMs)
  }

  /** No turn before this moment, and none to be made up for then. */
  restUntil(moment: number): void {
    this.#last = Math.max(this.#last, moment - this.#intervalMs)
  }

  #floor(now: number, intervalMs: number): number {
    const burst = intervalMs > this.#intervalMs ? 1 : this.#burst
    return now - (burst - 1) * intervalMs
  }
}

/** The turns of a second, at least one. */
export function secondsWorth(rpm: number): number {
  return Math.max(1, Math.floor(rpm / 60))
}
