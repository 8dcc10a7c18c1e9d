import { readdir, rm } from 'node:fs/promises'
import { afterAll, describe, expect, it, test, vi } from 'vitest'
import { cidOfJson } from '../../src/atproto/content.js'
import type { Blocks } from '../../src/atproto/repo/blocks.js'
import { readCar } from '../../src/atproto/repo/car.js'
import { checkCommit } from '../../src/atproto/repo/commit.js'
import { jsonOfCbor } from '../../src/atproto/repo/data.js'
import { missingNodes, walk } from '../../src/atproto/repo/walk.js'
import { BAD_CARS, FINE_CARS } from '../support/repo/bad-cars.js'
import { BAD_COMMITS, FINE_COMMITS } from '../support/repo/bad-commits.js'
import { beneath, MISWRITTEN } from '../support/repo/bad-nodes.js'
import { READABLE, UNREADABLE } from '../support/repo/bad-records.js'
import {
  entry,
  INCOMPLETE,
  leaf,
  MALFORMED,
  MISSPELT,
  node,
  passThrough,
  RECORD,
  UNUSUAL,
  WELL_SPELT,
} from '../support/repo/bad-trees.js'
import { type Block, blockOf, cidOf, textOf } from '../support/repo/block.js'
import { carOf } from '../support/repo/car.js'
import { commitOf, k256, p256 } from '../support/repo/commit.js'
import { CountingBlocks } from '../support/repo/counting-blocks.js'
import { COLLECTION, keyOn, keysOn, TOP_LAYER } from '../support/repo/keys.js'
import { encodeNode, layerOf, putTree, type TreeNode } from '../support/repo/tree.js'
import { failureOf, openSpool, readBySpool, readInMemory, SPOOL_DIRECTORY } from '../support/repo/verify.js'

const MiB = 1024 * 1024
const DID = `did:plc:${'a'.repeat(24)}`
const REV = '3jzfcijpj2z2a'
/** Some time after that rev. */
const NOW = Date.UTC(2026, 0, 1)

afterAll(() => rm(SPOOL_DIRECTORY, { recursive: true, force: true }))

/** No walk of a small tree needs more nodes than this, and no refusal. */
const READS_MAX = 20

/** Everything that a CAR of a tree holds, and where the tree begins. */
function blocksOf(tree: TreeNode): { blocks: CountingBlocks; root: string; count: number } {
  const made: Block[] = [RECORD]
  const root = putTree(tree, made)
  const { blocks } = readCar(carOf([root], made))
  return { blocks: new CountingBlocks(blocks), root: textOf(root), count: made.length }
}

const keysOf = (blocks: Blocks, root: string) => Array.from(walk(blocks, root), ({ key }) => key)

