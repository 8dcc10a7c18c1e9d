import { Failure } from '../atproto/outcome.js'
import type { BlockMap, Blocks } from '../atproto/repo/blocks.js'
import { AFTER_KEYS, BEFORE_KEYS, type KeyRange } from '../atproto/repo/keys.js'
import { decodeNode, type TreeNode } from '../atproto/repo/node.js'

/**
 * The part of a tree that is known so far, while its nodes are fetched: which ones are still needed, and what has
 * been seen. It only says what to ask for next. What is proven is left to the walk over all of it at the end.
 */

/** A node that is named, but not here, and may hold keys that are wanted. */
export interface MissingNode {
  readonly cid: string
  readonly layer: number
  /** All its keys lie between these two. */
  readonly below: string
  readonly above: string
}

export class SparseTree {
  /** The layer of the root; 0 for a tree with nothing in it. */
  readonly height: number
  /** Entries in each node on the way down to the first range, as far as they are here, the root first. */
  readonly path: number[] = []
  readonly #ranges: readonly KeyRange[]
  #missing: MissingNode[] = []
  /** CIDs of records in the ranges, of the nodes that are here. */
  readonly #records = new Set<string>()
  #entries = 0
  /** A node stands at one place of a tree. One that is named at two would be asked for over and over. */
  readonly #named = new Set<string>()

  /**
   * @param root a block that is there
   * @throws Failure `bad-tree`
   */
  constructor(blocks: Blocks, root: string, ranges: readonly KeyRange[]) {
    this.#ranges = ranges
    const node = decodeNode(blocks.read(root))
    this.height = node.layer ?? 0
    this.#named.add(root)
    this.#open(node, { cid: root, layer: this.height, below: BEFORE_KEYS, above: AFTER_KEYS })
    this.#grow(blocks)
  }

  /** The nodes to be fetched next. */
  get missing(): readonly MissingNode[] {
    return this.#missing
  }

  /** How many entries were seen in the ranges. */
  get entries(): number {
    return this.#entries
  }

  /** The records of those entries. */
  get records(): ReadonlySet<string> {
    return this.#records
  }

  /** The one missing node that stands higher than all others; null where there are several. */
  get highest(): MissingNode | null {
    const top = this.#missing.reduce((most, { layer }) => Math.max(most, layer), 0)
    const highest = this.#missing.filter(({ layer }) => layer === top)
    return highest.length === 1 ? highest[0]! : null
  }

  /** Takes up missing nodes that came, and those below them. @param into where they are kept, and nothing else */
  takeUp(source: Blocks, into: BlockMap): void {
    for (let found = true; found; ) {
      const came = this.#missing.filter(({ cid }) => source.has(cid))
      // A copy, which does not keep all that came with it.
      for (const { cid } of came) into.set(cid, Buffer.from(source.read(cid)))
      this.#grow(into)
      found = came.length > 0
    }
  }

  #grow(blocks: Blocks): void {
    for (let found = true; found; ) {
      const open = this.#missing
      this.#missing = []
      found = false
      for (const place of open) {
        if (!blocks.has(place.cid)) this.#missing.push(place)
        else {
          found = true
          this.#open(decodeNode(blocks.read(place.cid)), place)
        }
      }
    }
  }

  #open({ left, entries }: TreeNode, { layer, below, above }: MissingNode): void {
    const start = this.#ranges[0]?.from ?? BEFORE_KEYS
    if (below <= start && start < above) this.path.push(entries.length)
    let before = below
    this.#name(left, layer - 1, before, entries[0]?.key ?? above)
    for (const [index, { key, value, right }] of entries.entries()) {
      if (this.#ranges.some(({ from, to }) => from <= key && key < to)) {
        this.#entries += 1
        this.#records.add(value)
      }
      before = key
      this.#name(right, layer - 1, before, entries[index + 1]?.key ?? above)
    }
  }

  #name(cid: string | null, layer: number, below: string, above: string): void {
    if (cid === null || !this.#ranges.some(({ from, to }) => below < to && above > from)) return
    if (this.#named.has(cid)) throw new Failure('bad-tree', `the tree: node ${cid} stands at two places`)
    if (layer < 0) throw new Failure('bad-tree', 'the tree: there is a subtree below the lowest layer')
    this.#named.add(cid)
    this.#missing.push({ cid, layer, below, above })
  }
}
