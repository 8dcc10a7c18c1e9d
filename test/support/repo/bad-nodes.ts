import { entry, RECORD } from './bad-trees.js'
import { cidOf, RAW } from './block.js'
import {
  array,
  bytes,
  canonicalMap,
  head,
  link,
  linkOrNull,
  map,
  NULL,
  type Piece,
  text,
  uint,
} from './cbor.js'
import { keysOn } from './keys.js'
import { encodeEntry, encodeNode, type PlacedEntry, type TreeNode } from './tree.js'

/** Nodes of a right tree whose bytes are not those of a node. */

type Encode = (left: Uint8Array | null, entries: readonly PlacedEntry[]) => Piece
type EntryFields = Record<'k' | 'p' | 't' | 'v', Piece>

const KEYS = keysOn(1, 3)

/** Of three keys on the second layer, where children may be, written some other way. */
const written = (encode: Encode): TreeNode => ({ left: null, entries: KEYS.map((key) => entry(key)), encode })

/** With the fields of the second entry changed. */
const entryOf = (change: (fields: EntryFields, right: PlacedEntry) => Piece): TreeNode =>
  written((left, [first, second, ...rest]) =>
    canonicalMap({
      l: linkOrNull(left),
      e: array([encodeEntry(first!), change(fieldsOf(second!), second!), ...rest.map(encodeEntry)]),
    }),
  )

const entryWith = (changed: Partial<EntryFields>): TreeNode =>
  entryOf((fields) => canonicalMap({ ...fields, ...changed }))

const fieldsOf = ({ shared, rest, value, right }: PlacedEntry): EntryFields => ({
  k: bytes(rest),
  p: uint(shared),
  t: linkOrNull(right),
  v: link(value),
})

/** With a field of the node, or both, changed. */
const nodeWith = (changed: Record<string, Piece>): TreeNode =>
  written((left, entries) =>
    canonicalMap({ l: linkOrNull(left), e: array(entries.map(encodeEntry)), ...changed }),
  )

/** With the beginning of the second key said to be otherwise; the key is the same where that can be. */
const sharing = (shared: (right: number) => number): TreeNode => ({
  left: null,
  entries: KEYS.map((key, index) => {
    const right = sharedLength(KEYS[index - 1] ?? '', key)
    return { ...entry(key), ...(index === 1 && { shared: shared(right) }) }
  }),
})

function sharedLength(one: string, other: string): number {
  let length = 0
  while (length < one.length && one[length] === other[length]) length += 1
  return length
}

const UNDEFINED = Uint8Array.of(0xf7)
const BREAK = Uint8Array.of(0xff)
const float = (number: number): Piece => {
  const piece = Buffer.alloc(9, 0xfb)
  piece.writeDoubleBE(number, 1)
  return piece
}
const negative = (number: number): Piece => head(1, number)
const join = (...pieces: readonly Uint8Array[]): Piece => Buffer.concat(pieces)
const tagged = (tag: number, value: Piece): Piece => join(head(6, tag), value)

const RECORD_LINK = link(RECORD.cid)

/** Links that are none of ours: each is tried in every place where a node has a link. */
const LINKS: readonly (readonly [what: string, piece: Piece])[] = [
  ['a number', uint(1)],
  ['text', text('bafyreidfayvfuwqa7qlnopdjiqrxzs6blmoeu4rujcjtnci5beludirz2a')],
  ['bytes', bytes(RECORD.cid)],
  ['undefined', UNDEFINED],
  ['false', Uint8Array.of(0xf4)],
  ['an array', array([RECORD_LINK])],
  ['a map', canonicalMap({ $link: text('bafyreidfayvfuwqa7qlnopdjiqrxzs6blmoeu4rujcjtnci5beludirz2a') })],
  ['a link with another tag', tagged(43, bytes(join(Uint8Array.of(0), RECORD.cid)))],
  ['a link with a long tag', join(Uint8Array.of(0xd9, 0, 42), bytes(join(Uint8Array.of(0), RECORD.cid)))],
  ['a link in a link', tagged(42, RECORD_LINK)],
  ['a link as text', tagged(42, text('\0abc'))],
  ['a link without its first zero', tagged(42, bytes(RECORD.cid))],
  ['a link of nothing', tagged(42, bytes(Uint8Array.of()))],
  ['a link of a zero', tagged(42, bytes(Uint8Array.of(0)))],
  ['a link with a long length', tagged(42, bytes(join(Uint8Array.of(0), RECORD.cid), 2))],
  ['a CID that is cut off', link(RECORD.cid.subarray(0, -1))],
  ['a CID with a byte more', link(join(RECORD.cid, Uint8Array.of(0)))],
  ['a CID of version 0', link(RECORD.cid.subarray(2))],
  ['a CID of version 2', link(cidOf(RECORD.bytes, { version: 2 }))],
  ['a CID of DAG-PB', link(cidOf(RECORD.bytes, { codec: 0x70 }))],
  ['a CID by the identity', link(cidOf(RECORD.bytes, { hashing: 0, digest: RECORD.bytes }))],
  ['a CID by SHA-512', link(cidOf(RECORD.bytes, { hashing: 0x13, digest: Buffer.alloc(64, 1) }))],
  ['a CID by half of SHA-256', link(cidOf(RECORD.bytes, { digest: RECORD.cid.subarray(4, 20) }))],
  ['a CID by another hash of 32 bytes', link(cidOf(RECORD.bytes, { hashing: 0x1e }))],
  ['a CID of raw bytes', link(cidOf(RECORD.bytes, { codec: RAW }))],
]

