import { hash } from 'node:crypto'
import { encode, toBytes, toCidLink } from '@atcute/cbor'
import { type Cid, CODEC_DCBOR, toString as cidToString, fromDigest } from '@atcute/cid'

/** The Merkle search tree of a repo (https://atproto.com/specs/repository#mst-structure), built in one go. */

export interface Block {
  readonly cid: Cid
  readonly bytes: Uint8Array
}

export interface Leaf {
  /** Collection and record key, with a slash between. */
  readonly key: string
  readonly cid: Cid
}

export interface TreeNode extends Block {
  /** In the order of their keys. */
  readonly items: readonly (Leaf | TreeNode)[]
}

interface PlacedLeaf extends Leaf {
  readonly layer: number
}

/** A value as a block. */
export function blockOf(value: unknown): Block {
  const bytes = encode(value)
  return { cid: fromDigest(CODEC_DCBOR, hash('sha256', bytes, 'buffer')), bytes }
}

export const textOf = cidToString

/** @param leaves by ascending key, each key once */
export function buildTree(leaves: readonly Leaf[]): TreeNode {
  const placed = leaves.map((leaf) => ({ ...leaf, layer: layerOf(leaf.key) }))
  const top = placed.reduce((highest, { layer }) => Math.max(highest, layer), 0)
  return buildNode(placed, 0, placed.length, top)
}

/** The nodes from the root to where a key is, or would be. */
export function pathTo(root: TreeNode, key: string): TreeNode[] {
  const { items } = root
  const next = items.findIndex((item) => isLeaf(item) && item.key >= key)
  const found = next === -1 ? undefined : items[next]
  if (found && isLeaf(found) && found.key === key) return [root]
  const before = next === 0 ? undefined : items.at(next === -1 ? -1 : next - 1)
  return before && !isLeaf(before) ? [root, ...pathTo(before, key)] : [root]
}

/** Every node, each before those below it. */
export function* nodesOf(root: TreeNode): Generator<TreeNode> {
  yield root
  for (const item of root.items) if (!isLeaf(item)) yield* nodesOf(item)
}

function buildNode(leaves: readonly PlacedLeaf[], from: number, to: number, layer: number): TreeNode {
  const items: (Leaf | TreeNode)[] = []
  let start = from
  for (let at = from; at < to; at++) {
    if (leaves[at]!.layer !== layer) continue
    if (start < at) items.push(buildNode(leaves, start, at, layer - 1))
    items.push(leaves[at]!)
    start = at + 1
  }
  if (start < to) items.push(buildNode(leaves, start, to, layer - 1))
  return { items, ...blockOf(encodable(items)) }
}

function encodable(items: readonly (Leaf | TreeNode)[]): object {
  const [first] = items
  const entries: { p: number; k: unknown; v: unknown; t: unknown }[] = []
  let previous = ''
  for (const item of items) {
    if (!isLeaf(item)) {
      const above = entries.at(-1)
      if (above) above.t = toCidLink(item.cid)
      continue
    }
    const shared = sharedLength(previous, item.key)
    const rest = toBytes(Buffer.from(item.key.slice(shared), 'ascii'))
    entries.push({ p: shared, k: rest, v: toCidLink(item.cid), t: null })
    previous = item.key
  }
  return { l: first && !isLeaf(first) ? toCidLink(first.cid) : null, e: entries }
}

function sharedLength(one: string, other: string): number {
  let length = 0
  while (length < one.length && one[length] === other[length]) length += 1
  return length
}

/** Pairs of zero bits at the beginning of the key's hash. */
function layerOf(key: string): number {
  let layer = 0
  for (const byte of hash('sha256', key, 'buffer')) {
    if (byte === 0) {
      layer += 4
      continue
    }
    return layer + ((Math.clz32(byte) - 24) >> 1)
  }
  return layer
}

function isLeaf(item: Leaf | TreeNode): item is Leaf {
  return 'key' in item
}
