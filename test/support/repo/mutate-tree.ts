import { randomBytes } from 'node:crypto'
import type { Random } from '../simulation/random.js'
import { type Block, cidOf, RAW, textOf } from './block.js'
import { randomKey } from './random-repo.js'
import { type Child, type Entry, encodeNode, isNode, type TreeNode } from './tree.js'
import { decodeNode } from './truth.js'

/** Right trees taken apart, and put together with something else than there was. */

export interface OpenedTree {
  readonly root: TreeNode
  /** The way from the root to each node. */
  readonly paths: readonly (readonly TreeNode[])[]
  /** Those that end at a node with children. */
  readonly branching: readonly (readonly TreeNode[])[]
  /** The CID of each node as it was. */
  readonly known: ReadonlyMap<TreeNode, Uint8Array>
}

export function openTree(blocks: ReadonlyMap<string, Block>, cid: Uint8Array): OpenedTree {
  const known = new Map<TreeNode, Uint8Array>()
  const open = (at: Uint8Array): TreeNode => {
    const { left, entries } = decodeNode(blocks.get(textOf(at))?.bytes)!
    let key = ''
    const node = {
      left: left && open(left),
      entries: entries.map(({ shared, rest, value, right }) => {
        key = key.slice(0, shared) + Buffer.from(rest).toString('latin1')
        return { key, value, right: right && open(right) }
      }),
    }
    known.set(node, at)
    return node
  }
  const root = open(cid)
  const paths = [...pathsFrom([root])]
  return { root, known, paths, branching: paths.filter((path) => childrenOf(path.at(-1)!).length > 0) }
}

function* pathsFrom(path: readonly TreeNode[]): Generator<readonly TreeNode[]> {
  yield path
  for (const child of childrenOf(path.at(-1)!)) yield* pathsFrom([...path, child])
}

const childrenOf = ({ left, entries }: TreeNode): TreeNode[] =>
  [left, ...entries.map(({ right }) => right)].filter(isNode)

/** The tree with another node, or none, where the path ends. */
export function replaceAt(path: readonly TreeNode[], by: Child): Child {
  return path.slice(0, -1).reduceRight<Child>((child, parent, depth) => {
    const old = path[depth + 1]
    const entries = parent.entries.map((entry) => (entry.right === old ? { ...entry, right: child } : entry))
    return { ...parent, left: parent.left === old ? child : parent.left, entries }
  }, by)
}

/** @returns what is changed, and the new tree */
export function mutateTree(random: Random, tree: OpenedTree): { what: string; root: TreeNode } {
  for (;;) {
    // Most nodes have no children, and much can go wrong only with those that have.
    const path = random.pick(random.chance(0.5) && tree.branching.length > 0 ? tree.branching : tree.paths)
    const [what, change] = random.pick(CHANGES)
    const root = replaceAt(path, change(random, path.at(-1)!, tree))
    if (isNode(root)) return { what, root }
  }
}

type Change = (random: Random, node: TreeNode, tree: OpenedTree) => Child

/** Changes one of the entries, if there are any. */
const changeEntry =
  (change: (random: Random, entry: Entry, node: TreeNode, tree: OpenedTree) => readonly Entry[]): Change =>
  (random, node, tree) => {
    const at = random.below(node.entries.length)
    const entry = node.entries[at]
    return entry
      ? { ...node, entries: node.entries.toSpliced(at, 1, ...change(random, entry, node, tree)) }
      : null
  }

/** Changes one of the children: the left one, or one to the right of an entry. */
const changeChild =
  (change: (random: Random, child: Child, tree: OpenedTree) => Child): Change =>
  (random, node, tree) => {
    const at = random.below(node.entries.length + 1) - 1
    if (at < 0) return { ...node, left: change(random, node.left, tree) }
    const entry = node.entries[at]!
    return {
      ...node,
      entries: node.entries.with(at, { ...entry, right: change(random, entry.right ?? null, tree) }),
    }
  }

const randomNode = (random: Random, { paths }: OpenedTree): TreeNode => random.pick(paths).at(-1)!

