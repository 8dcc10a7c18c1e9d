/** The opcodes of RFC 6455 §5.2 that matter to somebody who only listens. */
const CONTINUATION = 0x0
const TEXT = 0x1
const BINARY = 0x2
const CLOSE = 0x8

/** The most that a control frame may carry. */
const CONTROL_BYTES_MAX = 125

/** What a WebSocket server sent is not what the protocol allows, or is larger than we take. */
export class FrameError extends Error {
  override readonly name = 'FrameError'
  constructor(
    readonly kind: 'malformed' | 'too-large',
    message: string,
  ) {
    super(message)
  }
}

interface Frame {
  readonly final: boolean
  readonly opcode: number
  readonly payload: Buffer
  readonly end: number
}

/**
 * Takes the bytes a WebSocket server sends apart into its messages (RFC 6455 §5), for a connection without
 * extensions. Holds at most one message and a frame's header.
 */
export class FrameReader {
  readonly #maxBytes: number
  #pending: Buffer = Buffer.alloc(0)
  #parts: Buffer[] = []
  #partsLength = 0
  #binary = false
  #inMessage = false
  #closed = false

  /** @param maxBytes the most that one message may be */
  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes
  }

  /** Whether the server has said that nothing more follows. */
  get closed(): boolean {
    return this.#closed
  }

  /**
   * @returns the binary messages that this chunk completes; text is left out
   * @throws FrameError
   */
  push(chunk: Buffer): Buffer[] {
    this.#pending = this.#pending.length === 0 ? chunk : Buffer.concat([this.#pending, chunk])
    const messages: Buffer[] = []
    while (!this.#closed) {
      const frame = this.#next()
      if (frame === null) break
      this.#pending = this.#pending.subarray(frame.end)
      const message = this.#take(frame)
      if (message !== null) messages.push(message)
    }
    return messages
  }

  /** The frame at the beginning of what is pending; null while it is not all there. */
  #next(): Frame | null {
    const bytes = this.#pending
    if (bytes.length < 2) return null
    const [first, second] = bytes as unknown as [number, number]
    if ((first & 0x70) !== 0)
      throw new FrameError('malformed', 'a frame of an extension that was not agreed on')
    if ((second & 0x80) !== 0) throw new FrameError('malformed', 'a masked frame')
    const short = second & 0x7f
    const start = short === 126 ? 4 : short === 127 ? 10 : 2
    if (bytes.length < start) return null
    const length =
      short === 126 ? bytes.readUInt16BE(2) : short === 127 ? Number(bytes.readBigUInt64BE(2)) : short
    const opcode = first & 0x0f
    const final = (first & 0x80) !== 0
    if (opcode >= CLOSE && (length > CONTROL_BYTES_MAX || !final)) {
      throw new FrameError('malformed', 'a control frame that is too large or in pieces')
    }
    if (this.#partsLength + length > this.#maxBytes) {
      throw new FrameError('too-large', `a message larger than ${this.#maxBytes} bytes`)
    }
    const end = start + length
    return bytes.length < end ? null : { final, opcode, payload: bytes.subarray(start, end), end }
  }

  #take({ final, opcode, payload }: Frame): Buffer | null {
    // Pings need no answer in the short time that anybody listens here.
    if (opcode >= CLOSE) {
      this.#closed ||= opcode === CLOSE
      return null
    }
    if (opcode !== CONTINUATION && opcode !== TEXT && opcode !== BINARY) {
      throw new FrameError('malformed', `a frame of the unknown kind ${opcode}`)
    }
    if ((opcode === CONTINUATION) !== this.#inMessage) {
      throw new FrameError('malformed', 'the pieces of messages are mixed')
    }
    if (opcode !== CONTINUATION) this.#binary = opcode === BINARY
    this.#inMessage = !final
    this.#parts.push(payload)
    this.#partsLength += payload.length
    if (!final) return null
    const message = Buffer.concat(this.#parts)
    this.#parts = []
    this.#partsLength = 0
    return this.#binary ? message : null
  }
}
