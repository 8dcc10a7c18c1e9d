import { describe, expect, it } from 'vitest'
import { cidTextAt } from '../../src/atproto/repo/cid.js'
import { decodeNode } from '../../src/atproto/repo/node.js'
import { blockOf, RAW } from '../support/repo/block.js'
import { canonicalMap, link, NULL, text, uint } from '../support/repo/cbor.js'
import { keysOn, numbered } from '../support/repo/keys.js'
import { encodeNode, type PlacedEntry } from '../support/repo/tree.js'
import { failureOf } from './repo-support.js'

const RECORD = blockOf(text('record')).cid
const CHILD = blockOf(text('child')).cid

/** An entry that shares so much with the one before. */
const placed = (key: string, shared = 0, right: Uint8Array | null = null): PlacedEntry => ({
  shared,
  rest: Buffer.from(key, 'latin1').subarray(shared),
  value: RECORD,
  right,
})

const refused = (node: Uint8Array) => failureOf(() => decodeNode(node))
const leaf = (...entries: PlacedEntry[]) => encodeNode(null, entries)

/** A key on the lowest layer. */
const low = (prefix: string) => numbered(prefix, 0)

describe('a node of the tree', () => {
  it('names its entries and subtrees', () => {
    const [one, two] = keysOn(1, 2) as [string, string]
    const shared = [...one].findIndex((character, at) => character !== two[at])
    const node = decodeNode(encodeNode(CHILD, [placed(one), placed(two, shared, CHILD)]))
    const [value, child] = [cidTextAt(RECORD, 0), cidTextAt(CHILD, 0)]
    expect(node).toEqual({
      left: child,
      entries: [
        { key: one, value, right: null },
        { key: two, value, right: child },
      ],
      layer: 1,
    })
    expect(decodeNode(leaf())).toEqual({ left: null, entries: [], layer: null })
    expect(decodeNode(encodeNode(CHILD, []))).toEqual({ left: child, entries: [], layer: null })
  })

  it('may have keys that go on where another ends, and as long as keys can be', () => {
    const short = low('com.example.thing/a')
    const longer = low(`${short}0`)
    expect(decodeNode(leaf(placed(short), placed(longer, short.length))).entries[1]!.key).toBe(longer)
    const longest = low(`com.example.thing/${'a'.repeat(509)}`)
    expect(decodeNode(leaf(placed(longest))).entries).toHaveLength(1)
  })

  it('has its keys in order, each once, and shares all that can be shared', async () => {
    const [one, two] = keysOn(0, 2) as [string, string]
    const shared = [...one].findIndex((character, at) => character !== two[at])
    expect(await refused(leaf(placed(one), placed(two, shared)))).toBe('none')
    for (const node of [
      leaf(placed(one), placed(two, shared - 1)),
      leaf(placed(one), placed(two, 0)),
      leaf(placed(two), placed(one, shared)),
      leaf(placed(one), placed(one, one.length)),
      leaf(placed(one), placed(one, 0)),
      leaf({ ...placed(one), shared: 1 }),
      leaf(placed(one), { ...placed(two), shared: one.length + 1 }),
      leaf(placed(one), { ...placed(two), shared: 2 ** 40 }),
    ]) {
      expect(await refused(node)).toBe('bad-tree')
    }
  })

  it.each([
    '',
    '/',
    'com.example.thing',
    'com.example.thing/',
    '/self',
    'thing/self',
    'com.example/self',
    'com..thing/self',
    'com.example.thing/a/b',
    'com.example.thing/.',
    'com.example.thing/..',
    'com.example.thing/a b',
    'com.example.thing/a#b',
    'com.example.thing/ü',
    'com.example.thing/\0',
    `com.example.thing/${'a'.repeat(513)}`,
    `com.${'a'.repeat(64)}.thing/a`,
    '__proto__/a',
  ])('has no key such as %j', async (key) => {
    expect(await refused(leaf(placed(key)))).toBe('bad-tree')
  })

  it('holds keys of one layer, with subtrees only where there is a layer below', async () => {
    const [one, two] = keysOn(0, 2) as [string, string]
    const [high] = keysOn(1, 1, { after: one }) as [string]
    const shared = [...one].findIndex((character, at) => character !== high[at])
    expect(await refused(leaf(placed(one), placed(high, shared)))).toBe('bad-tree')
    expect(await refused(encodeNode(CHILD, [placed(one)]))).toBe('bad-tree')
    expect(await refused(encodeNode(null, [placed(two, 0, CHILD)]))).toBe('bad-tree')
  })

  it.each([
    ['nothing', Buffer.alloc(0)],
    ['an empty map', canonicalMap({})],
    ['a record', canonicalMap({ $type: text('a.b.c'), e: uint(1) })],
    ['a node with another field', canonicalMap({ e: Buffer.from([0x80]), l: NULL, x: NULL })],
    ['a node whose fields are the wrong way round', Buffer.from('a2616cf6616580', 'hex')],
    ['a list of unsaid length', Buffer.from('a261659fff616cf6', 'hex')],
    ['a list whose length is not canonical', Buffer.from('a261659800616cf6', 'hex')],
    ['a list far longer than it is', Buffer.from('a261659b001fffffffffffff616cf6', 'hex')],
    ['a list of 2^64 - 1', Buffer.from('a261659bffffffffffffffff616cf6', 'hex')],
    ['a byte behind the node', Buffer.from('a2616580616cf600', 'hex')],
    [
      'a link to raw bytes',
      canonicalMap({ e: Buffer.from([0x80]), l: link(blockOf(text('a'), { codec: RAW }).cid) }),
    ],
    ['deep arrays', Buffer.concat([Buffer.from('a26165', 'hex'), Buffer.alloc(2 ** 21, 0x81)])],
  ])('is told from %s', async (_, content) => {
    expect(await refused(content)).toBe('bad-tree')
  })

  it('is not to be had by changing a byte of it, but where keys and links are', async () => {
    const keys = keysOn(0, 3) as [string, string, string]
    const entries = keys.map((key, index) => {
      const before = keys[index - 1] ?? ''
      const shared = [...key].findIndex((character, at) => character !== before[at])
      return placed(key, shared)
    })
    const node = Buffer.from(leaf(...entries))
    const isLink = (at: number) => {
      const from = node.lastIndexOf(RECORD, at)
      return from !== -1 && at < from + RECORD.length && at >= from + 4
    }
    for (let at = 0; at < node.length; at += 1) {
      if (isLink(at)) continue
      for (let bit = 0; bit < 8; bit += 1) {
        const changed = Buffer.from(node)
        changed[at]! ^= 1 << bit
        if ((await refused(changed)) === 'bad-tree') continue
        // Then it is another right node, which writes itself the same way.
        const { entries: found } = decodeNode(changed)
        expect(found.map(({ key }) => key)).not.toEqual(keys)
      }
    }
  })
})
