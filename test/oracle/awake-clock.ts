const STEP_MS = 10

/**
 * Tells how much time has gone by in which this process could do anything: on a busy machine it is late with
 * whatever it sends and takes, and that says nothing of those who are watched.
 */
export class AwakeClock {
  #elapsed = 0
  #last = performance.now()
  readonly #timer = setInterval(() => {
    const now = performance.now()
    this.#elapsed += Math.min(now - this.#last, 2 * STEP_MS)
    this.#last = now
  }, STEP_MS)

  readonly now = (): number => this.#elapsed

  stop(): void {
    clearInterval(this.#timer)
  }
}
