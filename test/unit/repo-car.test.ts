import { describe, expect, it } from 'vitest'
import { CarReader, readCar } from '../../src/atproto/repo/car.js'
import { cidTextAt } from '../../src/atproto/repo/cid.js'
import { type Block, blockOf, cidOf, RAW } from '../support/repo/block.js'
import { carOf, framed, headerOf, section, varint } from '../support/repo/car.js'
import { array, canonicalMap, link, text, uint } from '../support/repo/cbor.js'
import { cut, failureOf } from './repo-support.js'
import { seeded } from './seeded.js'

const SIZES = [0, 1, 90, 91, 92, 5_000, 16_384, 70_000, 2 ** 21 - 1]
const BLOCKS = SIZES.map((size, index) => blockOf(Buffer.alloc(size, index)))
const [FIRST] = BLOCKS as [Block]
const CAR = carOf([FIRST.cid], BLOCKS)
const HEADER = framed(headerOf([FIRST.cid]))

const textOf = ({ cid }: Block) => cidTextAt(cid, 0)
const afterHeader = (...bytes: Uint8Array[]) => Buffer.concat([HEADER, ...bytes])

/** Where the header ends, and each block. */
function endsOf(blocks: readonly Block[]): number[] {
  const ends = [HEADER.length]
  for (const block of blocks) ends.push(ends.at(-1)! + section(block).length)
  return ends
}

/** What a reader makes of it, piece by piece. */
function blocksIn(pieces: Iterable<Buffer>): {
  roots: readonly string[]
  blocks: [string, number, string][]
} {
  const blocks: [string, number, string][] = []
  const reader = new CarReader(({ bytes, cidAt, end, offset }) =>
    blocks.push([cidTextAt(bytes, cidAt), offset, bytes.toString('latin1', cidAt + 36, end)]),
  )
  for (const piece of pieces) reader.push(piece)
  return { roots: reader.end(), blocks }
}

