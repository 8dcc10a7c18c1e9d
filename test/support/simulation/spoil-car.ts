import { decode, fromBytes, toBytes } from '@atcute/cbor'
import { type CidLink, decodeFirst, fromString } from '@atcute/cid'
import { carOf } from './car.js'
import { type Block, blockOf, textOf } from './tree.js'

/** CARs that are right in themselves, and not what they should be. */

interface OpenCar {
  /** Null: it names none. */
  readonly root: string | null
  readonly blocks: readonly Block[]
}

/** @param car with the signed commit as its root, or of blocks only */
export function spoiledCar(kind: 'missing-block' | 'bad-signature', car: Buffer): Buffer {
  const { root, blocks } = open(car)
  const commit = blocks.find(({ cid }) => textOf(cid) === root)
  if (kind === 'bad-signature') {
    const forged = badlySigned(commit!)
    return carOf(
      forged.cid,
      blocks.map((block) => (block === commit ? forged : block)),
    )
  }
  const missing = commit ? (decode(commit.bytes) as { data: CidLink }).data.$link : textOf(blocks[0]!.cid)
  const left = blocks.filter(({ cid }) => textOf(cid) !== missing)
  return carOf(root === null ? null : fromString(root), left)
}

function badlySigned({ bytes }: Block): Block {
  const commit = decode(bytes) as { sig: ReturnType<typeof toBytes> }
  const signature = Uint8Array.from(fromBytes(commit.sig))
  signature[0]! ^= 1
  return blockOf({ ...commit, sig: toBytes(signature) })
}

function open(car: Buffer): OpenCar {
  const [header, ...sections] = sectionsOf(car)
  const { roots } = decode(header!) as { roots: CidLink[] }
  const blocks = sections.map((section) => {
    const [cid, bytes] = decodeFirst(section)
    return { cid, bytes }
  })
  return { root: roots[0]?.$link ?? null, blocks }
}

function* sectionsOf(car: Buffer): Generator<Buffer> {
  for (let at = 0; at < car.length; ) {
    let length = 0
    for (let shift = 0; ; shift += 7) {
      const byte = car[at++]!
      length += (byte & 0x7f) << shift
      if (byte < 0x80) break
    }
    yield car.subarray(at, at + length)
    at += length
  }
}
