import type { Db } from '../store/database.js'
import { databaseTime } from '../store/hosts.js'

/** Clocks drift, or are set. */
const COMPARE_EVERY_MS = 10 * 60_000

/**
 * The database's clock, as seen from this process. Moments up to which a host is left alone hold back every
 * process, so that all must mean the same by them.
 */
export class DatabaseClock {
  readonly #now: () => number
  #aheadMs = 0
  #comparedAt = Number.NEGATIVE_INFINITY

  /** @param now this process's clock */
  constructor(now: () => number) {
    this.#now = now
  }

  /** Compares the clocks, if that was long ago. */
  async compare(db: Db): Promise<void> {
    // By a clock that nobody sets.
    const at = performance.now()
    if (at - this.#comparedAt < COMPARE_EVERY_MS) return
    const before = this.#now()
    const there = (await databaseTime(db)).getTime()
    // It was read somewhere between question and answer.
    this.#aheadMs = there - (before + this.#now()) / 2
    this.#comparedAt = at
  }

  /** What the database's clock shows now. */
  now(): Date {
    return this.toDatabase(this.#now())
  }

  /** A moment of this process, ms since epoch, by the database's clock. */
  toDatabase(moment: number): Date {
    return new Date(Math.round(moment + this.#aheadMs))
  }

  /** A moment of the database's clock in this process, ms since epoch. */
  toLocal(moment: Date): number {
    return moment.getTime() - this.#aheadMs
  }
}