describe('trees', () => {
  test.each([...MALFORMED, ...MISWRITTEN])('%s is refused', async (_what, tree) => {
    const { blocks, root } = blocksOf(tree)
    expect(await failureOf(() => keysOf(blocks, root))).toBe('bad-tree')
    expect(blocks.reads).toBeLessThanOrEqual(READS_MAX)
  })

  test.each(MISWRITTEN)('%s is refused further down', async (_what, tree) => {
    const { blocks, root } = blocksOf(beneath(tree))
    expect(await failureOf(() => keysOf(blocks, root))).toBe('bad-tree')
  })

  test.each(MALFORMED)('%s makes no walk of a part long', async (_what, tree) => {
    const { blocks, root } = blocksOf(tree)
    const edges = ['', ...keysOn(1, 20), keyOn(2), '~'].toSorted()
    for (const [index, from] of edges.entries()) {
      for (const to of edges.slice(index + 1)) {
        const before = blocks.reads
        const walking = () => {
          for (const { key } of walk(blocks, root, [{ from, to }])) expect(key >= from && key < to).toBe(true)
          throw new Error('walked')
        }
        await failureOf(walking).then(
          (failure) => expect(failure).toBe('bad-tree'),
          (error) => expect(error).toHaveProperty('message', 'walked'),
        )
        expect(blocks.reads - before).toBeLessThanOrEqual(READS_MAX)
      }
    }
  })

  test.each(INCOMPLETE)('%s is missed', async (_what, tree) => {
    const { blocks, root } = blocksOf(tree)
    expect(await failureOf(() => keysOf(blocks, root))).toBe('incomplete-car')
    const missing = missingNodes(blocks, root, [{ from: '', to: '~' }])
    expect(missing).toHaveLength(1)
    expect(blocks.has(missing[0]!)).toBe(false)
  })

  test.each(UNUSUAL)('%s is read', (_what, tree, keys) => {
    const { blocks, root, count } = blocksOf(tree)
    expect(keysOf(blocks, root)).toEqual(keys)
    expect(blocks.reads).toBe(count - 1)
  })

  test('a root that is not there is missed', async () => {
    const { blocks } = blocksOf(leaf())
    expect(await failureOf(() => keysOf(blocks, textOf(cidOf(Buffer.from('nothing')))))).toBe(
      'incomplete-car',
    )
  })

  test('a root that is a record is refused', async () => {
    const { blocks } = blocksOf(leaf())
    expect(await failureOf(() => keysOf(blocks, textOf(RECORD.cid)))).toBe('bad-tree')
  })

  test.each(MISSPELT)('%s is no key', async (_what, key) => {
    const { blocks, root } = blocksOf(leaf(key))
    expect(await failureOf(() => keysOf(blocks, root))).toBe('bad-tree')
  })

  test.each(MISSPELT)(
    '%s is no key, also where it is the first that is ever looked at',
    async (_what, key) => {
      vi.resetModules()
      const fresh = await import('../../src/atproto/repo/walk.js')
      const { blocks, root } = blocksOf(leaf(key))
      expect(() => [...fresh.walk(blocks, root)]).toThrow(expect.objectContaining({ failure: 'bad-tree' }))
    },
  )

  test.each(WELL_SPELT)('a key may have %s', (_what, key) => {
    const { blocks, root } = blocksOf(leaf(key))
    const [read] = walk(blocks, root)
    expect(read).toEqual({
      key,
      collection: key.slice(0, key.indexOf('/')),
      rkey: key.slice(key.indexOf('/') + 1),
      cid: textOf(RECORD.cid),
    })
  })

  /** Blocks that nobody has hashed: whatever is asked for, it is this. */
  const always = (bytes: Uint8Array) => new CountingBlocks({ read: () => bytes, has: () => true })

  test.each([
    ['by its left child', (self: Uint8Array) => encodeOf(node(self, entry(keyOn(TOP_LAYER))))],
    ['by a right child', (self: Uint8Array) => encodeOf(node(null, entry(keyOn(TOP_LAYER), self)))],
    ['by way of nothing else', (self: Uint8Array) => encodeOf(passThrough(self))],
  ])('a node that leads to itself %s is refused', async (_what, encode) => {
    const self = cidOf(Buffer.from('self'))
    const blocks = always(encode(self))
    expect(await failureOf(() => keysOf(blocks, textOf(self)))).toBe('bad-tree')
    expect(blocks.reads).toBeLessThanOrEqual(2)
  })

  test('nodes without keys that lead on for ever are refused', async () => {
    const self = cidOf(Buffer.from('self'))
    const root = encodeOf(node(self, entry(keyOn(TOP_LAYER))))
    const on = encodeOf(passThrough(self))
    const blocks = new CountingBlocks({ read: (cid) => (cid === textOf(self) ? on : root), has: () => true })
    expect(await failureOf(() => keysOf(blocks, textOf(RECORD.cid)))).toBe('bad-tree')
    expect(blocks.reads).toBeLessThanOrEqual(TOP_LAYER + 2)
  })

  test('a large node of long keys is read in little memory', () => {
    const stem = `com.example.thing/${'a'.repeat(500)}`
    const keys = Array.from({ length: 20_000 }, (_, index) => stem + index.toString(36).padStart(6, '0'))
    const lowest = keys.filter((key) => layerOf(key) === 0)
    const { blocks, root } = blocksOf(leaf(...lowest))
    const before = process.memoryUsage().heapUsed
    const walking = walk(blocks, root)
    expect(walking.next().value).toMatchObject({ key: lowest[0] })
    expect(process.memoryUsage().heapUsed - before).toBeLessThan(64 * MiB)
    expect(Array.from(walking, ({ key }) => key)).toEqual(lowest.slice(1))
  })
})

