import { isUtf8 } from 'node:buffer'
import { LEVELS_MAX } from '../content.js'
import { asBuffer } from './cbor.js'
import { CID_BYTES, CID_CHARACTERS, isLinkAt, LINK_BYTES, writeCidText } from './cid.js'

/** What a byte grows to at most: that of an empty byte string, to `{"$bytes":""}` and a comma. */
const GROWTH_MAX = 14

/** Records for which there is always room; larger ones are rare, and get some for themselves. */
const ROOM_FOR_BYTES = 32 * 1024

const ROOM = Buffer.alloc(ROOM_FOR_BYTES * GROWTH_MAX)
const EMPTY = Buffer.alloc(0)

const LINK_OPENS = Buffer.from('{"$link":"')
const BYTES_OPEN = Buffer.from('{"$bytes":"')
const FALSE = Buffer.from('false')
const TRUE = Buffer.from('true')
const NULL = Buffer.from('null')

const QUOTE = 0x22
const COMMA = 0x2c
const COLON = 0x3a
const OPENING_BRACKET = 0x5b
const BACKSLASH = 0x5c
const CLOSING_BRACKET = 0x5d
const LETTER_U = 0x75
const OPENING_BRACE = 0x7b
const CLOSING_BRACE = 0x7d
const DIGIT_0 = 0x30

/** Of the control characters that have one, the letter that JSON writes for them; 0 for the others. */
const ESCAPES = new Uint8Array(32)
for (const [character, letter] of ['\bb', '\tt', '\nn', '\ff', '\rr']) {
  ESCAPES[character!.charCodeAt(0)] = letter!.charCodeAt(0)
}
const HEX = Buffer.from('0123456789abcdef')

/** Text up to this long is written a byte at a time, longer in pieces. */
const SHORT_TEXT_BYTES = 24

/**
 * The JSON of a record, from the DAG-CBOR that its CID is of: links as `$link`, bytes as `$bytes`, fields in the
 * order they have there. There is one text for one CID: what has another encoding than the canonical one is refused.
 * @returns null for what is not atproto data: a float, a number beyond 2^53, broken UTF-8, a map that its JSON
 * would make a link or bytes of, …
 */
export function jsonOfCbor(bytes: Uint8Array): string | null {
  const isLarge = bytes.length > ROOM_FOR_BYTES
  return translation.run(asBuffer(bytes), isLarge ? Buffer.allocUnsafeSlow(bytes.length * GROWTH_MAX) : ROOM)
}

/** One pass over the bytes. Every step gives whether it went well. */
class Translation {
  #in: Buffer = EMPTY
  #at = 0
  #out: Buffer = EMPTY
  #to = 0
  /** All bytes of text, in one another: below 128 when the text is ASCII. */
  #seen = 0
  /** The argument of the head read last. */
  #argument = 0

