import { promisify } from 'node:util'
import { gunzip, gunzipSync } from 'node:zlib'
import { HttpFailure } from './http-failure.js'

const gunzipOnPool = promisify(gunzip)

const EMPTY = Buffer.alloc(0)

/** What a body of unknown size starts with, and the most that a mere announcement of size makes us allocate. */
const FIRST_ALLOCATION_BYTES = 64 * 1024

/**
 * The most that is decoded on the event loop, about 10 ms of work. A page of records is far below it, and costs
 * a fifth less this way than through the thread pool.
 */
const DECODED_AT_ONCE_BYTES_MAX = 4 * 1024 * 1024

/** Large enough that a page is decoded in few steps. */
const DECODING_CHUNK_BYTES = 64 * 1024

/**
 * Collects a body. It is copied into one buffer, because a host that sends a byte at a time would otherwise cost
 * a hundred times its size in objects.
 */
export class BodyCollector {
  readonly #maxBytes: number
  #buffer: Buffer = EMPTY
  #length = 0
  #expected = 0

  /** @param maxBytes the most that `push` takes in all */
  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes
  }

  /** Bytes taken so far. */
  get length(): number {
    return this.#length
  }

  /** The body is said to be so large: it takes no more room than that until it turns out to be larger. */
  expect(bytes: number): void {
    this.#expected = bytes
  }

  /** @returns false, and takes nothing, when the body would grow too large */
  push(chunk: Buffer): boolean {
    const length = this.#length + chunk.length
    if (length > this.#maxBytes) return false
    // Most bodies come in one piece, and need no memory of their own.
    if (this.#length === 0) this.#buffer = chunk
    else {
      if (length > this.#buffer.length) this.#grow(length)
      chunk.copy(this.#buffer, this.#length)
    }
    this.#length = length
    return true
  }

  /** The body so far; shares its memory with the collector. */
  bytes(): Buffer {
    return this.#buffer.subarray(0, this.#length)
  }

  #grow(needed: number): void {
    const doubled = Math.max(FIRST_ALLOCATION_BYTES, this.#buffer.length * 2, needed)
    const enough = needed <= this.#expected ? this.#expected : this.#maxBytes
    const grown = Buffer.allocUnsafeSlow(Math.min(doubled, enough))
    this.#buffer.copy(grown, 0, 0, this.#length)
    this.#buffer = grown
  }
}

/** Whether a `content-encoding` is one that `decodeBody` undoes. */
export function isKnownCoding(coding: string): boolean {
  return coding === 'identity' || isGzip(coding)
}

/** Where there is memory for a body. */
export interface BodyRoom {
  /** Waits until the body may be so large. */
  roomFor(bytes: number): Promise<void>
}

/**
 * Undoes a known content coding, once.
 * @param maxBytes the most the decoded body may be
 * @throws HttpFailure `body-too-large`, or `bad-response` when it is not what the coding says
 */
export async function decodeBody(
  encoded: Buffer,
  coding: string,
  maxBytes: number,
  host: string,
  room: BodyRoom,
): Promise<Buffer> {
  if (encoded.length === 0 || !isGzip(coding)) return encoded
  const atOnce = Math.min(maxBytes, DECODED_AT_ONCE_BYTES_MAX)
  try {
    return gunzipSync(encoded, { maxOutputLength: atOnce, chunkSize: DECODING_CHUNK_BYTES })
  } catch (error) {
    if (!isTooLarge(error) || atOnce === maxBytes) throw decodingFailure(error, maxBytes, host)
  }
  // Only now it is known to be large, and not how large.
  await room.roomFor(maxBytes)
  try {
    return await gunzipOnPool(encoded, { maxOutputLength: maxBytes, chunkSize: DECODING_CHUNK_BYTES })
  } catch (error) {
    throw decodingFailure(error, maxBytes, host)
  }
}

function decodingFailure(error: unknown, maxBytes: number, host: string): HttpFailure {
  if (isTooLarge(error)) {
    const message = `${host}: the response is larger than ${maxBytes} bytes once decoded`
    return new HttpFailure('body-too-large', message, { cause: error })
  }
  const words = error instanceof Error ? error.message : String(error)
  return new HttpFailure('bad-response', `${host}: the response is not valid gzip: ${words}`, {
    cause: error,
  })
}

function isTooLarge(error: unknown): boolean {
  return error instanceof Error && (error as NodeJS.ErrnoException).code === 'ERR_BUFFER_TOO_LARGE'
}

/** `x-gzip` is the same coding by its old name (RFC 9110 §8.4.1.3). */
export function isGzip(coding: string): boolean {
  return coding === 'gzip' || coding === 'x-gzip'
}
