import { decode, encode } from '@atcute/cbor'
import type { CidLinkWrapper } from '@atcute/cid'
import { isValidNsid, isValidRecordKey } from '@atproto/syntax'
import { type Block, DAG_CBOR, textOf } from './block.js'
import { encodeNode, type PlacedEntry, putTree, treeOf } from './tree.js'
import type { ReadRecord } from './verify.js'

/**
 * What a repo holds, found out in another way than by walking it: all that its nodes name is put together, and the
 * right tree of that has the root that was signed, or the tree is wrong.
 */

/** @returns null where the tree is wrong or not whole */
export function truthOf(blocks: ReadonlyMap<string, Block>, root: Uint8Array): Map<string, string> | null {
  const values = new Map<string, Uint8Array>()
  const open = [root]
  const seen = new Set<string>()
  for (let cid = open.pop(); cid; cid = open.pop()) {
    const name = textOf(cid)
    const node = seen.has(name) ? null : decodeNode(blocks.get(name)?.bytes)
    if (!node) return null
    seen.add(name)
    open.push(...[node.left, ...node.entries.map(({ right }) => right)].filter((child) => child !== null))
    let before = ''
    for (const { shared, rest, value } of node.entries) {
      const key = before.slice(0, shared) + Buffer.from(rest).toString('latin1')
      if (!isKey(key) || values.has(key) || value[1] !== DAG_CBOR || !blocks.has(textOf(value))) return null
      values.set(key, value)
      before = key
    }
  }
  if (Buffer.compare(putTree(treeOf(values), []), root) !== 0) return null
  const ascending = [...values.keys()].sort((one, other) => (one < other ? -1 : 1))
  return new Map(ascending.map((key) => [key, textOf(values.get(key)!)]))
}

/** A node that any encoder would write, whatever it says. */
export function decodeNode(bytes?: Uint8Array): { left: Uint8Array | null; entries: PlacedEntry[] } | null {
  if (!bytes) return null
  try {
    const { l, e } = decode(bytes) as WrittenNode
    const left = l && cidBytesOf(l)
    const entries = e.map(({ p, k, v, t }) => ({
      shared: p,
      rest: k.buf,
      value: cidBytesOf(v),
      right: t && cidBytesOf(t),
    }))
    return Buffer.compare(encodeNode(left, entries), bytes) === 0 ? { left, entries } : null
  } catch {
    return null
  }
}

interface WrittenNode {
  readonly l: CidLinkWrapper | null
  readonly e: readonly { p: number; k: { buf: Uint8Array }; v: CidLinkWrapper; t: CidLinkWrapper | null }[]
}

const cidBytesOf = (link: CidLinkWrapper): Uint8Array => link.bytes

export function isKey(key: string): boolean {
  const [collection, rkey, ...more] = key.split('/')
  return isValidNsid(collection) && isValidRecordKey(rkey) && more.length === 0
}

/** Whether bytes are a record of atproto data, by decoding and encoding them again. */
export function isRecord(bytes: Uint8Array): boolean {
  try {
    const value = decode(bytes)
    return isPlain(value) && isMap(value) && Buffer.compare(encode(value), bytes) === 0
  } catch {
    return false
  }
}

/** Whether a reader has the same records, and of each the JSON that its bytes mean. */
export function isRead(
  truth: ReadonlyMap<string, string>,
  read: ReadonlyMap<string, ReadRecord>,
  means: (cid: string, json: string | null) => boolean,
): boolean {
  const [wanted, got] = [[...truth], [...read]]
  return (
    wanted.length === got.length &&
    wanted.every(([key, cid], index) => {
      const [readKey, record] = got[index]!
      return key === readKey && cid === record.cid && means(cid, record.json)
    })
  )
}

function isMap(value: unknown): boolean {
  return typeof value === 'object' && value !== null && Object.getPrototypeOf(value) === Object.prototype
}

function isPlain(value: unknown): boolean {
  if (typeof value === 'number') return Number.isSafeInteger(value) && !Object.is(value, -0)
  if (Array.isArray(value)) return value.every(isPlain)
  if (!isMap(value)) return value !== undefined
  const names = Object.keys(value as object)
  // Their JSON would read as something else.
  if (names.length === 1 && (names[0] === '$link' || names[0] === '$bytes')) return false
  return Object.values(value as object).every(isPlain)
}
