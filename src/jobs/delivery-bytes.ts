import { fromBytes } from '@atcute/cbor'
import { fromString } from '@atcute/cid'
import { TEXT } from '../atproto/cbor-head.js'

/** DAG-CBOR as bytes: reading strings where they were written, and the bytes that links and `$bytes` stand for. */

const CID_BYTES = 36

/** A value that has no form in DAG-CBOR. */
export class Unencodable extends Error {
  override readonly name = 'Unencodable'
}

/** A short string, head included. */
export function textItem(text: string): Buffer {
  return Buffer.concat([Buffer.of(TEXT | text.length), Buffer.from(text)])
}

/** Compares two keys where they were written. Their heads come first: so a shorter one is less. */
export function compareKeys(out: Buffer, one: number, other: number): number {
  const length = lengthAt(out, one)
  for (let index = 0; index < length; index += 1) {
    const difference = out[one + index]! - out[other + index]!
    if (difference !== 0) return difference
  }
  return 0
}

/** The length of a string as it was written, head included. */
function lengthAt(out: Buffer, at: number): number {
  const head = out[at]! & 0x1f
  if (head < 24) return 1 + head
  if (head === 24) return 2 + out[at + 1]!
  return head === 25 ? 3 + out.readUInt16BE(at + 1) : 5 + out.readUInt32BE(at + 1)
}

/** The string that was written here; null if it is something else. */
export function textAt(out: Buffer, at: number): string | null {
  if ((out[at]! & 0xe0) !== TEXT) return null
  const length = lengthAt(out, at)
  const head = out[at]! & 0x1f
  const before = head < 24 ? 1 : head === 24 ? 2 : head === 25 ? 3 : 5
  return out.toString('utf8', at + before, at + length)
}

export function startsWith(out: Buffer, at: number, bytes: Buffer): boolean {
  for (let index = 0; index < bytes.length; index += 1) if (out[at + index] !== bytes[index]) return false
  return true
}

export function bytesOfLink(text: string): Uint8Array {
  try {
    const { bytes } = fromString(text)
    if (bytes.length === CID_BYTES) return bytes
  } catch {
    // No CID.
  }
  throw new Unencodable()
}

export function bytesOfBase64(text: string): Uint8Array {
  try {
    return fromBytes({ $bytes: text })
  } catch {
    throw new Unencodable()
  }
}
