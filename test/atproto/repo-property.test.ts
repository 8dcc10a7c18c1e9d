import { rm } from 'node:fs/promises'
import { isDeepStrictEqual } from 'node:util'
import { afterAll, describe, expect, it } from 'vitest'
import { cidOfJson } from '../../src/atproto/content.js'
import { Failure } from '../../src/atproto/outcome.js'
import { readCar } from '../../src/atproto/repo/car.js'
import { type KeyRange, rangesOf } from '../../src/atproto/repo/keys.js'
import { walk } from '../../src/atproto/repo/walk.js'
import { type Block, textOf } from '../support/repo/block.js'
import { carOf } from '../support/repo/car.js'
import { k256, p256 } from '../support/repo/commit.js'
import { CountingBlocks } from '../support/repo/counting-blocks.js'
import { type Base, baseOf, type Mutant, mutate } from '../support/repo/mutants.js'
import { COLLECTIONS, makeRepo, randomKey } from '../support/repo/random-repo.js'
import { isNode, type TreeNode } from '../support/repo/tree.js'
import { isRead, isRecord } from '../support/repo/truth.js'
import { readBySpool, readInMemory, SPOOL_DIRECTORY } from '../support/repo/verify.js'
import { Random } from '../support/simulation/random.js'

/**
 * Random repos with one thing changed: they are read as they are, or refused, and never taken for another set of
 * records. `MUTATIONS` gives another number of changes than usual, `SEED` other ones.
 */

const MUTATIONS = Number(process.env.MUTATIONS ?? 2_000)
const SEED = Number(process.env.SEED ?? 1)

afterAll(() => rm(SPOOL_DIRECTORY, { recursive: true, force: true }))

/** Records of each repo, and its share of the mutations: what takes longer is changed less often. */
const BASES: readonly (readonly [size: number, share: number])[] = [
  ...[0, 1, 2, 3, 5, 8, 12, 20, 30, 45].map((size) => [size, 7] as const),
  ...[70, 100, 150, 200].map((size) => [size, 5] as const),
  ...[300, 450, 700].map((size) => [size, 2.5] as const),
  ...[1_000, 2_000, 5_000].map((size) => [size, 0.4] as const),
]
const SHARES = BASES.reduce((sum, [, share]) => sum + share, 0)

const RANGES = 30

/** A long run must not end for its length. */
const TIMEOUT_MS = 60_000 + 100 * MUTATIONS

const bases = new Map<number, Promise<Base>>()

function baseNumber(index: number): Promise<Base> {
  const made = bases.get(index) ?? makeBase(index)
  bases.set(index, made)
  return made
}

async function makeBase(index: number): Promise<Base> {
  const random = new Random(SEED, index)
  const key = await (random.chance(0.5) ? k256 : p256)(`key ${SEED} ${index}`)
  return baseOf(await makeRepo(random, key, BASES[index]![0]))
}

/** Checks JSON once for each of its records. */
class Meanings {
  readonly #made: ReadonlyMap<string, string>
  readonly #checked = new Map<string, string | null>()

  constructor({ repo }: Base) {
    this.#made = new Map(Array.from(repo.records.values(), ({ cid, json }) => [cid, json]))
  }

