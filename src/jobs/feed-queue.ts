import { FeedError } from './feed-error.js'

/** What a stream is made of: something that is sent as it is, to any number of subscribers. */
export interface Message {
  readonly byteLength: number
}

/** What may wait for one subscriber. Past either, it is too slow. */
export interface QueueLimits {
  readonly messages: number
  readonly bytes: number
}

/**
 * What waits for one subscriber to take it. Nobody who fills it ever waits: a subscriber that does not keep up
 * loses what waits for it, is told so, and can come back.
 */
export class FeedQueue<M extends Message> {
  readonly #limits: QueueLimits
  #waiting: M[] = []
  #bytes = 0
  #end: 'none' | 'ended' | Error = 'none'
  #wake: () => void = () => {}

  constructor(limits: QueueLimits) {
    this.#limits = limits
  }

  get length(): number {
    return this.#waiting.length
  }

  /** Whether no more than half of what may wait does wait. */
  get hasRoom(): boolean {
    return this.length <= this.#limits.messages / 2 && this.#bytes <= this.#limits.bytes / 2
  }

  get isOpen(): boolean {
    return this.#end === 'none'
  }

  push(message: M): void {
    if (!this.isOpen) return
    const { messages, bytes } = this.#limits
    // One message alone is never too much, whatever its size.
    const fits = this.length < messages && (this.length === 0 || this.#bytes + message.byteLength <= bytes)
    if (!fits) {
      const said = 'Messages were not taken in time; come back with the cursor of the last one seen'
      this.fail(new FeedError('ConsumerTooSlow', said))
      return
    }
    this.#waiting.push(message)
    this.#bytes += message.byteLength
    this.#wake()
  }

  /** Nothing comes any more; what waits is still to be taken. */
  end(): void {
    if (this.isOpen) this.#end = 'ended'
    this.#wake()
  }

  /** Drops what waits. Whoever takes from the queue gets the error instead. */
  fail(error: Error): void {
    if (!this.isOpen) return
    this.#end = error
    this.#waiting = []
    this.#bytes = 0
    this.#wake()
  }

  /** Everything that comes, as long as the signal is not aborted. Only one may take from a queue. */
  async *take(signal: AbortSignal): AsyncGenerator<M, void, undefined> {
    const wake = () => this.#wake()
    signal.addEventListener('abort', wake)
    try {
      while (!signal.aborted) {
        const message = this.#waiting.shift()
        if (message !== undefined) {
          this.#bytes -= message.byteLength
          yield message
        } else if (this.#end instanceof Error) throw this.#end
        else if (this.#end === 'ended') return
        else {
          await new Promise<void>((resolve) => {
            this.#wake = resolve
          })
        }
      }
    } finally {
      signal.removeEventListener('abort', wake)
    }
  }
}