describe('a CAR', () => {
  it('gives out its blocks, however it is cut', () => {
    const whole = blocksIn([CAR])
    expect(whole.roots).toEqual([textOf(FIRST)])
    expect(whole.blocks.map(([cid, , data]) => [cid, data.length])).toEqual(
      BLOCKS.map((block) => [textOf(block), block.bytes.length]),
    )
    expect(whole.blocks.map(([, offset]) => offset)).toEqual(endsOf(BLOCKS).slice(0, -1))
    const random = seeded(1)
    for (const lengthMax of [10, 300, 20_000, 1_000_000, 5_000_000]) {
      expect(blocksIn(cut(CAR, random, lengthMax))).toEqual(whole)
    }
    expect(readCar(CAR).blocks.size).toBe(BLOCKS.length)
    expect(readCar(CAR).roots).toEqual(whole.roots)
  })

  it('may have no root and no blocks, or several roots', () => {
    expect(readCar(carOf([], [])).roots).toEqual([])
    const roots = BLOCKS.map(({ cid }) => cid)
    expect(readCar(carOf(roots, [])).roots).toEqual(BLOCKS.map(textOf))
  })

  it('may have a block twice, and blocks of raw bytes', () => {
    const raw = blockOf(Buffer.from('raw'), { codec: RAW })
    const { blocks } = readCar(carOf([], [raw, FIRST, raw, FIRST]))
    expect(blocks.size).toBe(2)
    expect(Buffer.from(blocks.read(textOf(raw))).toString()).toBe('raw')
    expect(blocks.bytes).toBe(3)
  })

  it('is not whole when it ends anywhere but behind a block', async () => {
    const small = carOf([FIRST.cid], BLOCKS.slice(0, 4))
    const ends = endsOf(BLOCKS.slice(0, 4))
    for (let length = 0; length <= small.length; length += 1) {
      const expected = ends.includes(length) ? 'none' : 'incomplete-car'
      expect(await failureOf(() => readCar(small.subarray(0, length)))).toBe(expected)
    }
  })

  const HUGE = Buffer.from('ffffffffffffffff7f', 'hex')
  it.each([
    ['no CAR but JSON', Buffer.from('{"error":"x"}'), 'incomplete-car'],
    ['no CAR but HTML', Buffer.from(`<html>${' '.repeat(100)}`), 'bad-response'],
    ['a CAR of version 2', framed(canonicalMap({ version: uint(2) })), 'bad-response'],
    [
      'a version that is text',
      framed(canonicalMap({ version: text('1'), roots: array([]) })),
      'bad-response',
    ],
    ['a header without roots', framed(canonicalMap({ version: uint(1) })), 'bad-response'],
    [
      'a root that is text',
      framed(canonicalMap({ version: uint(1), roots: array([text('a')]) })),
      'bad-response',
    ],
    ['an empty header', varint(0), 'bad-response'],
    ['a header of null', framed(Buffer.from([0xf6])), 'bad-response'],
    ['a header of deep arrays', framed(Buffer.alloc(4_000, 0x81)), 'bad-response'],
    ['a header of a gibibyte', varint(2 ** 30), 'bad-response'],
    ['thousands of roots', framed(headerOf(Array(5_000).fill(FIRST.cid))), 'bad-response'],
    ['a header longer than 2^62', HUGE, 'bad-response'],
    ['a block longer than 2^62', afterHeader(HUGE), 'body-too-large'],
    ['a length without end', afterHeader(Buffer.alloc(100, 0xff)), 'bad-response'],
    ['a length that is written too long', afterHeader(Buffer.from('a400', 'hex'), FIRST.cid), 'bad-response'],
    ['a section of nothing', afterHeader(varint(0)), 'bad-response'],
    ['a section without room for a CID', afterHeader(framed(FIRST.cid.subarray(0, 35))), 'bad-response'],
    ['a block of 2 MiB', carOf([], [blockOf(Buffer.alloc(2 ** 21))]), 'body-too-large'],
    ['the announcement of a block of 2 MiB', afterHeader(varint(2 ** 21 + 36)), 'body-too-large'],
    ['a block of another CID', afterHeader(section({ cid: FIRST.cid, bytes: text('a') })), 'cid-mismatch'],
    ['a CID of version 0', afterHeader(framed(FIRST.cid.subarray(2), text('abc'))), 'bad-response'],
    ['a CID of another kind of data', carOf([], [blockOf(text('a'), { codec: 0x70 })]), 'bad-response'],
    ['a CID by another hash', carOf([], [blockOf(text('a'), { hashing: 0x16 })]), 'bad-response'],
    [
      'a CID by the identity',
      carOf([], [{ cid: cidOf(text('a'), { hashing: 0, digest: Buffer.alloc(32) }), bytes: text('a') }]),
      'bad-response',
    ],
  ] as const)('is refused: %s', async (_, bytes, failure) => {
    expect(await failureOf(() => readCar(bytes))).toBe(failure)
    const byByte = Array.from({ length: Math.min(bytes.length, 5_000) }, (_, at) =>
      bytes.subarray(at, at + 1),
    )
    expect(['incomplete-car', failure]).toContain(await failureOf(() => blocksIn(byByte.map(Buffer.from))))
  })

  it('has each bit checked', async () => {
    const small = carOf([FIRST.cid], [blockOf(text('a')), blockOf(link(FIRST.cid))])
    for (let at = HEADER.length; at < small.length; at += 1) {
      const changed = Buffer.from(small)
      changed[at]! ^= 1 << (at % 8)
      expect(await failureOf(() => readCar(changed))).not.toBe('none')
    }
  })

  it('takes no more room than has come, whatever it announces', () => {
    const before = process.memoryUsage().arrayBuffers
    const readers = Array.from({ length: 200 }, () => new CarReader(() => {}))
    for (const reader of readers) {
      reader.push(afterHeader(varint(2 ** 21), FIRST.cid))
    }
    expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(200 * 64 * 1024)
  })
})