const CHANGES: readonly (readonly [what: string, change: Change])[] = Object.entries<Change>({
  'an entry gone with its child': changeEntry(() => []),
  'an entry gone, its child with the one before': (random, node) => {
    const at = random.below(node.entries.length)
    const entries = node.entries.toSpliced(at, 1)
    const right = node.entries[at]?.right ?? null
    if (at === 0) return { left: right, entries }
    return { ...node, entries: entries.with(at - 1, { ...entries[at - 1]!, right }) }
  },
  'an entry twice': changeEntry((_random, entry) => [entry, entry]),
  'an entry twice, with its child once': changeEntry((_random, entry) => [entry, { ...entry, right: null }]),
  'two entries in each other’s place': (random, node) => {
    if (node.entries.length < 2) return null
    const [one, other] = [random.below(node.entries.length), random.below(node.entries.length)]
    return {
      ...node,
      entries: node.entries.with(one, node.entries[other]!).with(other, node.entries[one]!),
    }
  },
  'two values in each other’s place': (random, node) => {
    if (node.entries.length < 2) return null
    const [one, other] = [random.below(node.entries.length), random.below(node.entries.length)]
    const [a, b] = [node.entries[one]!, node.entries[other]!]
    return {
      ...node,
      entries: node.entries.with(one, { ...a, value: b.value }).with(other, { ...b, value: a.value }),
    }
  },
  'another key': changeEntry((random, entry) => [{ ...entry, key: randomKey(random) }]),
  'a key with another character': changeEntry((random, entry) => {
    const key = Buffer.from(entry.key)
    key[random.below(key.length)] = random.chance(0.9) ? 33 + random.below(94) : random.below(256)
    return [{ ...entry, key }]
  }),
  'a key with another end': changeEntry((random, entry) => {
    const key = Buffer.from(entry.key)
    return [
      { ...entry, key: random.chance(0.5) ? key.subarray(0, -1) : Buffer.concat([key, Buffer.from('a')]) },
    ]
  }),
  'the value of another key': changeEntry((random, entry, _node, tree) => {
    const { entries } = randomNode(random, tree)
    return [{ ...entry, value: entries.length > 0 ? random.pick(entries).value : entry.value }]
  }),
  'a value that is a node': changeEntry((random, entry, _node, tree) => [
    { ...entry, value: tree.known.get(randomNode(random, tree))! },
  ]),
  'a value that is not there': changeEntry((_random, entry) => [{ ...entry, value: cidOf(randomBytes(8)) }]),
  'a value of another kind': changeEntry((_random, entry) => [
    { ...entry, value: Buffer.from(entry.value).fill(RAW, 1, 2) },
  ]),
  'another length of what keys share': changeEntry((random, entry) => [
    { ...entry, shared: random.below(entry.key.length) },
  ]),
  'an entry more': (random, node) => {
    const at = random.below(node.entries.length + 1)
    return {
      ...node,
      entries: node.entries.toSpliced(at, 0, { key: randomKey(random), value: SOME_VALUE(node) }),
    }
  },
  'a child gone': changeChild(() => null),
  'a child that is not there': changeChild(() => cidOf(randomBytes(8))),
  'another child': changeChild((random, _child, tree) => randomNode(random, tree)),
  'an empty child': changeChild(() => ({ left: null, entries: [] })),
  'a node between': changeChild((_random, child) => ({ left: child, entries: [] })),
  'a node less': changeChild((_random, child) => (isNode(child) ? child.left : child)),
  'the left child in place of a node': (_random, node) => node.left,
  'a right child in place of a node': (random, node) =>
    node.entries.length > 0 ? (random.pick(node.entries).right ?? null) : null,
  'a node without keys above': (_random, node) => ({ left: node, entries: [] }),
  'half of its entries': (random, node) => ({
    ...node,
    entries: node.entries.slice(0, random.below(node.entries.length + 1)),
  }),
  'its entries without what is between': (_random, node) => ({
    left: null,
    entries: node.entries.map((entry) => ({ ...entry, right: null })),
  }),
  'the entries of a child among its own': (random, node) => {
    const child = random.pick([null, ...childrenOf(node)])
    if (child === null) return null
    const entries = [...node.entries, ...child.entries]
    return { ...node, entries: entries.sort((one, other) => (String(one.key) < String(other.key) ? -1 : 1)) }
  },
  'a changed byte': (random, node) => ({
    ...node,
    encode: (left, entries) => mutateBytes(random, encodeNode(left, entries)),
  }),
})

/** Of a record that there is, if there is one close by. */
const SOME_VALUE = ({ entries }: TreeNode): Uint8Array => entries[0]?.value ?? cidOf(Buffer.of())

/** Changes, adds or takes away a byte. */
export function mutateBytes(random: Random, bytes: Uint8Array): Buffer {
  const at = random.below(bytes.length)
  const [before, rest] = [bytes.subarray(0, at), bytes.subarray(at + 1)]
  const byte = Buffer.of(random.below(256))
  return random.pick([
    () => Buffer.concat([before, Buffer.of(bytes[at]! ^ (1 << random.below(8))), rest]),
    () => Buffer.concat([before, byte, rest]),
    () => Buffer.concat([before, byte, bytes.subarray(at)]),
    () => Buffer.concat([before, rest]),
  ])()
}
