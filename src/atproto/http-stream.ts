import { PassThrough, type Transform } from 'node:stream'
import { createBrotliDecompress, createGunzip } from 'node:zlib'
import { isGzip } from './http-body.js'
import { HttpFailure } from './http-failure.js'

/**
 * Takes a body piece by piece, decoded. It is given the next piece when it is done with the one before.
 * @param ended aborted when the exchange ends early: what waits for anything else is to throw its reason
 */
export type Sink = (chunk: Buffer, ended: AbortSignal) => void | Promise<void>

/** Large enough that a body is passed on in few steps, small enough for many at once. */
const PIECE_BYTES = 64 * 1024

/**
 * How often its own size a coded body may be once decoded, beyond the first mebibytes. Of a repo no tenth of it is
 * to be had: every block brings a hash, which nothing can compress.
 */
const EXPANSION_MAX = 200
const EXPANSION_FREE_BYTES = 16 * 1024 * 1024

export interface BodyStreamOptions {
  readonly coding: string
  /** The most the body may be, encoded as well as decoded. */
  readonly maxBytes: number
  /** Named in messages. */
  readonly host: string
  readonly sink: Sink
  /** After `push` said to wait: there is room again. */
  readonly onRoom: () => void
}

/** What is asked for where the body is streamed. Not zstd: Node takes one that ends too early for whole. */
export const STREAMED_CODINGS = 'br, gzip'

/** Whether a BodyStream undoes a `content-encoding`. */
export function isStreamedCoding(coding: string): boolean {
  return coding === 'identity' || coding === 'br' || isGzip(coding)
}

/** Undoes the content coding of a body on its way, and passes it on at the pace of the sink. */
export class BodyStream {
  /**
   * Settles when the sink was given the last piece, or will not be given any more; no call of it is under way then.
   * Rejects with what the stream was destroyed with, with the sink's own error, or with an HttpFailure.
   */
  readonly done: Promise<void>
  readonly #options: BodyStreamOptions
  readonly #decoder: Transform
  #encoded = 0
  #decoded = 0
  /** Aborted with what it was destroyed with. */
  readonly #destroyed = new AbortController()

  constructor(options: BodyStreamOptions) {
    this.#options = options
    this.#decoder = decoderOf(options.coding)
    this.done = this.#deliver()
    // Whoever destroys it need not look at what comes of that.
    this.done.catch(() => {})
  }

  /** Bytes pushed so far. */
  get length(): number {
    return this.#encoded
  }

  /** @returns whether there is room for more; if not, `onRoom` tells when there is */
  push(chunk: Buffer): boolean {
    this.#encoded += chunk.length
    if (this.#encoded > this.#options.maxBytes) {
      this.destroy(this.#tooLarge(''))
      return true
    }
    if (this.#decoder.destroyed || this.#decoder.write(chunk)) return true
    this.#decoder.once('drain', this.#options.onRoom)
    return false
  }

  /** That was the whole body. */
  end(): void {
    // Nothing is not a valid end of a coding, but is what an empty body is sent as.
    if (this.#encoded === 0) this.#decoder.push(null)
    else this.#decoder.end()
  }

  destroy(reason: Error): void {
    // The first reason stays.
    this.#destroyed.abort(reason)
    this.#decoder.destroy(this.#destroyed.signal.reason)
  }

  async #deliver(): Promise<void> {
    const pieces: AsyncIterator<Buffer> = this.#decoder[Symbol.asyncIterator]()
    try {
      for (let piece = await this.#next(pieces); piece !== null; piece = await this.#next(pieces)) {
        this.#decoded += piece.length
        if (this.#decoded > this.#options.maxBytes) throw this.#tooLarge(' once decoded')
        const expansion = this.#decoded / this.#encoded
        if (this.#decoded > EXPANSION_FREE_BYTES && expansion > EXPANSION_MAX) throw this.#bomb()
        await this.#options.sink(piece, this.#destroyed.signal)
      }
    } finally {
      this.#decoder.destroy()
    }
  }

  async #next(pieces: AsyncIterator<Buffer>): Promise<Buffer | null> {
    this.#destroyed.signal.throwIfAborted()
    try {
      const { done, value } = await pieces.next()
      return done ? null : value
    } catch (error) {
      this.#destroyed.signal.throwIfAborted()
      const { coding, host } = this.#options
      const words = error instanceof Error ? error.message : String(error)
      const message = `${host}: the response is not valid ${coding}: ${words}`
      throw new HttpFailure('bad-response', message, { cause: error })
    }
  }

  #tooLarge(when: string): HttpFailure {
    const { host, maxBytes } = this.#options
    return new HttpFailure('body-too-large', `${host}: the response is larger than ${maxBytes} bytes${when}`)
  }

  #bomb(): HttpFailure {
    const message = `${this.#options.host}: the response is over ${EXPANSION_MAX} times its size once decoded`
    return new HttpFailure('body-too-large', message)
  }
}

function decoderOf(coding: string): Transform {
  const chunkSize = PIECE_BYTES
  if (isGzip(coding)) return createGunzip({ chunkSize })
  if (coding === 'br') return createBrotliDecompress({ chunkSize })
  return new PassThrough({ highWaterMark: PIECE_BYTES })
}
