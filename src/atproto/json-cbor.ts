import { encode } from '@atcute/cbor'
import { ARRAY, HEAD_BYTES_MAX, headBytes, MAP, NEGATIVE, TEXT, UNSIGNED, writeHead } from './cbor-head.js'

/**
 * DAG-CBOR (the deterministic form of RFC 8949 that atproto signs) of values that came as JSON. Written into one
 * buffer over and over, because a buffer for each record costs more than what goes into it.
 */

/** Large enough for all but a few records; one that was larger for a moment is not kept. */
const KEPT_BYTES = 64 * 1024

/** Texts up to this length have a head of one byte, and are written faster unit by unit while they are ASCII. */
const SHORT_LENGTH_MAX = 23

/** So many keys are put in order one by one, which takes the square of their number. */
const FEW_KEYS = 32

const ASCII_MAX = 0x7f

const FALSE = 0xf4
const TRUE = 0xf5
const NULL = 0xf6
const DOUBLE = 0xfb

const KEPT = Buffer.allocUnsafeSlow(KEPT_BYTES)
let buffer = KEPT
let end = 0

/**
 * The DAG-CBOR of a value, with `$link` and `$bytes` as in the atproto data model.
 * @returns bytes that the next call overwrites
 * @throws where it has no such form, as a number beyond 2^53 has none, or is nested too deeply
 */
export function encodeJson(value: unknown): Uint8Array {
  buffer = KEPT
  end = 0
  write(value)
  return buffer.subarray(0, end)
}

function write(value: unknown): void {
  if (typeof value === 'string') writeText(value)
  else if (typeof value === 'number') writeNumber(value)
  else if (typeof value === 'boolean') writeByte(value ? TRUE : FALSE)
  else if (value === null) writeByte(NULL)
  else if (Array.isArray(value)) {
    begin(ARRAY, value.length)
    for (const each of value) write(each)
  } else if (typeof value === 'object') writeObject(value as Record<string, unknown>)
  else throw new TypeError(`JSON has no ${typeof value}`)
}

function writeObject(value: Record<string, unknown>): void {
  const keys = Object.keys(value)
  // The one key that makes it something else than a map: rare, and nothing to be made anew here.
  if (keys.length === 1 && (keys[0] === '$link' || keys[0] === '$bytes')) {
    const bytes = encode({ [keys[0]]: value[keys[0]] })
    reserve(bytes.length)
    buffer.set(bytes, end)
    end += bytes.length
    return
  }
  begin(MAP, keys.length)
  for (const key of inOrder(keys)) {
    writeText(key)
    write(value[key])
  }
}

/** Keys in the order of their CBOR: by length in bytes, then by bytes. */
function inOrder(keys: string[]): readonly string[] {
  // Each is moved to its place: `sort` makes two more lists, and keys mostly come in order.
  if (keys.length <= FEW_KEYS && keys.every(isAscii)) {
    for (let from = 1; from < keys.length; from += 1) {
      const key = keys[from]!
      let to = from
      for (; to > 0 && isBehind(keys[to - 1]!, key); to -= 1) keys[to] = keys[to - 1]!
      keys[to] = key
    }
    return keys
  }
  return keys.sort((one, other) => Buffer.compare(encode(one), encode(other)))
}

/** Of keys in ASCII. */
function isBehind(one: string, other: string): boolean {
  return one.length > other.length || (one.length === other.length && one > other)
}

function isAscii(text: string): boolean {
  for (let index = 0; index < text.length; index += 1) if (text.charCodeAt(index) > ASCII_MAX) return false
  return true
}

function writeText(text: string): void {
  const { length } = text
  // UTF-8 takes at most three bytes for each UTF-16 unit.
  reserve(HEAD_BYTES_MAX + 3 * length)
  if (length <= SHORT_LENGTH_MAX && isWrittenAsAscii(text)) return
  // Mostly a byte for each unit; where not, the head may turn out to be longer.
  const guessed = headBytes(length)
  const bytes = buffer.write(text, end + guessed, 'utf8')
  const needed = headBytes(bytes)
  if (needed !== guessed) buffer.copyWithin(end + needed, end + guessed, end + guessed + bytes)
  end = writeHead(buffer, end, TEXT, bytes) + bytes
}

/** Writes a short text if it is ASCII. @returns whether it is */
function isWrittenAsAscii(text: string): boolean {
  const { length } = text
  for (let index = 0; index < length; index += 1) {
    const unit = text.charCodeAt(index)
    if (unit > ASCII_MAX) return false
    buffer[end + 1 + index] = unit
  }
  buffer[end] = TEXT | length
  end += 1 + length
  return true
}

function writeNumber(value: number): void {
  if (Number.isSafeInteger(value)) {
    if (value < 0) begin(NEGATIVE, -1 - value)
    else begin(UNSIGNED, value)
    return
  }
  if (!(Math.abs(value) <= Number.MAX_SAFE_INTEGER)) throw new RangeError('a number beyond 2^53')
  writeByte(DOUBLE)
  reserve(8)
  end = buffer.writeDoubleBE(value, end)
}

function writeByte(byte: number): void {
  reserve(1)
  buffer[end] = byte
  end += 1
}

function begin(type: number, count: number): void {
  reserve(HEAD_BYTES_MAX)
  end = writeHead(buffer, end, type, count)
}

function reserve(bytes: number): void {
  if (end + bytes <= buffer.length) return
  const grown = Buffer.allocUnsafeSlow(Math.max(end + bytes, 2 * buffer.length))
  buffer.copy(grown, 0, 0, end)
  buffer = grown
}
