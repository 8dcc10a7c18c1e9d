import { pause } from '../pause.js'

/** How often there is a look when nobody says that something has changed, */
export const LOOK_EVERY_MS = 1_000
/** and the shortest time between two looks when somebody does. */
const LOOK_PAUSE_MS = 100

export interface LoopOptions {
  /** Looks once. @returns whether to go on */
  readonly look: () => Promise<boolean>
  /** How soon the next look must be in any case, if that is sooner than usual. */
  readonly dueIn: () => number | null
  /** A look has failed, for the first time since one went well. */
  readonly onTrouble: (error: unknown) => void
}

/** Looks time and again, sooner after a hint, until it is stopped. What fails is tried again. */
export class FeedLoop {
  readonly #options: LoopOptions
  readonly #stop = new AbortController()
  #lookedAt = Number.NEGATIVE_INFINITY
  #hinted = false
  #inTrouble = false
  #wait = new AbortController()
  #next = Promise.withResolvers<void>()

  constructor(options: LoopOptions) {
    this.#options = options
  }

  /** Aborted when it is stopped. */
  get stopped(): AbortSignal {
    return this.#stop.signal
  }

  /** The end of the next look that goes well. */
  get next(): Promise<void> {
    return this.#next.promise
  }

  async run(): Promise<void> {
    for (let goOn = true; goOn && !this.stopped.aborted; ) {
      this.#lookedAt = performance.now()
      const looked = await this.attempt(this.#options.look)
      if (looked !== undefined) {
        goOn = looked
        this.#next.resolve()
        this.#next = Promise.withResolvers()
      }
      if (goOn) await this.#pause(looked !== undefined)
    }
  }

  /** Something has changed, perhaps. */
  hint(): void {
    this.#hinted = true
    this.#wait.abort()
  }

  stop(): void {
    this.#stop.abort()
    this.#wait.abort()
  }

  /** Asks the database, for whatever; undefined when it could not be asked. */
  async attempt<T>(ask: () => Promise<T>): Promise<T | undefined> {
    try {
      const answer = await ask()
      this.#inTrouble = false
      return answer
    } catch (error) {
      if (!this.#inTrouble && !this.stopped.aborted) this.#options.onTrouble(error)
      this.#inTrouble = true
      return undefined
    }
  }

  /** Until the next look is due, or a hint comes; in any case for the shortest time. */
  async #pause(looked: boolean): Promise<void> {
    const sinceLook = () => performance.now() - this.#lookedAt
    this.#wait = new AbortController()
    if (this.stopped.aborted) return
    if (!looked) await pause(LOOK_EVERY_MS, this.stopped)
    else if (!this.#hinted) {
      const due = this.#options.dueIn() ?? LOOK_EVERY_MS
      await pause(Math.min(LOOK_EVERY_MS - sinceLook(), due), this.#wait.signal)
    }
    this.#hinted = false
    await pause(LOOK_PAUSE_MS - sinceLook(), this.stopped)
  }
}
