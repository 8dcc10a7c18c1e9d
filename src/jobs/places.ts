import { Turns } from '../turns.js'

/** Places at something that only a few may use at a time: callers who wait for one get it in turns, whoever asks most. */
export class Places {
  readonly #waiting = new Turns<() => void>()
  #free: number

  /** @param most who may have a place at the same time */
  constructor(most: number) {
    this.#free = most
  }

  /** Does something for a caller when there is a place for it. */
  async run<T>(caller: string, work: () => Promise<T>): Promise<T> {
    if (this.#free > 0) this.#free -= 1
    else await this.#given(caller)
    try {
      return await work()
    } finally {
      this.#pass()
    }
  }

  #given(caller: string): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>()
    this.#waiting.add(caller, resolve)
    return promise
  }

  /** Passes a place on to whoever is next. */
  #pass(): void {
    const next = this.#waiting.next()
    if (next === undefined) {
      this.#free += 1
      return
    }
    this.#waiting.remove(next)
    next()
  }
}
