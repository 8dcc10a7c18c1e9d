import { hash } from 'node:crypto'
import { fromString } from '@atcute/cid'
import { encodeJson } from './json-cbor.js'
import { CID_BYTES, cidTextAt } from './repo/cid.js'

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

/**
 * The CID a record must have, computed from its JSON form (`$link` and `$bytes` as in the atproto data model):
 * DAG-CBOR, SHA-256, CIDv1, base32.
 * @returns null when the value has no DAG-CBOR form, as a number beyond 2^53 has none
 */
export function cidOfJson(value: object): string | null {
  let bytes: Uint8Array
  try {
    bytes = encodeJson(value)
  } catch {
    return null
  }
  // As a string, because a buffer for each digest costs more than the digest.
  CID.write(hash('sha256', bytes, 'binary'), CID_HEAD.length, 'binary')
  return cidTextAt(CID, 0)
}

/** Version 1, DAG-CBOR, SHA-256 of 32 bytes. */
const CID_HEAD = Buffer.from('01711220', 'hex')

/** The last CID computed, for as long as it takes to spell it. */
const CID = Buffer.concat([CID_HEAD], CID_BYTES)

/** Whether the text is a CID as atproto uses them: version 1, base32, SHA-256. */
export function isCid(text: string): boolean {
  try {
    fromString(text)
    return true
  } catch {
    return false
  }
}
