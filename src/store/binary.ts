/**
 * Postgres' binary array format for parameters. node-postgres sends a Buffer as it is, so an array built here
 * skips the escaping and parsing of array literals, which is a third of the cost of a large batch.
 *
 * Layout (big-endian): dimensions 1, flags, element OID, length, lower bound 1; then per element its length in
 * bytes (-1: null) and its bytes.
 */

const HEADER_BYTES = 20
const TEXT_OID = 25

/** A growing text[] parameter. */
export class TextArray {
  #buffer: Buffer
  #offset = HEADER_BYTES
  #length = 0

  constructor(capacityBytes = 4096) {
    this.#buffer = Buffer.allocUnsafe(Math.max(capacityBytes, HEADER_BYTES))
  }

  get length(): number {
    return this.#length
  }

  get byteLength(): number {
    return this.#offset
  }

  push(text: string | null): void {
    this.#length += 1
    if (text === null) {
      this.#reserve(4)
      this.#offset = this.#buffer.writeInt32BE(-1, this.#offset)
      return
    }
    // UTF-8 takes at most three bytes for each UTF-16 unit.
    this.#reserve(4 + text.length * 3)
    const bytes = this.#buffer.write(text, this.#offset + 4, 'utf8')
    this.#buffer.writeInt32BE(bytes, this.#offset)
    this.#offset += 4 + bytes
  }

  /** The parameter; cast it with `::text[]`. It shares memory with this object: push no more after this. */
  toParameter(): Buffer {
    this.#buffer.writeInt32BE(1, 0)
    this.#buffer.writeInt32BE(0, 4)
    this.#buffer.writeInt32BE(TEXT_OID, 8)
    this.#buffer.writeInt32BE(this.#length, 12)
    this.#buffer.writeInt32BE(1, 16)
    return this.#buffer.subarray(0, this.#offset)
  }

  #reserve(bytes: number): void {
    const needed = this.#offset + bytes
    if (needed <= this.#buffer.length) return
    const grown = Buffer.allocUnsafe(Math.max(needed, this.#buffer.length * 2))
    this.#buffer.copy(grown, 0, 0, this.#offset)
    this.#buffer = grown
  }
}

/** A text[] parameter of known strings. */
export function textArray(texts: Iterable<string | null>): Buffer {
  const array = new TextArray()
  for (const text of texts) array.push(text)
  return array.toParameter()
}
