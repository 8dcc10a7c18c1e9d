/** The pauses between two looks double from the first to the longest, ms: most of what there is to see shows early. */
const FIRST_MS = 1_000
const LAST_MS = 30_000

/**
 * When a driver looks whether the revs of its host's repos are worth reading, or to be read further: with each new
 * job, and seldom besides, for it asks the database. Times are ms since epoch.
 */
export class RevsAgenda {
  readonly #jobs = new Set<number>()
  #pauseMs = FIRST_MS
  #nextAt = Number.NEGATIVE_INFINITY

  /** @param jobs that want something of the host now */
  isDue(jobs: readonly number[], now: number): boolean {
    return jobs.length > 0 && (now >= this.#nextAt || this.#newOf(jobs).length > 0)
  }

  /** All there was to see for these jobs has been seen. */
  looked(jobs: readonly number[], now: number): void {
    if (this.#newOf(jobs).length > 0) this.#pauseMs = FIRST_MS
    for (const job of jobs) this.#jobs.add(job)
    this.#nextAt = now + this.#pauseMs
    this.#pauseMs = Math.min(2 * this.#pauseMs, LAST_MS)
  }

  #newOf(jobs: readonly number[]): number[] {
    return jobs.filter((job) => !this.#jobs.has(job))
  }
}
