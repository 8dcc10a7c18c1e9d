import { hash } from 'node:crypto'
import { encode } from '@atcute/cbor'
import { CODEC_DCBOR, toString as cidToString, fromDigest, fromString } from '@atcute/cid'

/**
 * The most objects and arrays that may stand in one another. Honest records have a dozen; thousands overflow the
 * stack of whoever writes or reads the JSON, here, in the database and at callers.
 */
export const LEVELS_MAX = 1_000

/** The text of a value that came as JSON; null when it is nested too deeply to be handed on. */
export function textOfJson(value: object): string | null {
  let text: string
  try {
    text = JSON.stringify(value)
  } catch {
    return null
  }
  // Each level takes two characters.
  return text.length > 2 * LEVELS_MAX && isDeeperThan(LEVELS_MAX, value) ? null : text
}

function isDeeperThan(levels: number, value: unknown): boolean {
  if (typeof value !== 'object' || value === null) return false
  return levels === 0 || Object.values(value).some((inner) => isDeeperThan(levels - 1, inner))
}

/** The last digest, for as long as it takes to put it into a CID. */
const DIGEST = Buffer.alloc(32)

/**
 * The CID a record must have, computed from its JSON form (`$link` and `$bytes` as in the atproto data model):
 * DAG-CBOR, SHA-256, CIDv1, base32.
 * @param text the value's own text, where it is at hand
 * @returns null when the value has no DAG-CBOR form, as a number beyond 2^53 has none
 */
export function cidOfJson(value: object, text: string = JSON.stringify(value)): string | null {
  let bytes: Uint8Array
  try {
    bytes = text.includes('"constructor"') ? encodeWithConstructor(value) : encode(value)
  } catch {
    return null
  }
  // As a string, because a buffer for each digest costs more than the digest.
  DIGEST.write(hash('sha256', bytes, 'binary'), 'binary')
  return cidToString(fromDigest(CODEC_DCBOR, DIGEST))
}

/** The major types of CBOR (RFC 8949 §3.1) that hold other values. */
const ARRAY = 4
const MAP = 5

/**
 * DAG-CBOR of a value with a field named `constructor`. The library tells a plain object by its `constructor`,
 * so one with such a field is refused, or, with a `$link` among its fields, taken for that link alone.
 */
function encodeWithConstructor(value: unknown): Uint8Array {
  if (typeof value !== 'object' || value === null) return encode(value)
  if (Array.isArray(value))
    return Buffer.concat([head(ARRAY, value.length), ...value.map(encodeWithConstructor)])
  const keys = Object.keys(value)
  if (keys.length === 1 && (keys[0] === '$link' || keys[0] === '$bytes')) return encode(value)
  const fields = Object.entries(value).map(
    ([key, inner]) => [encode(key), encodeWithConstructor(inner)] as const,
  )
  // Shorter keys first: the length stands before the key.
  fields.sort(([one], [other]) => Buffer.compare(one, other))
  return Buffer.concat([head(MAP, keys.length), ...fields.flat()])
}

/** The beginning of an array or map: an unsigned integer but for its first three bits. */
function head(majorType: number, length: number): Uint8Array {
  const bytes = encode(length)
  bytes[0]! |= majorType << 5
  return bytes
}

/** Whether the text is a CID as atproto uses them: version 1, base32, SHA-256. */
export function isCid(text: string): boolean {
  try {
    fromString(text)
    return true
  } catch {
    return false
  }
}
