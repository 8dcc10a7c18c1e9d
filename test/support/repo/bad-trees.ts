import { blockOf, RAW } from './block.js'
import { canonicalMap, text } from './cbor.js'
import { COLLECTION, keyOn, keysOn, numbered, TOP_LAYER } from './keys.js'
import type { Child, Entry, TreeNode } from './tree.js'

/** Trees whose nodes are all well written, and which are wrong all the same. */

/** The record behind every key. */
export const RECORD = blockOf(canonicalMap({ $type: text(COLLECTION) }))

const ABSENT = blockOf(canonicalMap({ nowhere: text('to be found') })).cid

export const entry = (key: string | Uint8Array, right: Child = null): Entry => ({
  key,
  value: RECORD.cid,
  right,
})

export const node = (left: Child, ...entries: Entry[]): TreeNode => ({ left, entries })
export const leaf = (...keys: (string | Uint8Array)[]): TreeNode =>
  node(null, ...keys.map((key) => entry(key)))
export const passThrough = (to: Child): TreeNode => node(to)

const EMPTY = leaf()

/** A key on the third layer, and one on the second to either side of it. */
const MIDDLE = keyOn(2)
const [BELOW] = keysOn(1, 1, { before: MIDDLE }) as [string]
const ABOVE = keysOn(1, 9, { after: MIDDLE }).at(-1)!
const [FIRST, SECOND, THIRD] = keysOn(0, 3) as [string, string, string]
const [BEFORE] = keysOn(0, 1, { before: MIDDLE, after: BELOW }) as [string]
const [BEHIND] = keysOn(0, 1, { after: MIDDLE, before: ABOVE }) as [string]
const [FAR] = keysOn(0, 1, { after: ABOVE }) as [string]

/** A node of each layer that leads to the same node many times. @param keys of a layer */
export function sharing(layers: number, keys: (layer: number) => readonly string[]): TreeNode {
  let shared = leaf(...keys(0))
  for (let layer = 1; layer <= layers; layer++) {
    const below = shared
    shared = node(below, ...keys(layer).map((key) => entry(key, below)))
  }
  return shared
}

export function chain(length: number, end: Child): Child {
  let to = end
  for (let link = 0; link < length; link++) to = passThrough(to)
  return to
}

export const MALFORMED: readonly (readonly [what: string, tree: TreeNode])[] = [
  ['keys that descend', leaf(SECOND, FIRST)],
  ['a last key that goes back', leaf(FIRST, THIRD, SECOND)],
  ['a key twice', leaf(FIRST, FIRST)],
  ['a key twice, with another between', leaf(FIRST, SECOND, FIRST)],
  ['a key of a higher layer beside a lower one', leaf(FIRST, keysOn(2, 1, { after: FIRST })[0]!)],
  ['a key of a lower layer beside a higher one', leaf(BELOW, BEFORE)],
  ['a child that leaves out a layer', node(leaf(BEFORE), entry(MIDDLE))],
  ['a right child that leaves out a layer', node(null, entry(MIDDLE, leaf(BEHIND)))],
  ['a child on the layer of its parent', node(leaf(BELOW), entry(ABOVE))],
  ['a child on a higher layer than its parent', node(leaf(MIDDLE), entry(ABOVE))],
  ['a child below the lowest layer', node(leaf(FIRST), entry(SECOND))],
  ['a left child with a later key', node(leaf(ABOVE), entry(MIDDLE))],
  ['a left child with keys to either side', node(leaf(BELOW, ABOVE), entry(MIDDLE))],
  ['a right child with an earlier key', node(null, entry(MIDDLE, leaf(BELOW)))],
  ['children in each other’s place', node(leaf(ABOVE), entry(MIDDLE, leaf(BELOW)))],
  ['a right child with keys beyond the next one', node(null, entry(BELOW, leaf(FAR)), entry(ABOVE))],
  [
    'a grandchild out of what its grandparent leaves it, not of what its parent does',
    node(node(null, entry(BELOW, leaf(BEHIND))), entry(MIDDLE)),
  ],
  [
    'a grandchild on the left that is before its grandparent’s key',
    node(null, entry(MIDDLE, node(leaf(BEFORE), entry(ABOVE)))),
  ],
  ['the same child on both sides of a key', node(leaf(BELOW), entry(MIDDLE, leaf(BELOW)))],
  ['a right child that repeats its key', node(null, entry(MIDDLE, leaf(MIDDLE)))],
  ['no keys on top', passThrough(leaf(FIRST))],
  ['no keys on top, twice', passThrough(passThrough(leaf(FIRST)))],
  ['no keys on top, and none below', passThrough(EMPTY)],
  ['nothing in a left child', node(EMPTY, entry(ABOVE))],
  ['nothing in a right child', node(null, entry(ABOVE, EMPTY))],
  ['nothing in a left child that is not on the lowest layer', node(EMPTY, entry(MIDDLE))],
  ['nothing in a right child that is not on the lowest layer', node(null, entry(MIDDLE, EMPTY))],
  ['nothing behind a node without keys', node(passThrough(EMPTY), entry(MIDDLE))],
  ['a node without keys too many', node(passThrough(leaf(FIRST)), entry(ABOVE))],
  ['two nodes without keys too many', node(passThrough(passThrough(leaf(BEFORE))), entry(MIDDLE))],
  ['200 nodes without keys', node(chain(200, leaf(FIRST)), entry(MIDDLE))],
  ['5,000 nodes without keys', node(chain(5_000, leaf(FIRST)), entry(MIDDLE))],
  ['5,000 nodes without keys on top', chain(5_000, leaf(FIRST)) as TreeNode],
  ['5,000 nodes that each have a key', deep(5_000)],
  [
    'a child shared by all, in nodes that are right by themselves',
    sharing(TOP_LAYER, (layer) => keysOn(layer, 8)),
  ],
  ['2^60 paths', sharing(60, (layer) => keysOn(Math.min(layer, TOP_LAYER), 1))],
  ['2^60 paths through keys of one layer', sharing(60, () => [FIRST])],
  [
    'a record’s CID in a node that says it is not of DAG-CBOR',
    node(null, { key: FIRST, value: blockOf(RECORD.bytes, { codec: RAW }).cid }),
  ],
]