export const MISWRITTEN: readonly (readonly [what: string, tree: TreeNode])[] = [
  ['no bytes at all', written(() => Uint8Array.of())],
  ['bytes that are no CBOR', written(() => Uint8Array.of(0xff, 0xff))],
  ['half a node', written((left, entries) => half(encodeNode(left, entries)))],
  ['all of a node but a byte', written((left, entries) => encodeNode(left, entries).subarray(0, -1))],
  ['a byte behind the node', written((left, entries) => join(encodeNode(left, entries), uint(0)))],
  [
    'another node behind the node',
    written((left, entries) => join(encodeNode(left, entries), encodeNode(null, []))),
  ],
  ['null', written(() => NULL)],
  ['a number', written(() => uint(7))],
  ['an array', written((left, entries) => array([encodeNode(left, entries)]))],
  ['a record', written(() => RECORD.bytes)],
  ['an empty map', written(() => map([]))],
  ['no entries', written((left) => canonicalMap({ l: linkOrNull(left) }))],
  ['no left child', written((_left, entries) => canonicalMap({ e: array(entries.map(encodeEntry)) }))],
  ['one field more', nodeWith({ x: uint(1) })],
  ['one long field more', nodeWith({ entries: array([]) })],
  ['entries that are null', nodeWith({ e: NULL })],
  ['entries that are bytes', nodeWith({ e: bytes(Uint8Array.of(1, 2)) })],
  ['entries that are a map', nodeWith({ e: map([]) })],
  ['entries that are numbers', nodeWith({ e: array([uint(1), uint(2)]) })],
  ['an entry that is null', nodeWith({ e: array([NULL]) })],
  ['an entry that is an array', nodeWith({ e: array([array([])]) })],
  ['an entry that is a node', nodeWith({ e: array([encodeNode(null, [])]) })],
  ['fewer entries than said', nodeWith({ e: head(4, 3) })],
  ['2^32 entries said', nodeWith({ e: head(4, 2 ** 32) })],
  ['2^53 entries said', nodeWith({ e: head(4, 2 ** 53) })],
  [
    'fields of the node the wrong way round',
    written((left, entries) =>
      map([
        ['l', linkOrNull(left)],
        ['e', array(entries.map(encodeEntry))],
      ]),
    ),
  ],
  [
    'a field of the node twice',
    written((left, entries) =>
      map([
        ['e', array(entries.map(encodeEntry))],
        ['l', linkOrNull(left)],
        ['l', linkOrNull(left)],
      ]),
    ),
  ],
  [
    'entries twice',
    written((left, entries) =>
      map([
        ['e', array([])],
        ['e', array(entries.map(encodeEntry))],
        ['l', linkOrNull(left)],
      ]),
    ),
  ],
  [
    'names of fields that are bytes',
    written((left, entries) =>
      map([
        [bytes(Buffer.from('e')), array(entries.map(encodeEntry))],
        ['l', linkOrNull(left)],
      ]),
    ),
  ],
  [
    'names of fields that are too long',
    written((left, entries) =>
      map([
        [text('e', 1), array(entries.map(encodeEntry))],
        ['l', linkOrNull(left)],
      ]),
    ),
  ],
  [
    'a map of unsaid length',
    written((left, entries) =>
      join(
        Uint8Array.of(0xbf),
        text('e'),
        array(entries.map(encodeEntry)),
        text('l'),
        linkOrNull(left),
        BREAK,
      ),
    ),
  ],
  ['an array of unsaid length', nodeWith({ e: join(Uint8Array.of(0x9f), BREAK) })],
  [
    'a map whose length is too long',
    written((left, entries) => join(head(5, 2, 1), encodeNode(left, entries).subarray(1))),
  ],
  ['an array whose length is too long', nodeWith({ e: head(4, 0, 4) })],
  ['a node with a tag', written((left, entries) => tagged(24, encodeNode(left, entries)))],
  [
    'entry fields in another order',
    entryOf(({ k, p, t, v }) =>
      map([
        ['p', p],
        ['k', k],
        ['v', v],
        ['t', t],
      ]),
    ),
  ],
  [
    'an entry field twice',
    entryOf(({ k, p, t, v }) =>
      map([
        ['k', k],
        ['p', p],
        ['t', t],
        ['v', v],
        ['v', v],
      ]),
    ),
  ],
  ['an entry field more', entryOf((fields) => canonicalMap({ ...fields, x: NULL }))],
  ['no right child', entryOf(({ k, p, v }) => canonicalMap({ k, p, v }))],
  ['no value', entryOf(({ k, p, t }) => canonicalMap({ k, p, t }))],
  ['no key', entryOf(({ p, t, v }) => canonicalMap({ p, t, v }))],
  ['no prefix', entryOf(({ k, t, v }) => canonicalMap({ k, t, v }))],
  [
    'an entry of unsaid length',
    entryOf(({ k, p, t, v }) =>
      join(Uint8Array.of(0xbf), text('k'), k, text('p'), p, text('t'), t, text('v'), v, BREAK),
    ),
  ],
  [
    'a key that is text',
    entryOf((fields, { rest }) => canonicalMap({ ...fields, k: text(Buffer.from(rest).toString()) })),
  ],
  ['a key that is null', entryWith({ k: NULL })],
  [
    'a key in pieces',
    entryOf((fields, { rest }) =>
      canonicalMap({
        ...fields,
        k: join(Uint8Array.of(0x5f), bytes(rest.subarray(0, 1)), bytes(rest.subarray(1)), BREAK),
      }),
    ),
  ],
  [
    'a key whose length is too long',
    entryOf((fields, { rest }) => canonicalMap({ ...fields, k: bytes(rest, 2) })),
  ],
  ['a key longer than the node', entryWith({ k: head(2, 2 ** 20) })],
  ['a key of 2^53 bytes', entryWith({ k: head(2, 2 ** 53) })],
  ['a key that adds nothing', entryWith({ k: bytes(Uint8Array.of()) })],
  [
    'a prefix that is a float',
    entryOf((fields, { shared }) => canonicalMap({ ...fields, p: float(shared) })),
  ],
  ['a prefix that is null', entryWith({ p: NULL })],
  ['a prefix that is text', entryWith({ p: text('18') })],
  ['a negative prefix', entryWith({ p: negative(0) })],
  [
    'a prefix written too long',
    entryOf((fields, { shared }) => canonicalMap({ ...fields, p: uint(shared, 4) })),
  ],
  [
    'a prefix written in eight bytes',
    entryOf((fields, { shared }) => canonicalMap({ ...fields, p: uint(shared, 8) })),
  ],
  ['a prefix of 2^32 - 1', entryWith({ p: uint(2 ** 32 - 1) })],
  [
    'a prefix of 2^32 and the right one',
    entryOf((fields, { shared }) => canonicalMap({ ...fields, p: uint(2 ** 32 + shared) })),
  ],
  ['a prefix of 2^53', entryWith({ p: uint(2 ** 53) })],
  ['a prefix of 2^64 - 1', entryWith({ p: Buffer.alloc(9, 0xff).fill(0x1b, 0, 1) })],
  ['a prefix longer than the key before', entryWith({ p: uint(100) })],
  ['a prefix of nothing, where keys share some', sharing(() => 0)],
  ['a prefix that is one too short', sharing((right) => right - 1)],
  ['a prefix that is one too long', sharing((right) => right + 1)],
  [
    'a prefix on the first key',
    written((left, [first, ...rest]) =>
      encodeNode(left, [{ ...first!, shared: 1, rest: first!.rest.subarray(1) }, ...rest]),
    ),
  ],
  ['a value that is null', entryWith({ v: NULL })],
  ...LINKS.map(([what, piece]) => [`a value that is ${what}`, entryWith({ v: piece })] as const),
  ...LINKS.map(([what, piece]) => [`a right child that is ${what}`, entryWith({ t: piece })] as const),
  ...LINKS.map(([what, piece]) => [`a left child that is ${what}`, nodeWith({ l: piece })] as const),
]

function half(piece: Piece): Piece {
  return piece.subarray(0, piece.length / 2)
}

/** The block of a tree that is written wrongly stands for itself, and for a child of a right one. */
export function beneath(tree: TreeNode): TreeNode {
  const [above] = keysOn(2, 1, { after: KEYS.at(-1)! })
  return { left: tree, entries: [entry(above!)] }
}
