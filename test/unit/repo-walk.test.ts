import { describe, expect, it } from 'vitest'
import { BlockMap } from '../../src/atproto/repo/blocks.js'
import { cidTextAt } from '../../src/atproto/repo/cid.js'
import { rangesOf } from '../../src/atproto/repo/keys.js'
import { missingNodes, walk } from '../../src/atproto/repo/walk.js'
import { entry, leaf, node, passThrough } from '../support/repo/bad-trees.js'
import { type Block, blockOf } from '../support/repo/block.js'
import { text } from '../support/repo/cbor.js'
import { CountingBlocks } from '../support/repo/counting-blocks.js'
import { keyOn, keysOn, TOP_LAYER } from '../support/repo/keys.js'
import { layerOf, putTree, type TreeNode, treeOf } from '../support/repo/tree.js'
import { failureOf } from './repo-support.js'
import { seeded } from './seeded.js'

const RECORD = blockOf(text('record')).cid
const COLLECTIONS = ['com.example.a', 'com.example.a.b', 'com.example-a.b', 'com.example.b', 'org.example.a']

/** The tree as blocks. */
function put(tree: TreeNode): { blocks: BlockMap; root: string; all: Block[] } {
  const all: Block[] = []
  const root = cidTextAt(putTree(tree, all), 0)
  const blocks = new BlockMap()
  for (const { cid, bytes } of all) blocks.set(cidTextAt(cid, 0), bytes)
  return { blocks, root, all }
}

const random = seeded(3)
const KEYS = Array.from({ length: 3_000 }, () => {
  const collection = COLLECTIONS[Math.floor(random() ** 2 * COLLECTIONS.length)]!
  return `${collection}/${random().toString(36).slice(2)}`
}).toSorted()
const TREE = put(treeOf(new Map(KEYS.map((key) => [key, RECORD]))))

const keysOf = (...of: Parameters<typeof walk>) => [...walk(...of)].map(({ key }) => key)
const refused = (tree: TreeNode) => {
  const { blocks, root } = put(tree)
  return failureOf(() => keysOf(blocks, root))
}

describe('a walk', () => {
  it('gives every entry, in the order of their keys', () => {
    const found = [...walk(TREE.blocks, TREE.root)]
    expect(found.map(({ key }) => key)).toEqual(KEYS)
    for (const { key, collection, rkey, cid } of found) {
      expect(`${collection}/${rkey}`).toBe(key)
      expect(cid).toBe(cidTextAt(RECORD, 0))
    }
    const empty = put(leaf())
    expect(keysOf(empty.blocks, empty.root)).toEqual([])
  })

  it.each([
    [['com.example.a']],
    [['com.example.a.*']],
    [['com.example.b', 'com.example-a.b']],
    [['com.example.*']],
    [['aaa.example.none']],
    [['com.example.aa', 'zzz.example.none']],
    [[]],
  ])('of parts gives their entries, and reads no other nodes: %j', (collections) => {
    const ranges = rangesOf(collections)
    const isWanted = (key: string) => ranges.some(({ from, to }) => from <= key && key < to)
    const counting = new CountingBlocks(TREE.blocks)
    const found = keysOf(counting, TREE.root, ranges)
    expect(found).toEqual(KEYS.filter(isWanted))
    // At an edge it reads one node of each layer more.
    const edges = 2 * ranges.length * Math.max(...KEYS.map(layerOf))
    const nodesOfAll = TREE.all.length / KEYS.length
    expect(counting.reads).toBeLessThan(found.length * nodesOfAll * 1.5 + edges + 10)
  })

  it('finds out level by level which nodes it needs', () => {
    const ranges = rangesOf(['com.example-a.b'])
    const have = new BlockMap()
    let rounds = 0
    for (let missing = missingNodes(have, TREE.root, ranges); missing.length > 0; rounds += 1) {
      expect(new Set(missing).size).toBe(missing.length)
      for (const cid of missing) have.set(cid, TREE.blocks.read(cid))
      missing = missingNodes(have, TREE.root, ranges)
    }
    expect(rounds).toBe(Math.max(...KEYS.map(layerOf)) + 1)
    const needed = new CountingBlocks(TREE.blocks)
    expect(keysOf(have, TREE.root, ranges)).toEqual(keysOf(needed, TREE.root, ranges))
    expect(needed.reads).toBe(have.size)
  })

  it('ends where a node is missing, and only when it is needed', async () => {
    const unneeded: string[] = []
    const ranges = rangesOf(['com.example.b'])
    for (const { cid } of TREE.all.slice(0, 200)) {
      const without = new BlockMap()
      without.add(TREE.blocks)
      without.delete(cidTextAt(cid, 0))
      expect(await failureOf(() => keysOf(without, TREE.root))).toBe('incomplete-car')
      const failure = await failureOf(() => keysOf(without, TREE.root, ranges))
      if (failure === 'none') unneeded.push(cidTextAt(cid, 0))
    }
    expect(unneeded.length).toBeGreaterThan(0)
  })

  it('goes through nodes without entries where a layer has none', () => {
    const [below] = keysOn(0, 1, { before: keyOn(3) }) as [string]
    const [beside] = keysOn(0, 1, { after: keyOn(3) }) as [string]
    const through = (tree: TreeNode) => passThrough(passThrough(tree))
    const { blocks, root } = put(node(through(leaf(below)), entry(keyOn(3), through(leaf(beside)))))
    expect(keysOf(blocks, root)).toEqual([below, keyOn(3), beside])
  })

  it.each([
    ['a root without entries', passThrough(leaf(keyOn(0)))],
    ['a node that holds nothing', node(leaf(), entry(keyOn(1)))],
    ['a layer left out', node(leaf(keysOn(0, 1)[0]!), entry(keyOn(2)))],
    ['a layer too many', node(passThrough(leaf(keysOn(0, 1)[0]!)), entry(keyOn(1)))],
    ['a key on the left that is later', node(leaf(keyOn(0)), entry(keysOn(1, 1)[0]!))],
    ['a key on the right that is earlier', node(null, entry(keyOn(1), leaf(keysOn(0, 1)[0]!)))],
  ])('refuses %s', async (_, tree) => {
    expect(await refused(tree)).toBe('bad-tree')
  })

  it('is no longer than the tree, however often a node stands in it', async () => {
    let shared = leaf(keysOn(0, 1)[0]!)
    for (let layer = 1; layer <= TOP_LAYER; layer += 1) {
      const below = shared
      shared = node(below, ...keysOn(layer, 8).map((key) => entry(key, below)))
    }
    const { blocks, root } = put(shared)
    const counting = new CountingBlocks(blocks)
    expect(await failureOf(() => keysOf(counting, root))).toBe('bad-tree')
    expect(counting.reads).toBeLessThan(2 * TOP_LAYER + 3)
    expect(await failureOf(() => missingNodes(counting, root, rangesOf(null)))).toBe('bad-tree')
  })
})
