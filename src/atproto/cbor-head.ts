/** How items of CBOR begin (RFC 8949 §3). */

/** The major types of CBOR (§3.1), where they stand in the first byte. */
export const UNSIGNED = 0x00
export const NEGATIVE = 0x20
export const BYTES = 0x40
export const TEXT = 0x60
export const ARRAY = 0x80
export const MAP = 0xa0

/** The longest beginning: a type, and eight bytes of an argument. */
export const HEAD_BYTES_MAX = 9

/** Writes the beginning of an item: its type and its length, or number. @returns where it ends */
export function writeHead(out: Buffer, at: number, type: number, count: number): number {
  if (count < 24) {
    out[at] = type | count
    return at + 1
  }
  if (count < 0x100) {
    out[at] = type | 24
    out[at + 1] = count
    return at + 2
  }
  if (count < 0x10000) {
    out[at] = type | 25
    return out.writeUInt16BE(count, at + 1)
  }
  if (count < 0x100000000) {
    out[at] = type | 26
    return out.writeUInt32BE(count, at + 1)
  }
  out[at] = type | 27
  return out.writeBigUInt64BE(BigInt(count), at + 1)
}

/** How long the beginning of a string, an array or a map of so many is. */
export function headBytes(count: number): number {
  if (count < 24) return 1
  if (count < 0x100) return 2
  return count < 0x10000 ? 3 : 5
}
