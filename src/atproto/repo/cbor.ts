import { Failure } from '../outcome.js'
import { CID_BYTES, cidTextAt, isDagCborAt, isLinkAt, LINK_BYTES } from './cid.js'

/** The major types of CBOR (RFC 8949 §3.1) that repos are made of. */
export const UNSIGNED = 0
const BYTES = 2
const TEXT = 3
export const ARRAY = 4
export const MAP = 5
const TAG = 6

const NULL = 0xf6

/** Reads DAG-CBOR of which is known what must come. Everything else is refused, as is what is not canonical. */
export class CborReader {
  readonly #bytes: Buffer
  readonly #what: string
  #at = 0

  /** @param what is read, for those who are told that it is not right */
  constructor(bytes: Uint8Array, what: string) {
    this.#bytes = asBuffer(bytes)
    this.#what = what
  }

  /** How far it has come. */
  get at(): number {
    return this.#at
  }

  /** The argument of the head of such a type: a number, a length, or how many follow. */
  head(majorType: number): number {
    const first = this.#bytes[this.#at]
    if (first === undefined || first >> 5 !== majorType) {
      throw this.failure(`there is something else than expected at byte ${this.#at}`)
    }
    this.#at += 1
    const info = first & 31
    return info < 24 ? info : this.#longArgument(info)
  }

  text(): string {
    const length = this.head(TEXT)
    return this.#take(length).toString('utf8')
  }

  /** A byte string whose every byte is a character. */
  latin1(): string {
    const length = this.head(BYTES)
    return this.#take(length).toString('latin1')
  }

  byteString(): Buffer {
    return this.#take(this.head(BYTES))
  }

  /** A map's key that can only be this one, of ASCII. */
  key(name: string): void {
    const bytes = this.#bytes
    let at = this.#at
    // Below 24, the length stands in the head.
    let same = bytes[at++] === (TEXT << 5) + name.length
    for (let index = 0; index < name.length; index += 1) same &&= bytes[at++] === name.charCodeAt(index)
    if (!same) throw this.failure(`there is no field "${name}" at byte ${this.#at}`)
    this.#at = at
  }

  /** A link to DAG-CBOR. */
  link(): string {
    const at = this.#at
    const cidAt = at + LINK_BYTES - CID_BYTES
    if (!isLinkAt(this.#bytes, at) || !isDagCborAt(this.#bytes, cidAt)) {
      throw this.failure(`there is no link to DAG-CBOR at byte ${at}`)
    }
    this.#at = at + LINK_BYTES
    return cidTextAt(this.#bytes, cidAt)
  }

  linkOrNull(): string | null {
    if (this.#bytes[this.#at] !== NULL) return this.link()
    this.#at += 1
    return null
  }

  /** Goes past one value, whatever it is. Nothing but that it ends is checked. */
  skip(): void {
    for (let values = 1; values > 0; values -= 1) {
      const majorType = (this.#bytes[this.#at] ?? 0) >> 5
      const argument = this.head(majorType)
      if (majorType === BYTES || majorType === TEXT) this.#take(argument)
      else if (majorType === ARRAY) values += argument
      else if (majorType === MAP) values += argument * 2
      else if (majorType === TAG) values += 1
    }
  }

  end(): void {
    if (this.#at !== this.#bytes.length) throw this.failure(`it goes on after its end at byte ${this.#at}`)
  }

  failure(why: string): Failure {
    return new Failure('bad-tree', `${this.#what}: ${why}`)
  }

  #longArgument(info: number): number {
    const size = 1 << (info - 24)
    const at = this.#at
    if (info > 27 || at + size > this.#bytes.length)
      throw this.failure(`it ends within the head at byte ${at}`)
    this.#at += size
    const value =
      size === 8
        ? this.#bytes.readUInt32BE(at) * 2 ** 32 + this.#bytes.readUInt32BE(at + 4)
        : this.#bytes.readUIntBE(at, size)
    const least = size === 1 ? 24 : 2 ** (4 * size)
    if (value < least || value > Number.MAX_SAFE_INTEGER) {
      throw this.failure(`the number at byte ${at} is not canonical`)
    }
    return value
  }

  #take(length: number): Buffer {
    const at = this.#at
    if (length > this.#bytes.length - at)
      throw this.failure(`it ends within the ${length} bytes at byte ${at}`)
    this.#at += length
    return this.#bytes.subarray(at, at + length)
  }
}

/** The same bytes with the methods of a Buffer. */
export function asBuffer(bytes: Uint8Array): Buffer {
  return Buffer.isBuffer(bytes) ? bytes : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
}
