import { isValidNsid, isValidRecordKey } from '@atproto/syntax'
import { Failure } from '../outcome.js'
import { ARRAY, CborReader, MAP, UNSIGNED } from './cbor.js'
import { layerOf } from './keys.js'

/** One node of a repo's tree (a Merkle search tree), by itself: what it says about others is for `walk`. */
export interface TreeNode {
  /** The subtree before the first entry. */
  readonly left: string | null
  /** In the order of their keys. */
  readonly entries: readonly NodeEntry[]
  /** The layer that all entries belong on; null where there is none. */
  readonly layer: number | null
}

export interface NodeEntry {
  readonly key: string
  /** The record's CID. */
  readonly value: string
  /** The subtree between this entry and the next. */
  readonly right: string | null
}

/** @throws Failure `bad-tree` for everything that no correct implementation writes */
export function decodeNode(bytes: Uint8Array): TreeNode {
  const reader = new CborReader(bytes, 'a node of the tree')
  if (reader.head(MAP) !== 2) throw reader.failure('it does not have two fields')
  reader.key('e')
  const entries: NodeEntry[] = []
  let layer: number | null = null
  let before = ''
  for (let count = reader.head(ARRAY); count > 0; count -= 1) {
    const entry = readEntry(reader, before)
    const its = layerOf(entry.key)
    layer ??= its
    if (its !== layer) {
      throw reader.failure(`${shown(entry.key)} belongs on layer ${its}, and others beside it on ${layer}`)
    }
    if (layer === 0 && entry.right !== null) throw reader.failure('there is a subtree below the lowest layer')
    entries.push(entry)
    before = entry.key
  }
  reader.key('l')
  const left = reader.linkOrNull()
  if (layer === 0 && left !== null) throw reader.failure('there is a subtree below the lowest layer')
  reader.end()
  return { left, entries, layer }
}

/** @param before the key of the entry before it, empty for the first */
function readEntry(reader: CborReader, before: string): NodeEntry {
  if (reader.head(MAP) !== 4) throw reader.failure('an entry does not have four fields')
  reader.key('k')
  const suffix = reader.latin1()
  reader.key('p')
  const shared = reader.head(UNSIGNED)
  reader.key('t')
  const right = reader.linkOrNull()
  reader.key('v')
  const value = reader.link()
  if (shared > before.length) throw reader.failure('a key shares more than there is with the one before it')
  const key = before.slice(0, shared) + suffix
  if (key === before) throw reader.failure(`${shown(key)} is there twice`)
  if (shared < before.length) {
    const [theirs, ours] = [before.charCodeAt(shared), suffix.charCodeAt(0)]
    if (theirs === ours) throw reader.failure(`${shown(key)} shares more with the one before it than it says`)
    if (!(ours > theirs)) throw reader.failure(`${shown(key)} comes after ${shown(before)}, out of order`)
  }
  assertKey(key)
  return { key, value, right }
}

/** Most keys are of the same collection as the one before. */
let lastCollection: string | null = null

function assertKey(key: string): void {
  const slash = key.indexOf('/')
  const collection = key.slice(0, slash)
  if (slash === -1 || (collection !== lastCollection && !isValidNsid(collection))) {
    throw new Failure('bad-tree', `a node of the tree: ${shown(key)} does not begin with a collection`)
  }
  lastCollection = collection
  if (!isValidRecordKey(key.slice(slash + 1))) {
    throw new Failure('bad-tree', `a node of the tree: ${shown(key)} does not end in a record key`)
  }
}

function shown(key: string): string {
  return JSON.stringify(key.slice(0, 200))
}
