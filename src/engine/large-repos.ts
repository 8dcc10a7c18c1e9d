import type { CarQuery } from '../atproto/sync.js'

/** What the index of a repo takes in memory follows its size. Smaller ones are taken as they come. */
const LARGE_BYTES = 32 * 1024 * 1024

/** So many large repos are read at the same time by one process. */
const AT_ONCE = 2

/** The places for large repos, which bound what all of them together hold in memory and on the disk. */
export class LargeRepos {
  #free = AT_ONCE
  readonly #waiting = new Set<() => void>()

  /**
   * Waits for a place, behind those who came before.
   * @throws the signal's reason when it aborts
   */
  async enter(signal: AbortSignal): Promise<void> {
    signal.throwIfAborted()
    if (this.#free > 0) {
      this.#free -= 1
      return
    }
    const { promise, resolve, reject } = Promise.withResolvers<void>()
    const giveUp = () => {
      // A place that was given by then is taken, and left as any other.
      this.#waiting.delete(resolve)
      reject(signal.reason)
    }
    signal.addEventListener('abort', giveUp)
    this.#waiting.add(resolve)
    try {
      await promise
    } finally {
      signal.removeEventListener('abort', giveUp)
    }
  }

  leave(): void {
    const [next] = this.#waiting
    if (next === undefined) this.#free += 1
    else {
      this.#waiting.delete(next)
      next()
    }
  }
}

/** One repo that is read whole: it takes a place as soon as it turns out to be large, and leaves it at its end. */
export class WholeRepo implements Disposable {
  readonly #places: LargeRepos
  #hasPlace = false

  constructor(places: LargeRepos) {
    this.#places = places
  }

  /** The same query; a body that turns out large waits for its place, and the host with it. */
  watching(car: CarQuery): CarQuery {
    return (nsid, params, maxBytes, sink) => {
      if (!sink) return car(nsid, params, maxBytes)
      let bytes = 0
      return car(nsid, params, maxBytes, async (chunk, ended) => {
        bytes += chunk.length
        if (bytes > LARGE_BYTES && !this.#hasPlace) {
          await this.#places.enter(ended)
          this.#hasPlace = true
        }
        await sink(chunk, ended)
      })
    }
  }

  [Symbol.dispose](): void {
    if (this.#hasPlace) this.#places.leave()
  }
}