  run(bytes: Buffer, room: Buffer): string | null {
    this.#in = bytes
    this.#at = 0
    this.#out = room
    this.#to = 0
    this.#seen = 0
    const isMap = bytes.length > 0 && bytes[0]! >> 5 === 5
    const isRight = isMap && this.#value(1) && this.#at === bytes.length
    this.#in = EMPTY
    this.#out = EMPTY
    if (!isRight) return null
    if (this.#seen < 128) return room.toString('latin1', 0, this.#to)
    // What is around text is ASCII, so broken characters cannot join to whole ones.
    return isUtf8(room.subarray(0, this.#to)) ? room.toString('utf8', 0, this.#to) : null
  }

  /** @param level how many objects and arrays it is in, itself counted */
  #value(level: number): boolean {
    const first = this.#in[this.#at]
    if (first === undefined) return false
    const majorType = first >> 5
    if (majorType === 7) return this.#simple(first)
    if (majorType === 6) return level <= LEVELS_MAX && this.#link()
    if (!this.#head(first)) return false
    switch (majorType) {
      case 0:
        this.#ascii(String(this.#argument))
        return true
      case 1:
        if (this.#argument === Number.MAX_SAFE_INTEGER) return false
        this.#ascii(String(-1 - this.#argument))
        return true
      case 2:
        return level <= LEVELS_MAX && this.#bytes(this.#argument)
      case 3:
        return this.#text(this.#argument)
      case 4:
        return level <= LEVELS_MAX && this.#array(this.#argument, level)
      default:
        return level <= LEVELS_MAX && this.#map(this.#argument, level)
    }
  }

  #simple(first: number): boolean {
    const word = first === 0xf4 ? FALSE : first === 0xf5 ? TRUE : first === 0xf6 ? NULL : null
    if (word === null) return false
    this.#at += 1
    this.#to += word.copy(this.#out, this.#to)
    return true
  }

  /** Reads a head whose first byte is known: its argument in the shortest form there is. */
  #head(first: number): boolean {
    const info = first & 31
    this.#at += 1
    if (info < 24) {
      this.#argument = info
      return true
    }
    const size = 1 << (info - 24)
    const at = this.#at
    if (info > 27 || at + size > this.#in.length) return false
    this.#at += size
    if (size === 8) {
      this.#argument = this.#in.readUInt32BE(at) * 2 ** 32 + this.#in.readUInt32BE(at + 4)
      return this.#argument >= 2 ** 32 && this.#argument <= Number.MAX_SAFE_INTEGER
    }
    if (size === 1) {
      this.#argument = this.#in[at]!
      return this.#argument >= 24
    }
    this.#argument = size === 2 ? this.#in.readUInt16BE(at) : this.#in.readUInt32BE(at)
    return this.#argument >= 2 ** (4 * size)
  }

  #link(): boolean {
    const at = this.#at
    if (!isLinkAt(this.#in, at)) return false
    this.#at += LINK_BYTES
    this.#to += LINK_OPENS.copy(this.#out, this.#to)
    writeCidText(this.#in, this.#at - CID_BYTES, this.#out, this.#to)
    this.#to += CID_CHARACTERS
    this.#byte(QUOTE)
    this.#byte(CLOSING_BRACE)
    return true
  }

  #bytes(length: number): boolean {
    const end = this.#at + length
    if (end > this.#in.length) return false
    this.#to += BYTES_OPEN.copy(this.#out, this.#to)
    const base64 = this.#in.toString('base64', this.#at, end)
    const padding = (3 - (length % 3)) % 3
    this.#ascii(padding === 0 ? base64 : base64.slice(0, -padding))
    this.#byte(QUOTE)
    this.#byte(CLOSING_BRACE)
    this.#at = end
    return true
  }

  #array(length: number, level: number): boolean {
    this.#byte(OPENING_BRACKET)
    for (let index = 0; index < length; index += 1) {
      if (index > 0) this.#byte(COMMA)
      if (!this.#value(level + 1)) return false
    }
    this.#byte(CLOSING_BRACKET)
    return true
  }

  #map(length: number, level: number): boolean {
    this.#byte(OPENING_BRACE)
    let beforeAt = 0
    let beforeLength = -1
    for (let index = 0; index < length; index += 1) {
      if (index > 0) this.#byte(COMMA)
      const first = this.#in[this.#at]
      if (first === undefined || first >> 5 !== 3 || !this.#head(first)) return false
      const [keyAt, keyLength] = [this.#at, this.#argument]
      if (!this.#text(keyLength)) return false
      if (!this.#isAfter(beforeAt, beforeLength, keyAt, keyLength)) return false
      // Its JSON would read as a link or as bytes.
      if (length === 1 && this.#isReserved(keyAt, keyLength)) return false
      this.#byte(COLON)
      if (!this.#value(level + 1)) return false
      beforeAt = keyAt
      beforeLength = keyLength
    }
    this.#byte(CLOSING_BRACE)
    return true
  }

  /** Shorter keys come first, then as their bytes do; none comes twice. */
  #isAfter(beforeAt: number, beforeLength: number, keyAt: number, keyLength: number): boolean {
    if (keyLength !== beforeLength) return keyLength > beforeLength
    for (let index = 0; index < keyLength; index += 1) {
      const difference = this.#in[keyAt + index]! - this.#in[beforeAt + index]!
      if (difference !== 0) return difference > 0
    }
    return false
  }

  #isReserved(keyAt: number, keyLength: number): boolean {
    if (keyLength !== 5 && keyLength !== 6) return false
    const key = this.#in.toString('latin1', keyAt, keyAt + keyLength)
    return key === '$link' || key === '$bytes'
  }

  /** Text as `JSON.stringify` writes it. */
  #text(length: number): boolean {
    const bytes = this.#in
    const out = this.#out
    const end = this.#at + length
    if (end > bytes.length) return false
    let to = this.#to
    let seen = this.#seen
    out[to++] = QUOTE
    const inPieces = length > SHORT_TEXT_BYTES
    let piece = this.#at
    for (let at = piece; at < end; at += 1) {
      const byte = bytes[at]!
      seen |= byte
      if (byte >= 0x20 && byte !== QUOTE && byte !== BACKSLASH) {
        if (!inPieces) out[to++] = byte
        continue
      }
      if (inPieces) to += bytes.copy(out, to, piece, at)
      piece = at + 1
      to = writeEscaped(byte, out, to)
    }
    if (inPieces) to += bytes.copy(out, to, piece, end)
    out[to++] = QUOTE
    this.#to = to
    this.#seen = seen
    this.#at = end
    return true
  }

  #ascii(text: string): void {
    this.#to += this.#out.write(text, this.#to, 'latin1')
  }

  #byte(byte: number): void {
    this.#out[this.#to] = byte
    this.#to += 1
  }
}

/** @returns where it ends */
function writeEscaped(byte: number, out: Buffer, at: number): number {
  let to = at
  out[to++] = BACKSLASH
  const letter = byte < 0x20 ? ESCAPES[byte]! : byte
  if (letter !== 0) {
    out[to++] = letter
    return to
  }
  out[to++] = LETTER_U
  out[to++] = DIGIT_0
  out[to++] = DIGIT_0
  out[to++] = HEX[byte >> 4]!
  out[to++] = HEX[byte & 15]!
  return to
}

const translation = new Translation()