/** Each node with a key between the ones above it. */
function deep(length: number): TreeNode {
  let tree = leaf(FIRST)
  for (let level = 0; level < length; level++) tree = node(tree, entry(SECOND))
  return tree
}

/** Trees that lack a node. */
export const INCOMPLETE: readonly (readonly [what: string, tree: TreeNode])[] = [
  ['a left child that is not there', node(ABSENT, entry(ABOVE))],
  ['a right child that is not there', node(null, entry(ABOVE, ABSENT))],
  ['a child behind a node without keys that is not there', node(passThrough(ABSENT), entry(MIDDLE))],
]

const STEM = numbered(`${COLLECTION}/a`, 0)
const LONGER = numbered(`${STEM}0`, 0)

/** Trees that look odd, and are right. */
export const UNUSUAL: readonly (readonly [what: string, tree: TreeNode, keys: readonly string[]])[] = [
  ['nothing at all', EMPTY, []],
  ['a record', leaf(FIRST), [FIRST]],
  ['a record, high up', leaf(MIDDLE), [MIDDLE]],
  [
    'nodes without keys on the way down',
    node(passThrough(leaf(BEFORE)), entry(MIDDLE, passThrough(leaf(BEHIND)))),
    [BEFORE, MIDDLE, BEHIND],
  ],
  ['a key that is the beginning of the next', leaf(STEM, LONGER), [STEM, LONGER]],
]

const RKEY_MAX = 512

/** `nsid` of so many characters, each segment as long as it may be. */
function nsidOf(length: number): string {
  const segments = ['com']
  for (let rest = length - 3; rest > 0; rest -= 64) segments.push('a'.repeat(Math.min(63, rest - 1)))
  return segments.join('.')
}

export const MISSPELT: readonly (readonly [what: string, key: string | Uint8Array])[] = [
  ['no slash', 'com.example.thing'],
  ['nothing before the slash', '/abc'],
  ['nothing behind the slash', 'com.example.thing/'],
  ['nothing but a slash', '/'],
  ['nothing', ''],
  ['two slashes', 'com.example.thing/abc/def'],
  ['two slashes in a row', 'com.example.thing//abc'],
  ['a slash at the end', 'com.example.thing/abc/'],
  ['a slash in front', '/com.example.thing/abc'],
  ['an rkey that is a dot', 'com.example.thing/.'],
  ['an rkey that is two dots', 'com.example.thing/..'],
  ['an rkey with a space', 'com.example.thing/a b'],
  ['an rkey with a percent sign', 'com.example.thing/a%20'],
  ['an rkey with an at sign', 'com.example.thing/@'],
  ['an rkey with a NUL', 'com.example.thing/a\0'],
  ['an rkey with a line feed at the end', 'com.example.thing/abc\n'],
  ['an rkey with an umlaut', 'com.example.thing/ä'],
  ['an rkey with half an umlaut', Buffer.concat([Buffer.from('com.example.thing/'), Buffer.of(0xc3)])],
  ['an rkey with a byte above ASCII', Buffer.concat([Buffer.from('com.example.thing/'), Buffer.of(0xe4)])],
  [
    'an rkey that is an overlong dot',
    Buffer.concat([Buffer.from('com.example.thing/'), Buffer.of(0xc0, 0xae)]),
  ],
  ['an rkey that is too long', `com.example.thing/${'a'.repeat(RKEY_MAX + 1)}`],
  ['an rkey of a mebibyte', `com.example.thing/${'a'.repeat(2 ** 20)}`],
  ['a collection of two segments', 'example.thing/abc'],
  ['a collection of one segment', 'thing/abc'],
  ['a collection that ends with a dot', 'com.example.thing./abc'],
  ['a collection with an empty segment', 'com..thing/abc'],
  ['a collection that begins with a dot', '.example.thing/abc'],
  ['a collection that begins with a digit', '1com.example.thing/abc'],
  ['a name that begins with a digit', 'com.example.1thing/abc'],
  ['a name with a hyphen', 'com.example.a-thing/abc'],
  ['a segment that ends with a hyphen', 'com.example-.thing/abc'],
  ['a segment that begins with a hyphen', 'com.-example.thing/abc'],
  ['a collection with a star', 'com.example.*/abc'],
  ['a collection with an underscore', 'com.exam_ple.thing/abc'],
  ['a collection with an umlaut', 'com.exämple.thing/abc'],
  ['a fragment', 'com.example.thing#main/abc'],
  ['a segment that is too long', `com.${'a'.repeat(64)}.thing/abc`],
  ['a collection that is too long', `${nsidOf(318)}/abc`],
]

export const WELL_SPELT: readonly (readonly [what: string, key: string])[] = [
  ['every sign that an rkey may have', 'com.example.thing/Az09_~.:-'],
  ['three dots', 'com.example.thing/...'],
  ['an rkey of 512 characters', `com.example.thing/${'a'.repeat(RKEY_MAX)}`],
  ['a collection of 317 characters', `${nsidOf(317)}/abc`],
  ['capitals', 'com.Example.aThing/abc'],
  ['digits', 'com.1example.thing2/abc'],
  ['hyphens', 'com.an-example.thing/abc'],
]
