/**
 * CIDs as repos use them: version 1, DAG-CBOR or raw, SHA-256; 36 bytes, or 59 characters. The libraries make an
 * object of each, which costs more than all else that is done with most of them.
 */

export const CID_BYTES = 36

/** How much longer a CID is inside of DAG-CBOR: the tag, the head of a byte string, and a zero. */
const LINK_PREFIX = [0xd8, 0x2a, 0x58, 0x25, 0x00]
export const LINK_BYTES = LINK_PREFIX.length + CID_BYTES

export const CID_CHARACTERS = 59

const VERSION = 1
const DAG_CBOR = 0x71
const RAW = 0x55
const SHA_256 = 0x12
const DIGEST_BYTES = 32

const DIGITS = Buffer.from('abcdefghijklmnopqrstuvwxyz234567')
const VALUES = new Uint8Array(128).fill(0xff)
for (const [value, digit] of DIGITS.entries()) VALUES[digit] = value

const LETTER_B = 0x62

/** Whether a CID as repos use them begins here. */
export function isCidAt(bytes: Uint8Array, at: number): boolean {
  return (
    at + CID_BYTES <= bytes.length &&
    bytes[at] === VERSION &&
    (bytes[at + 1] === DAG_CBOR || bytes[at + 1] === RAW) &&
    bytes[at + 2] === SHA_256 &&
    bytes[at + 3] === DIGEST_BYTES
  )
}

/** Whether the CID is that of DAG-CBOR, as commits, nodes and records are. */
export function isDagCborAt(bytes: Uint8Array, at: number): boolean {
  return bytes[at + 1] === DAG_CBOR
}

/** Whether a link begins here: DAG-CBOR's tag 42 with a CID as repos use them. */
export function isLinkAt(bytes: Uint8Array, at: number): boolean {
  for (let index = 0; index < LINK_PREFIX.length; index += 1) {
    if (bytes[at + index] !== LINK_PREFIX[index]) return false
  }
  return isCidAt(bytes, at + LINK_PREFIX.length)
}

const TEXT = Buffer.alloc(CID_CHARACTERS)

/** The CID that begins here, as text. */
export function cidTextAt(bytes: Uint8Array, at: number): string {
  writeCidText(bytes, at, TEXT, 0)
  return TEXT.toString('latin1')
}

/** Writes the CID that begins here as text: base32 with its mark. @returns where the text ends */
export function writeCidText(bytes: Uint8Array, at: number, into: Uint8Array, intoAt: number): number {
  let to = intoAt
  into[to++] = LETTER_B
  // Five bytes are eight digits; of the last byte there are two.
  const last = at + CID_BYTES - 1
  for (let from = at; from < last; from += 5) {
    const a = bytes[from]!
    const b = bytes[from + 1]!
    const c = bytes[from + 2]!
    const d = bytes[from + 3]!
    const e = bytes[from + 4]!
    into[to++] = DIGITS[a >> 3]!
    into[to++] = DIGITS[((a & 7) << 2) | (b >> 6)]!
    into[to++] = DIGITS[(b >> 1) & 31]!
    into[to++] = DIGITS[((b & 1) << 4) | (c >> 4)]!
    into[to++] = DIGITS[((c & 15) << 1) | (d >> 7)]!
    into[to++] = DIGITS[(d >> 2) & 31]!
    into[to++] = DIGITS[((d & 3) << 3) | (e >> 5)]!
    into[to++] = DIGITS[e & 31]!
  }
  into[to++] = DIGITS[bytes[last]! >> 3]!
  into[to++] = DIGITS[(bytes[last]! & 7) << 2]!
  return to
}

/** Writes the bytes of a CID given as text. @returns whether the text is one */
export function writeCidBytes(text: string, into: Uint8Array): boolean {
  if (text.length !== CID_CHARACTERS || text.charCodeAt(0) !== LETTER_B) return false
  let bits = 0
  let held = 0
  let to = 0
  for (let index = 1; index < CID_CHARACTERS; index += 1) {
    const value = VALUES[text.charCodeAt(index)] ?? 0xff
    if (value === 0xff) return false
    held = ((held << 5) | value) & 0xfff
    bits += 5
    if (bits >= 8) {
      bits -= 8
      into[to++] = held >> bits
    }
  }
  // Two bits are left over, and say nothing.
  return (held & 3) === 0 && isCidAt(into, 0)
}