function encodeOf({ left, entries }: TreeNode): Uint8Array {
  const cid = (child: unknown) => (child instanceof Uint8Array ? child : null)
  const whole = entries.map(({ key, value, right }) => ({
    shared: 0,
    rest: Buffer.from(key),
    value,
    right: cid(right),
  }))
  return encodeNode(cid(left), whole)
}

/** Both of them well-formed multikeys in base58. */
const ED25519 = 'did:key:z6MkhaXgBZDvotDkL5257faiztiGiC2QtKLGpbnnEGta2doK'
const NO_POINT = didKeyOf(Buffer.concat([Buffer.of(0xe7, 0x01, 0x02), Buffer.alloc(32, 0xff)]))

describe.each([
  ['k256', k256],
  ['p256', p256],
])('commits signed with %s', (_curve, keyOf) => {
  const root = blockOf(encodeNode(null, []))
  const fields = { did: DID, rev: REV, data: root.cid }
  const expected = async () => ({ did: DID, signingKey: (await keyOf('own')).did(), now: NOW, lastRev: null })
  const check = async ({ cid, bytes }: Block, wanted = {}) =>
    checkCommit(bytes, textOf(cid), { ...(await expected()), ...wanted })
  const right = async (changed = {}) => commitOf(await keyOf('own'), { ...fields, ...changed })

  it.each(BAD_COMMITS)('refuses one %s: %s', async (_what, failure, make) => {
    const commit = await make(await keyOf('own'), fields)
    expect(await failureOf(() => check(commit))).toBe(failure)
  })

  it.each(FINE_COMMITS)('takes one %s', async (_what, make) => {
    const commit = await make(await keyOf('own'), fields)
    expect(await check(commit)).toEqual({
      did: DID,
      rev: REV,
      cid: textOf(commit.cid),
      data: textOf(root.cid),
    })
  })

  it.each([
    [
      'a key of the other curve',
      (keyOf === k256 ? p256 : k256)('own').then((key) => key.did()),
      'bad-signature',
    ],
    ['no key', Promise.resolve('did:key:'), 'unverifiable'],
    ['no did:key', Promise.resolve(DID), 'unverifiable'],
    ['a key of some other kind', Promise.resolve(ED25519), 'unverifiable'],
    ['a key that is no point', Promise.resolve(NO_POINT), 'unverifiable'],
    ['a key that is very long', Promise.resolve(`did:key:z${'Q3'.repeat(500_000)}`), 'unverifiable'],
  ])('refuses every commit of an account with %s', async (_what, signingKey, failure) => {
    const commit = await right()
    const wanted = { signingKey: await signingKey }
    expect(await failureOf(() => check(commit, wanted))).toBe(failure)
  })

  it('refuses an older rev than the last one', async () => {
    const commit = await right({ rev: '3jzfcijpj2z2a' })
    expect(await failureOf(() => check(commit, { lastRev: '3jzfcijpj2z2b' }))).toBe('rev-regressed')
    expect(await failureOf(() => check(commit, { lastRev: '3k2222222222a' }))).toBe('rev-regressed')
    expect(await check(commit, { lastRev: '3jzfcijpj2z2a' })).toMatchObject({ rev: '3jzfcijpj2z2a' })
    expect(await check(commit, { lastRev: '3jzfcijpj2z27' })).toMatchObject({ rev: '3jzfcijpj2z2a' })
  })

  it('refuses a rev of the future, but for what clocks differ', async () => {
    const commit = await right()
    const made = momentOf(REV)
    expect(await failureOf(() => check(commit, { now: made - 5 * 60_000 - 1 }))).toBe('bad-response')
    expect(await check(commit, { now: made - 5 * 60_000 + 1 })).toMatchObject({ rev: REV })
  })

  it('tells no time before the signature is right', async () => {
    const commit = await commitOf(await keyOf('stranger'), { ...fields, rev: 'jzzzzzzzzzzzz' })
    expect(await failureOf(() => check(commit, { lastRev: REV }))).toBe('bad-signature')
  })
})

