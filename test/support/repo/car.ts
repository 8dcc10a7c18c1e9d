import type { Block } from './block.js'
import { array, canonicalMap, link, uint } from './cbor.js'

/** CAR files of version 1 (https://ipld.io/specs/transport/car/carv1), of any blocks in any order. */

export function carOf(roots: readonly Uint8Array[], blocks: Iterable<Block>): Buffer {
  return Buffer.concat([framed(headerOf(roots)), ...Array.from(blocks, section)])
}

export function headerOf(roots: readonly Uint8Array[], version = 1): Uint8Array {
  return canonicalMap({ roots: array(roots.map(link)), version: uint(version) })
}

/** A block as it stands in a CAR. */
export const section = ({ cid, bytes }: Block): Uint8Array => framed(cid, bytes)

/** Behind its length. */
export function framed(...parts: readonly Uint8Array[]): Uint8Array {
  return Buffer.concat([varint(parts.reduce((sum, { length }) => sum + length, 0)), ...parts])
}

export function varint(number: number): Uint8Array {
  const bytes: number[] = []
  let rest = number
  for (; rest >= 0x80; rest = Math.floor(rest / 0x80)) bytes.push((rest % 0x80) | 0x80)
  bytes.push(rest)
  return Uint8Array.from(bytes)
}
