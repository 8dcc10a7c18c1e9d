import { Failure } from '../outcome.js'
import type { Blocks } from './blocks.js'
import { AFTER_KEYS, BEFORE_KEYS, type KeyRange, rangesOf } from './keys.js'
import { decodeNode, type TreeNode } from './node.js'

/** What the tree says about one record. */
export interface TreeEntry {
  readonly key: string
  readonly collection: string
  readonly rkey: string
  readonly cid: string
}

/** A node on the way from the root to where the walk is. */
interface Station {
  readonly node: TreeNode
  readonly layer: number
  /** All its keys, and those of its subtrees, lie between these two. */
  readonly below: string
  readonly above: string
  /** What comes next: even for the subtree before the entry of half the number, odd for that entry. */
  step: number
}

/**
 * The entries of a tree in the order of their keys. Of the nodes it holds those from the root to where it is, and
 * it checks of each what it cannot say itself: that it stands on the layer and between the keys where it must. So
 * a node that stands at two places is refused at the second, where its keys cannot be, and no walk is longer than
 * its tree.
 * @param ranges which parts are walked; of the others no node is read, and nothing is proven
 * @throws Failure `bad-tree`, or `incomplete-car` where a node is missing
 */
export function* walk(
  blocks: Blocks,
  root: string,
  ranges: readonly KeyRange[] = rangesOf(null),
): Generator<TreeEntry, void, undefined> {
  for (const { key, value } of visit((cid) => decodeNode(blocks.read(cid)), root, ranges)) {
    const slash = key.indexOf('/')
    yield { key, collection: key.slice(0, slash), rkey: key.slice(slash + 1), cid: value }
  }
}

/**
 * The nodes that a walk would miss, as far as those that are there name them.
 * @throws Failure `bad-tree`
 */
export function missingNodes(blocks: Blocks, root: string, ranges: readonly KeyRange[]): string[] {
  const missing = new Set<string>()
  const read = (cid: string) => {
    if (blocks.has(cid)) return decodeNode(blocks.read(cid))
    missing.add(cid)
    return null
  }
  for (const _ of visit(read, root, ranges));
  return [...missing]
}

/** @param read gives null for a node to pass over */
function* visit(read: (cid: string) => TreeNode | null, root: string, ranges: readonly KeyRange[]) {
  const top = read(root)
  if (top === null) return
  const path = [stationOf(top, null, BEFORE_KEYS, AFTER_KEYS)]
  // The first range that does not lie before where the walk is.
  let at = 0
  for (let here = path.at(-1); here !== undefined; here = path.at(-1)) {
    const { entries, left } = here.node
    const index = here.step >> 1
    const isEntry = (here.step & 1) === 1
    here.step += 1
    if (isEntry) {
      const entry = entries[index]!
      while (at < ranges.length && ranges[at]!.to <= entry.key) at += 1
      if (at < ranges.length && ranges[at]!.from <= entry.key) yield entry
    } else if (index > entries.length) {
      path.pop()
    } else {
      const before = entries[index - 1]
      const below = before?.key ?? here.below
      const above = entries[index]?.key ?? here.above
      const child = before === undefined ? left : before.right
      if (index === entries.length) here.step += 1
      while (at < ranges.length && ranges[at]!.to <= below) at += 1
      if (at === ranges.length) return
      if (child === null || ranges[at]!.from >= above) continue
      const node = read(child)
      if (node !== null) path.push(stationOf(node, here.layer - 1, below, above))
    }
  }
}

/** @param layer the one below its parent's; null for the root */
function stationOf(node: TreeNode, layer: number | null, below: string, above: string): Station {
  const [first, last] = [node.entries[0], node.entries.at(-1)]
  if (first === undefined || last === undefined) {
    // Nodes without entries stand between others, so that no subtree skips a layer; and an empty tree is one.
    if (layer === null && node.left !== null) throw badTree('the root holds nothing but a subtree')
    if (layer !== null && node.left === null) throw badTree('a node holds nothing')
    if (layer === 0) throw badTree('there is a subtree below the lowest layer')
  } else {
    if (layer !== null && node.layer !== layer) {
      throw badTree(`a node of layer ${node.layer} stands on layer ${layer}`)
    }
    if (first.key <= below) throw badTree(`${shown(first.key)} comes after ${shown(below)}, out of order`)
    if (last.key >= above) throw badTree(`${shown(last.key)} comes before ${shown(above)}, out of order`)
  }
  return { node, layer: layer ?? node.layer ?? 0, below, above, step: 0 }
}

function badTree(why: string): Failure {
  return new Failure('bad-tree', `the tree: ${why}`)
}

function shown(key: string): string {
  return JSON.stringify(key.slice(0, 200))
}
