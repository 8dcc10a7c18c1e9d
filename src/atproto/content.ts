import { hash } from 'node:crypto'
import { encode } from '@atcute/cbor'
import { CODEC_DCBOR, toString as cidToString, fromDigest, fromString } from '@atcute/cid'

/**
 * The CID a record must have, computed from its JSON form (`$link` and `$bytes` as in the atproto data model):
 * DAG-CBOR, SHA-256, CIDv1, base32.
 * @returns null when the value has no DAG-CBOR form, as a number beyond 2^53 has none
 */
export function cidOfJson(value: object): string | null {
  let bytes: Uint8Array
  try {
    bytes = encode(value)
  } catch {
    return null
  }
  return cidToString(fromDigest(CODEC_DCBOR, hash('sha256', bytes, 'buffer')))
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