describe('CARs', () => {
  const chunkings = [Number.POSITIVE_INFINITY, 1_000, 7, 1]

  test.each(BAD_CARS)('%s: %s', async (_what, failure, car) => {
    for (const chunk of chunkings.slice(0, car.length > 10_000 ? 2 : 4)) {
      expect(await failureOf(async () => (await openSpool(car, chunk)).spool[Symbol.asyncDispose]())).toBe(
        failure,
      )
    }
    expect(await failureOf(() => readCar(car))).toBe(failure)
  })

  test.each(FINE_CARS)('%s: read', async (_what, { car, roots, blocks }) => {
    for (const chunk of chunkings.slice(0, car.length > 10_000 ? 2 : 4)) {
      const opened = await openSpool(car, chunk)
      await using spool = opened.spool
      expect(opened.roots).toEqual(roots.map(textOf))
      // One that comes again takes no room.
      expect(spool.blocks).toBe(new Set(blocks.map(({ cid }) => textOf(cid))).size)
      for (const { cid, bytes } of blocks) expect(Buffer.compare(spool.read(textOf(cid)), bytes)).toBe(0)
    }
    const whole = readCar(car)
    expect(whole.roots).toEqual(roots.map(textOf))
    for (const { cid, bytes } of blocks) expect(Buffer.compare(whole.blocks.read(textOf(cid)), bytes)).toBe(0)
  })

  test('what is announced is not set aside before it comes', async () => {
    const { spool } = await openSpool(carOf([RECORD.cid], []))
    await spool[Symbol.asyncDispose]()
    const before = process.memoryUsage().arrayBuffers
    const announced = Buffer.concat([carOf([RECORD.cid], []), Buffer.from('ffff7f', 'hex'), RECORD.cid])
    for (let index = 0; index < 200; index++) {
      expect(await failureOf(() => openSpool(announced, 10))).toBe('incomplete-car')
    }
    expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(50 * MiB)
  })

  test('nothing of it stays behind, whether it was right or not', async () => {
    const large = blockOf(Buffer.alloc(MiB, 'a'))
    const right = carOf([large.cid], [large])
    const opened = await openSpool(right)
    await opened.spool[Symbol.asyncDispose]()
    const forged = carOf([large.cid], [large, { cid: large.cid, bytes: Buffer.alloc(MiB, 'b') }])
    expect(await failureOf(() => openSpool(forged, 100_000))).toBe('cid-mismatch')
    expect(await failureOf(() => openSpool(right.subarray(0, -1), 100_000))).toBe('incomplete-car')
    expect(await readdir(SPOOL_DIRECTORY)).toEqual([])
  })

  test('a block that was not in the CAR is not there, whatever it is asked for as', async () => {
    const { spool } = await openSpool(carOf([RECORD.cid], [RECORD]))
    await using blocks = spool
    const cid = textOf(RECORD.cid)
    const others = [
      '',
      'b',
      cid.slice(1),
      cid.slice(0, -1),
      `${cid}a`,
      cid.toUpperCase(),
      // The last digit of base32 says two bits that are not there.
      cid.slice(0, -1) + String.fromCharCode(cid.charCodeAt(58) + 1),
      cid.replace('bafyrei', 'bafkrei'),
      textOf(cidOf(Buffer.from('other'))),
      // Of another block whose digest is the same but for its end.
      textOf(RECORD.cid.map((byte, at) => (at === 35 ? byte ^ 1 : byte))),
      'x'.repeat(59),
      '\u{1f600}'.repeat(30),
    ]
    expect(blocks.has(cid)).toBe(true)
    for (const other of others) {
      expect([other, blocks.has(other)]).toEqual([other, false])
      expect(await failureOf(() => blocks.read(other))).toBe('incomplete-car')
    }
  })
})

