/** So many times as long as a small question has taken at worst, something may take that asks many. */
const QUESTIONS = 20

/**
 * How slow the machine is, by how long small questions to the database take. What is due at once is due later where
 * two cores are shared by many.
 */
export class Pace {
  #slowestMs = 0

  async timed<T>(question: () => Promise<T>): Promise<T> {
    const askedAt = performance.now()
    try {
      return await question()
    } finally {
      this.#slowestMs = Math.max(this.#slowestMs, performance.now() - askedAt)
    }
  }

  /** As long as something takes at most, and what a busy machine adds to it. */
  atMost(ms: number): number {
    return ms + QUESTIONS * this.#slowestMs
  }
}
