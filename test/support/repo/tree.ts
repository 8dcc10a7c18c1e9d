import { hash } from 'node:crypto'
import { type Block, blockOf } from './block.js'
import { array, bytes, canonicalMap, link, linkOrNull, type Piece, uint } from './cbor.js'

/** Merkle search trees put together by hand (https://atproto.com/specs/repository#mst-structure). */

/** A node of its own, the CID of one that may not exist, or nothing. */
export type Child = TreeNode | Uint8Array | null

export interface TreeNode {
  readonly left: Child
  readonly entries: readonly Entry[]
  /** Makes other bytes of the node than the right ones. */
  readonly encode?: (left: Uint8Array | null, entries: readonly PlacedEntry[]) => Piece
}

export interface Entry {
  readonly key: string | Uint8Array
  readonly value: Uint8Array
  /** What lies between this key and the next. */
  readonly right?: Child
  /** How much of the key is said to be that of the one before; all that is, where nothing is said. */
  readonly shared?: number
}

/** An entry whose right child has a CID. */
export interface PlacedEntry {
  readonly shared: number
  readonly rest: Uint8Array
  readonly value: Uint8Array
  readonly right: Uint8Array | null
}

/**
 * Puts the blocks of a tree into a list, children first. A node in two places becomes one block.
 * @param known nodes whose blocks are there already
 * @returns the CID of its root
 */
export function putTree(
  root: TreeNode,
  blocks: Block[],
  known: ReadonlyMap<TreeNode, Uint8Array> = new Map(),
): Uint8Array {
  const put = new Map<TreeNode, Uint8Array>()
  const find = (node: TreeNode) => known.get(node) ?? put.get(node)
  const cidOf = (child: Child = null) => (isNode(child) ? find(child)! : child)
  // Not by recursion: some of these trees are too deep for that.
  const open = [root]
  for (let node = open.at(-1); node; node = open.at(-1)) {
    const before = childrenOf(node).filter((child) => !find(child))
    open.push(...before)
    if (before.length > 0) continue
    open.pop()
    if (find(node)) continue
    const block = blockOf((node.encode ?? encodeNode)(cidOf(node.left), placed(node.entries, cidOf)))
    blocks.push(block)
    put.set(node, block.cid)
  }
  return find(root)!
}

export const isNode = (child: Child | undefined): child is TreeNode =>
  child !== null && child !== undefined && !(child instanceof Uint8Array)

const childrenOf = ({ left, entries }: TreeNode): TreeNode[] =>
  [left, ...entries.map(({ right }) => right)].filter(isNode)

export function encodeNode(left: Uint8Array | null, entries: readonly PlacedEntry[]): Piece {
  return canonicalMap({ l: linkOrNull(left), e: array(entries.map(encodeEntry)) })
}

export function encodeEntry({ shared, rest, value, right }: PlacedEntry): Piece {
  return canonicalMap({ p: uint(shared), k: bytes(rest), v: link(value), t: linkOrNull(right) })
}

/** The right tree of some records. */
export function treeOf(values: ReadonlyMap<string, Uint8Array>): TreeNode {
  const leaves = Array.from(values, ([key, value]) => ({ key, value, layer: layerOf(key) }))
  leaves.sort((one, other) => (one.key < other.key ? -1 : 1))
  const top = leaves.reduce((highest, { layer }) => Math.max(highest, layer), 0)
  return nodeOf(leaves, top)
}

type Leaf = Entry & { readonly layer: number }

function nodeOf(leaves: readonly Leaf[], layer: number): TreeNode {
  const places = leaves.flatMap((leaf, index) => (leaf.layer === layer ? [index] : []))
  const between = (from: number, to: number) => (from < to ? nodeOf(leaves.slice(from, to), layer - 1) : null)
  const entries = places.map((place, index) => {
    const { key, value } = leaves[place]!
    return { key, value, right: between(place + 1, places[index + 1] ?? leaves.length) }
  })
  return { left: between(0, places[0] ?? leaves.length), entries }
}

/** Pairs of zero bits at the beginning of the key's hash. */
export function layerOf(key: string): number {
  const digits = hash('sha256', key)
  const zeros = digits.match(/^0*/)![0].length
  const next = digits[zeros]
  return 2 * zeros + (next && next < '4' ? 1 : 0)
}

function placed(entries: readonly Entry[], cidOf: (child?: Child) => Uint8Array | null): PlacedEntry[] {
  let before: Uint8Array = Buffer.of()
  return entries.map(({ key, value, right, shared }) => {
    const whole = Buffer.from(key)
    const length = shared ?? sharedLength(before, whole)
    before = whole
    return { shared: length, rest: whole.subarray(length), value, right: cidOf(right) }
  })
}

function sharedLength(one: Uint8Array, other: Uint8Array): number {
  const length = one.findIndex((byte, at) => byte !== other[at])
  return length === -1 ? one.length : length
}
