/** Turns at something that only a few may use at a time: those who wait for one are served in turn, whoever asks most. */
export class Turns {
  readonly #waiting = new Map<string, (() => void)[]>()
  #free: number

  /** @param most who may have a turn at the same time */
  constructor(most: number) {
    this.#free = most
  }

  /** Does something when it is this one's turn. */
  async run<T>(who: string, work: () => Promise<T>): Promise<T> {
    if (this.#free > 0) this.#free -= 1
    else await this.#turn(who)
    try {
      return await work()
    } finally {
      this.#next()
    }
  }

  #turn(who: string): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>()
    const own = this.#waiting.get(who)
    if (own) own.push(resolve)
    else this.#waiting.set(who, [resolve])
    return promise
  }

  /** Hands a turn on to the one who has waited longest since the last one; what more it wants comes behind the others. */
  #next(): void {
    const [next] = this.#waiting
    if (next === undefined) {
      this.#free += 1
      return
    }
    const [who, [first, ...rest]] = next
    this.#waiting.delete(who)
    if (rest.length > 0) this.#waiting.set(who, rest)
    first!()
  }
}
