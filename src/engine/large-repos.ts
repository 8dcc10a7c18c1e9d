import type { CarQuery } from '../atproto/sync.js'
import { Pulse } from '../pulse.js'

/** What the index of a repo takes in memory follows its size. Smaller ones are taken as they come. */
const LARGE_BYTES = 32 * 1024 * 1024

/** So many large repos are read at the same time by one process. */
const AT_ONCE = 2

/** The places for large repos, which bound what all of them together hold in memory and on the disk. */
export class LargeRepos {
  readonly #freed = new Pulse()
  #taken = 0

  /** Waits for a place. */
  async enter(): Promise<void> {
    while (this.#taken >= AT_ONCE) await this.#freed.next
    this.#taken += 1
  }

  leave(): void {
    this.#taken -= 1
    this.#freed.beat()
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
      return car(nsid, params, maxBytes, async (chunk) => {
        bytes += chunk.length
        if (bytes > LARGE_BYTES && !this.#hasPlace) {
          await this.#places.enter()
          this.#hasPlace = true
        }
        await sink(chunk)
      })
    }
  }

  [Symbol.dispose](): void {
    if (this.#hasPlace) this.#places.leave()
  }
}