describe('records', () => {
  test.each(UNREADABLE)('%s is not atproto data', (_what, content) => {
    const before = process.memoryUsage().arrayBuffers
    expect(jsonOfCbor(content)).toBeNull()
    expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(40 * MiB)
  })

  test.each(READABLE)('%s is given as JSON', (_what, content, json) => {
    const text = jsonOfCbor(content)
    expect(text).toBe(json)
    expect(cidOfJson(JSON.parse(text!))).toBe(textOf(cidOf(content)))
  })

  test('a large record takes no more memory than it may', () => {
    const before = process.memoryUsage().arrayBuffers
    const content = READABLE.find(([what]) => what === 'long text')![1]
    for (let index = 0; index < 20; index++) expect(jsonOfCbor(content)).not.toBeNull()
    expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(80 * MiB)
  })
})

describe('whole repos', () => {
  /** A repo of a record for each of these contents, and perhaps without some blocks. */
  async function repoOf(contents: readonly Uint8Array[], without: (block: Block) => boolean = () => false) {
    const key = await k256('own')
    const keys = keysOn(0, contents.length)
    const records = contents.map((content) => blockOf(content))
    const made = new Map<string, Block>(records.map((block) => [textOf(block.cid), block]))
    const nodes: Block[] = []
    const entries = keys.map((name, index) => ({ key: name, value: records[index]!.cid }))
    const data = putTree({ left: null, entries }, nodes)
    const commit = await commitOf(key, { did: DID, rev: REV, data })
    const car = carOf(
      [commit.cid],
      [...made.values(), ...nodes, commit].filter((block) => !without(block)),
    )
    return { car, keys, expected: { did: DID, signingKey: key.did(), now: NOW, lastRev: null } }
  }

  const readings = [
    ['by a spool', readBySpool],
    ['in memory', readInMemory],
  ] as const

  describe.each(readings)('%s', (_how, read) => {
    it('names records that are not atproto data, and loses nothing else', async () => {
      const contents = UNREADABLE.filter(([, { length }]) => length < 1_000).map(([, content]) => content)
      const all = [READABLE[0]![1], ...contents, READABLE[1]![1]]
      const { car, keys, expected } = await repoOf(all)
      const { records } = await read(car, expected)
      expect([...records.keys()]).toEqual(keys)
      expect([...records.values()]).toEqual([
        { cid: textOf(cidOf(all[0]!)), json: '{}' },
        ...contents.map((content) => ({ cid: textOf(cidOf(content)), json: null })),
        { cid: textOf(cidOf(all.at(-1)!)), json: '{"a":1}' },
      ])
    })

    it('reads a record that is there once under each of its keys', async () => {
      const { car, keys, expected } = await repoOf([RECORD.bytes, RECORD.bytes, RECORD.bytes])
      const { records } = await read(car, expected)
      const json = JSON.stringify({ $type: COLLECTION })
      expect([...records]).toEqual(keys.map((key) => [key, { cid: textOf(RECORD.cid), json }]))
    })

    it('misses a record, a node or a commit that is not there', async () => {
      const other = Buffer.from('a16161', 'hex')
      const whole = await repoOf([RECORD.bytes, Buffer.concat([other, Buffer.of(0)])])
      const { blocks } = readCar(whole.car)
      expect(blocks.size).toBe(4)
      for (let missing = 0; missing < blocks.size; missing++) {
        let at = 0
        const { car, expected } = await repoOf(
          [RECORD.bytes, Buffer.concat([other, Buffer.of(0)])],
          () => at++ === missing,
        )
        expect(await failureOf(() => read(car, expected))).toBe('incomplete-car')
      }
    })

    it('ends where the CAR is cut, at whatever byte', async () => {
      const { car, expected } = await repoOf([RECORD.bytes, READABLE[1]![1]])
      for (let length = 0; length < car.length; length++) {
        expect(await failureOf(() => read(car.subarray(0, length), expected))).toBe('incomplete-car')
      }
    })
  })
})

function momentOf(tid: string): number {
  const digits = '234567abcdefghijklmnopqrstuvwxyz'
  return Array.from(tid.slice(0, -2)).reduce((sum, digit) => sum * 32 + digits.indexOf(digit), 0) / 1_000
}

function didKeyOf(multikey: Uint8Array): string {
  const digits = '123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz'
  let number = BigInt(`0x${Buffer.from(multikey).toString('hex')}`)
  let text = ''
  for (; number > 0n; number /= 58n) text = digits[Number(number % 58n)] + text
  return `did:key:z${text}`
}