  /** Whether a record is read as what its bytes mean, and as nothing at all only where they mean nothing. */
  isRight(record: Block, cid: string, json: string | null): boolean {
    if (this.#checked.get(cid) === json) return true
    const made = this.#made.get(cid)
    const isRight =
      json === null
        ? !isRecord(record.bytes)
        : cidOfJson(JSON.parse(json)) === cid &&
          (made === undefined || isDeepStrictEqual(JSON.parse(json), JSON.parse(made)))
    if (isRight) this.#checked.set(cid, json)
    return isRight
  }
}

/** What comes of reading: the records, or the class of the failure. */
async function outcomeOf<T>(reading: () => T | Promise<T>): Promise<T | string> {
  try {
    return await reading()
  } catch (error) {
    if (error instanceof Failure) return error.failure
    throw error
  }
}

function randomRanges(random: Random, keys: readonly string[]): KeyRange[] {
  if (random.chance(0.5)) {
    const names = Array.from({ length: random.below(4) }, () => random.pick([...COLLECTIONS, ...PREFIXES]))
    return rangesOf(names)
  }
  const edge = () => random.pick([random.pick([...keys, '']), randomKey(random), '', '~'])
  const edges = [...new Set(Array.from({ length: 2 + 2 * random.below(4) }, edge))].toSorted()
  return edges.flatMap((from, index) => {
    const to = edges[index + 1]
    return index % 2 === 0 && to !== undefined ? [{ from, to }] : []
  })
}

const PREFIXES = ['com.example.*', 'com.example.a.*', 'app.bsky.*', 'com.*', 'app.bsky.feed.like.*']

const isIn = (ranges: readonly KeyRange[], key: string): boolean =>
  ranges.some(({ from, to }) => from <= key && key < to)

const within = (ranges: readonly KeyRange[], truth: ReadonlyMap<string, string>): [string, string][] =>
  [...truth].filter(([key]) => isIn(ranges, key))

/** The nodes that may hold keys of the ranges, going by the keys to either side of each. */
function nodesIn(ranges: readonly KeyRange[], node: TreeNode, below = '', above = '\x7f'): TreeNode[] {
  const keys = node.entries.map(({ key }) => String(key))
  const children = [node.left, ...node.entries.map(({ right }) => right)].flatMap((child, index) => {
    const [from, to] = [keys[index - 1] ?? below, keys[index] ?? above]
    const isWanted = isNode(child) && ranges.some((range) => range.from < to && range.to > from)
    return isWanted ? nodesIn(ranges, child, from, to) : []
  })
  return [node, ...children]
}

async function check(mutant: Mutant, random: Random, base: Base, meanings: Meanings): Promise<void> {
  const { car, truth, failures, blocks } = mutant
  const expected = {
    did: base.repo.did,
    signingKey: base.repo.key.did(),
    now: Date.UTC(2026, 0, 1),
    lastRev: base.repo.rev,
  }
  const chunk = random.pick([Number.POSITIVE_INFINITY, 65_536, 1_000, 100 + random.below(1_000)])
  const outcomes = [
    await outcomeOf(() => readBySpool(car, expected, chunk)),
    await outcomeOf(() => readInMemory(car, expected)),
  ]
  const means = (cid: string, json: string | null) => meanings.isRight(blocks.get(cid)!, cid, json)
  for (const outcome of outcomes) {
    if (typeof outcome === 'string') expect(failures).toContain(outcome)
    else expect(truth !== null && isRead(truth, outcome.records, means)).toBe(true)
  }
  const [bySpool, inMemory] = outcomes.map((outcome) => (typeof outcome === 'string' ? outcome : 'read'))
  expect(bySpool).toBe(inMemory)
  await checkPart(mutant, randomRanges(random, [...base.truth.keys()]))
}

/** A walk of a part gives that part; of a tree that is wrong elsewhere, nothing but what may stand there. */
async function checkPart({ blocks, data, truth }: Mutant, ranges: readonly KeyRange[]): Promise<void> {
  if (!data) return
  const { blocks: all } = readCar(carOf([data], blocks.values()))
  const walked = await outcomeOf(() =>
    Array.from(walk(all, textOf(data), ranges), ({ key, cid }): [string, string] => [key, cid]),
  )
  if (truth) return expect(walked).toEqual(within(ranges, truth))
  if (typeof walked === 'string') return expect(['bad-tree', 'incomplete-car']).toContain(walked)
  const keys = walked.map(([key]) => key)
  expect(keys.filter((key) => !isIn(ranges, key))).toEqual([])
  expect(keys).toEqual([...new Set(keys)].toSorted())
}

describe('a random repo', () => {
  it.each(
    BASES.map(([size, share], index) => [size, Math.ceil((MUTATIONS * share) / SHARES), index] as const),
  )(
    'of %d records is read as it is, or refused, with any of %d changes',
    async (_size, mutations, index) => {
      const base = await baseNumber(index)
      const foreign = await baseNumber((index + 1) % 10)
      const meanings = new Meanings(base)
      for (let number = 0; number < mutations; number++) {
        const random = new Random(SEED, index, number)
        const mutant = await mutate(random, base, foreign)
        await check(mutant, random, base, meanings).catch((error: Error) => {
          throw new Error(`change ${number}: ${mutant.what}: ${error.message}`, { cause: error })
        })
      }
    },
    TIMEOUT_MS,
  )

  it.each(BASES.map(([size], index) => [size, index] as const))(
    'of %d records is read in parts',
    async (_size, index) => {
      const { repo, tree, truth } = await baseNumber(index)
      const { blocks } = readCar(carOf([repo.commit.cid], repo.blocks.values()))
      for (let number = 0; number < RANGES; number++) {
        const random = new Random(SEED, index, number, 1)
        const ranges = randomRanges(random, [...truth.keys()])
        const counting = new CountingBlocks(blocks)
        const walked = Array.from(walk(counting, textOf(repo.data), ranges), ({ key, cid }) => [key, cid])
        expect(isDeepStrictEqual(walked, within(ranges, truth)), JSON.stringify(ranges)).toBe(true)
        // Only the nodes that are needed are read, so the others need not be there.
        expect(counting.reads).toBe(nodesIn(ranges, tree.root).length)
      }
    },
    TIMEOUT_MS,
  )

  it('gives those of the collections that are asked for', async () => {
    const { repo, truth } = await baseNumber(13)
    const { blocks } = readCar(carOf([repo.commit.cid], repo.blocks.values()))
    for (const collection of COLLECTIONS) {
      const wanted = [...truth.keys()].filter((key) => key.startsWith(`${collection}/`))
      expect(wanted.length).toBeGreaterThan(5)
      const keys = Array.from(walk(blocks, textOf(repo.data), rangesOf([collection])), ({ key }) => key)
      expect(keys).toEqual(wanted)
    }
    for (const prefix of PREFIXES) {
      const wanted = [...truth.keys()].filter((key) => key.startsWith(prefix.slice(0, -1)))
      const keys = Array.from(walk(blocks, textOf(repo.data), rangesOf([prefix])), ({ key }) => key)
      expect(keys).toEqual(wanted)
    }
  })
})
