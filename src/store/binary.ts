/**
 * Postgres' binary array format for parameters. node-postgres sends a Buffer as it is, so an array built here
 * skips the escaping and parsing of array literals, which is a third of the cost of a large batch.
 *
 * Layout (big-endian): dimensions 1, flags, element OID, length, lower bound 1; then per element its length in
 * bytes (-1: null) and its bytes.
 */

const HEADER_BYTES = 20
const NULL_LENGTH = -1

/** By the types' names in arrays: `bigint[]`, `int[]`, and so on. */
const OIDS = { bigint: 20, int: 23, text: 25, json: 114, timestamptz: 1184 } as const

/** A growing parameter of one type. */
class ArrayParameter {
  readonly #type: keyof typeof OIDS
  protected buffer: Buffer
  protected offset = HEADER_BYTES
  #length = 0

  constructor(type: keyof typeof OIDS, capacityBytes: number) {
    this.#type = type
    this.buffer = Buffer.allocUnsafe(Math.max(capacityBytes, HEADER_BYTES))
  }

  get length(): number {
    return this.#length
  }

  get byteLength(): number {
    return this.offset
  }

  /** The parameter; cast it to its type. It shares memory with this object: push no more after this. */
  toParameter(): Buffer {
    this.buffer.writeInt32BE(1, 0)
    this.buffer.writeInt32BE(0, 4)
    this.buffer.writeInt32BE(OIDS[this.#type], 8)
    this.buffer.writeInt32BE(this.#length, 12)
    this.buffer.writeInt32BE(1, 16)
    return this.buffer.subarray(0, this.offset)
  }

  protected pushNull(): void {
    this.begin(0)
    this.offset = this.buffer.writeInt32BE(NULL_LENGTH, this.offset)
  }

  /** Makes room for one more element of up to so many bytes, and for its length before it. */
  protected begin(bytesMax: number): void {
    this.#length += 1
    const needed = this.offset + 4 + bytesMax
    if (needed <= this.buffer.length) return
    const grown = Buffer.allocUnsafe(Math.max(needed, this.buffer.length * 2))
    this.buffer.copy(grown, 0, 0, this.offset)
    this.buffer = grown
  }
}

/** A growing text[] parameter, or one of another type whose values go out as text. */
export class TextArray extends ArrayParameter {
  constructor(capacityBytes = 4096, type: 'text' | 'json' = 'text') {
    super(type, capacityBytes)
  }

  push(text: string | null): void {
    if (text === null) {
      this.pushNull()
      return
    }
    // UTF-8 takes at most three bytes for each UTF-16 unit.
    this.begin(text.length * 3)
    const bytes = this.buffer.write(text, this.offset + 4, 'utf8')
    this.offset = this.buffer.writeInt32BE(bytes, this.offset) + bytes
  }
}

/** A growing int[] parameter. */
export class IntArray extends ArrayParameter {
  constructor(capacityBytes = 4096) {
    super('int', capacityBytes)
  }

  push(value: number | null): void {
    if (value === null) {
      this.pushNull()
      return
    }
    this.begin(4)
    this.offset = this.buffer.writeInt32BE(value, this.buffer.writeInt32BE(4, this.offset))
  }
}

/** A growing bigint[] parameter, of integers that a number holds exactly, or one of another type that they stand for. */
class BigintArray extends ArrayParameter {
  constructor(capacityBytes = 4096, type: 'bigint' | 'timestamptz' = 'bigint') {
    super(type, capacityBytes)
  }

  push(value: number | null): void {
    if (value === null) {
      this.pushNull()
      return
    }
    this.begin(8)
    const high = this.buffer.writeInt32BE(8, this.offset)
    const low = this.buffer.writeInt32BE(Math.floor(value / 2 ** 32), high)
    this.offset = this.buffer.writeUInt32BE(value >>> 0, low)
  }
}

/** A text[] parameter of known strings. */
export function textArray(texts: Iterable<string | null>): Buffer {
  return filled(new TextArray(), texts)
}

/** An int[] parameter of known numbers. */
export function intArray(values: Iterable<number | null>): Buffer {
  return filled(new IntArray(), values)
}

/** A bigint[] parameter of known numbers. */
export function bigintArray(values: Iterable<number | null>): Buffer {
  return filled(new BigintArray(), values)
}

/** Midnight UTC before 1 January 2000, from which Postgres counts, ms. */
const POSTGRES_EPOCH_MS = 946_684_800_000

/** A timestamptz[] parameter of known moments. */
export function timestampArray(moments: Iterable<Date | null>): Buffer {
  const array = new BigintArray(undefined, 'timestamptz')
  // In microseconds.
  for (const moment of moments) array.push(moment && (moment.getTime() - POSTGRES_EPOCH_MS) * 1_000)
  return array.toParameter()
}

function filled<Value>(
  array: ArrayParameter & { push(value: Value): void },
  values: Iterable<Value>,
): Buffer {
  for (const value of values) array.push(value)
  return array.toParameter()
}
