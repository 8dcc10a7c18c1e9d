import { mkdtemp, readdir, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { BlockIndex } from '../../src/atproto/repo/block-index.js'
import { cidTextAt } from '../../src/atproto/repo/cid.js'
import { Spool } from '../../src/atproto/repo/spool.js'
import { type Block, blockOf, RAW } from '../support/repo/block.js'
import { carOf } from '../support/repo/car.js'
import { text } from '../support/repo/cbor.js'
import { cut, failureOf } from './repo-support.js'
import { seeded } from './seeded.js'

const textOf = ({ cid }: Block) => cidTextAt(cid, 0)
const ABSENT = textOf(blockOf(text('absent')))

let directory: string
beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'spool-'))
})
afterAll(() => rm(directory, { recursive: true }))

const openSpool = (maxBytes = 2 ** 30) => Spool.open({ directory: join(directory, 'below'), maxBytes })

/** Blocks of all sizes, most of them small. */
function someBlocks(count: number, random: () => number): Block[] {
  return Array.from({ length: count }, (_, index) => {
    const size = random() < 0.01 ? random() * 500_000 : random() * (random() < 0.1 ? 30_000 : 1_000)
    return blockOf(Buffer.concat([Buffer.from(`${index}`), Buffer.alloc(Math.floor(size), index)]))
  })
}

describe('a spool', () => {
  it.each([
    ['that needs no file', 20, 1_000],
    ['that comes in small chunks', 2_000, 3_000],
    ['that comes in large chunks', 2_000, 3_000_000],
    ['that comes in chunks of all sizes', 3_000, 300_000],
  ])('gives back every block of a CAR %s', async (_, count, chunk) => {
    const random = seeded(count)
    const blocks = someBlocks(count, random)
    const car = carOf([blocks[0]!.cid], blocks)
    await using spool = await openSpool(car.length)
    for (const piece of cut(car, random, chunk)) {
      // Whoever sends may use its memory again.
      const lent = Buffer.from(piece)
      await spool.write(lent)
      lent.fill(0)
    }
    expect(await spool.finish()).toEqual([textOf(blocks[0]!)])
    expect(spool.bytes).toBe(car.length)
    expect(spool.blocks).toBe(count)
    const shuffled = [...blocks].sort((one, other) => Buffer.compare(one.cid, other.cid))
    for (const block of [...shuffled, ...blocks, ...blocks.toReversed()]) {
      expect(spool.has(textOf(block))).toBe(true)
      expect(Buffer.compare(spool.read(textOf(block)), block.bytes)).toBe(0)
    }
    const [first, second] = [spool.read(textOf(blocks[0]!)), spool.read(textOf(blocks[1]!))]
    expect([first, second]).toEqual([blocks[0]!.bytes, blocks[1]!.bytes])
    expect(spool.has(ABSENT)).toBe(false)
    expect(await failureOf(() => spool.read(ABSENT))).toBe('incomplete-car')
  })

  it('tells a block from one of the same bytes that is of another kind', async () => {
    const block = blockOf(text('a'))
    await using spool = await openSpool()
    await spool.write(carOf([], [block]))
    await spool.finish()
    const raw = textOf(blockOf(text('a'), { codec: RAW }))
    expect(spool.has(textOf(block))).toBe(true)
    for (const cid of [raw, '', 'b', textOf(block).toUpperCase(), `${textOf(block)}a`, 'ü'.repeat(59)]) {
      expect(spool.has(cid)).toBe(false)
    }
  })

  it('takes no more than it may', async () => {
    const car = carOf([], [blockOf(Buffer.alloc(1_000))])
    await using spool = await openSpool(car.length - 1)
    await spool.write(car.subarray(0, 500))
    expect(await failureOf(() => spool.write(car.subarray(500)))).toBe('body-too-large')
  })

  it('is not read before it is whole', async () => {
    const [block, other] = someBlocks(2, seeded(1)) as [Block, Block]
    const car = carOf([block.cid], [block, other])
    await using spool = await openSpool()
    await spool.write(car.subarray(0, -1))
    expect(() => spool.has(textOf(block))).toThrow('not open')
    expect(await failureOf(() => spool.finish())).toBe('incomplete-car')
    expect(() => spool.has(textOf(block))).toThrow('not open')
  })

  it('leaves no file behind, nor one with a name while it is there', async () => {
    const blocks = someBlocks(500, seeded(2)).concat(blockOf(Buffer.alloc(2_000_000)))
    const spool = await openSpool()
    await spool.write(carOf([], blocks))
    await spool.finish()
    if (process.platform !== 'win32') expect(await readdir(join(directory, 'below'))).toEqual([])
    await spool[Symbol.asyncDispose]()
    await spool[Symbol.asyncDispose]()
    expect(await readdir(join(directory, 'below'))).toEqual([])
    expect(() => spool.read(textOf(blocks[0]!))).toThrow('not open')
  })
})

describe('the index of a spool', () => {
  it('finds each of many blocks, and no others', () => {
    const digest = (number: number) => {
      const cid = Buffer.alloc(36)
      // As a host may choose them: alike but for a few bits.
      cid.writeUInt32LE(number % 1_000, 4)
      cid.writeUInt32LE(Math.floor(number / 1_000), 8)
      return cid
    }
    const index = new BlockIndex()
    const count = 200_000
    for (let number = 0; number < count; number += 1) index.add(digest(number), 0, number * 2 ** 24)
    for (let number = 0; number < count; number += 1) index.add(digest(number), 0, 1)
    expect(index.size).toBe(count)
    for (let number = 0; number < count; number += 1) {
      if (index.find(digest(number), 0) !== number * 2 ** 24) throw new Error(`${number} is not there`)
    }
    for (let number = count; number < 2 * count; number += 1) {
      if (index.find(digest(number), 0) !== -1) throw new Error(`${number} is there`)
    }
  })
})
