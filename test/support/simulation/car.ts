import { encode, toCidLink } from '@atcute/cbor'
import type { Cid } from '@atcute/cid'
import type { Block } from './tree.js'

/** A CAR file of version 1 (https://ipld.io/specs/transport/car/carv1). */
export function carOf(root: Cid | null, blocks: Iterable<Block>): Buffer {
  const header = encode({ version: 1, roots: root ? [toCidLink(root)] : [] })
  const parts: Uint8Array[] = [varint(header.length), header]
  for (const { cid, bytes } of blocks) {
    parts.push(varint(cid.bytes.length + bytes.length), cid.bytes, bytes)
  }
  return Buffer.concat(parts)
}

function varint(number: number): Uint8Array {
  const bytes: number[] = []
  let rest = number
  for (; rest >= 0x80; rest = Math.floor(rest / 0x80)) bytes.push((rest % 0x80) | 0x80)
  bytes.push(rest)
  return Uint8Array.from(bytes)
}
