import type { FailureClass } from '../../../src/verdict.js'
import { type Block, blockOf, RAW } from './block.js'
import { array, bytes, canonicalMap, head, link, map, NULL, type Piece, text, uint } from './cbor.js'
import { type CommitFields, commitFields, highS, type Key, p256, sign } from './commit.js'

/** Commits that must be refused. */

type Fields = Record<string, Piece>

type Make = (key: Key, fields: CommitFields) => Promise<Block>
type BadCommit = readonly [what: string, failure: FailureClass, make: Make]

/** Signed as it stands, with some fields changed. */
const signedWith = (changed: Readonly<Fields>) => (key: Key, fields: CommitFields) =>
  sign(key, { ...commitFields(fields), ...changed })

const signedWithout = (name: string) => (key: Key, fields: CommitFields) => {
  const { [name]: _, ...others } = commitFields(fields)
  return sign(key, others)
}

/** Signed as it should be, and written some other way. */
const writtenAs = (encode: (fields: Readonly<Fields>) => Piece) => (key: Key, fields: CommitFields) =>
  sign(key, commitFields(fields), encode)

/** With another signature in the place of the right one. */
const signatureOf =
  (change: (signature: Uint8Array, key: Key, content: Uint8Array) => Uint8Array | Promise<Uint8Array>) =>
  async (key: Key, fields: CommitFields) => {
    const content = canonicalMap(commitFields(fields))
    const sig = await change(await key.sign(content), key, content)
    return blockOf(canonicalMap({ ...commitFields(fields), sig: bytes(sig) }))
  }

/** With fields that the signature does not cover. */
function writtenBeside(added: Readonly<Fields>): Make {
  return (key, fields) => sign(key, commitFields(fields), (signed) => canonicalMap({ ...signed, ...added }))
}

const join = (...pieces: readonly Uint8Array[]): Piece => Buffer.concat(pieces)
const NAMES = ['did', 'rev', 'sig', 'data', 'prev', 'version']
const inOrder = (fields: Readonly<Fields>, names = NAMES) =>
  names.map((name) => [name, fields[name]!] as const)

/** With each field written by itself. */
const pieces = (fields: Readonly<Fields>, replaced: Readonly<Fields> = {}): Piece =>
  join(...inOrder({ ...fields, ...replaced }).flatMap(([name, value]) => [text(name), value]))

const RIGHT_HEAD = head(5, NAMES.length)

const cases = (failure: FailureClass, made: Readonly<Record<string, Make>>): readonly BadCommit[] =>
  Object.entries(made).map(([what, make]) => [what, failure, make])

const SIGNATURES = cases('bad-signature', {
  'of another key': async (_key, fields) => sign(await p256('stranger'), commitFields(fields)),
  'with the other s': signatureOf((signature, key) => highS(key, signature)),
  'with r and s the wrong way round': signatureOf((signature) =>
    join(signature.subarray(32), signature.subarray(0, 32)),
  ),
  'with a bit flipped in the signature': signatureOf((signature) =>
    signature.map((byte, at) => (at === 5 ? byte ^ 1 : byte)),
  ),
  'with an empty signature': signatureOf(() => Uint8Array.of()),
  'with a signature of zeros': signatureOf(() => new Uint8Array(64)),
  'with a signature of ones': signatureOf(() => new Uint8Array(64).fill(255)),
  'with a signature that is cut off': signatureOf((signature) => signature.subarray(0, 63)),
  'with a signature that is too long': signatureOf((signature) => join(signature, Uint8Array.of(0))),
  'with a signature in DER': signatureOf((signature) => derOf(signature)),
  'with a field that was not signed': writtenBeside({ note: text('added') }),
  'with a signature of a mebibyte': signatureOf(() => new Uint8Array(2 ** 20)),
  'signed before its rev was changed': signatureOf((_signature, key, content) =>
    key.sign(content.map((byte, at) => (at === content.length - 1 ? byte ^ 1 : byte))),
  ),
})

const OTHERS = cases('did-mismatch', {
  'of another account with the same key': signedWith({ did: text(`did:plc:${'b'.repeat(24)}`) }),
  'of an account whose DID begins the same': (key, fields) =>
    sign(key, commitFields({ ...fields, did: `${fields.did}a` })),
  'of an account whose DID is the same but for capitals': (key, fields) =>
    sign(key, commitFields({ ...fields, did: fields.did.toUpperCase() })),
  'of no account': signedWith({ did: text('') }),
})

const VERSIONS = cases('unverifiable', {
  'of version 0': signedWith({ version: uint(0) }),
  'of version 1': signedWith({ version: uint(1) }),
  'of version 2': signedWith({ version: uint(2) }),
  'of version 4': signedWith({ version: uint(4) }),
  'of version 2^32 + 3': signedWith({ version: uint(2 ** 32 + 3) }),
})

const SHAPES = cases('bad-tree', {
  'that is no bytes at all': async () => blockOf(Uint8Array.of()),
  'that is null': async () => blockOf(NULL),
  'that is an array': async () => blockOf(array([])),
  'that is an empty map': async () => blockOf(map([])),
  'that is a record': async () => blockOf(canonicalMap({ $type: text('com.example.thing') })),
  'without its DID': signedWithout('did'),
  'without its rev': signedWithout('rev'),
  'without its data': signedWithout('data'),
  'without its version': signedWithout('version'),
  'without a signature': async (_key, fields) => blockOf(canonicalMap(commitFields(fields))),
  'whose signature is null': async (_key, fields) =>
    blockOf(canonicalMap({ ...commitFields(fields), sig: NULL })),
  'whose signature is text': writtenAs((fields) => canonicalMap({ ...fields, sig: text('abc') })),
  'whose DID is null': signedWith({ did: NULL }),
  'whose DID is bytes': (key, fields) =>
    sign(key, { ...commitFields(fields), did: bytes(Buffer.from(fields.did)) }),
  'whose rev is null': signedWith({ rev: NULL }),
  'whose rev is a number': signedWith({ rev: uint(3) }),
  'whose version is text': signedWith({ version: text('3') }),
  'whose version is a float': signedWith({ version: Uint8Array.of(0xf9, 0x42, 0x00) }),
  'whose version is true': signedWith({ version: Uint8Array.of(0xf5) }),
  'whose data is null': signedWith({ data: NULL }),
  'whose data is text': signedWith({
    data: text('bafyreigbtj4x7ip5legnfznufuopl4sg4knzc2cof6duas4b3q2fy6swua'),
  }),
  'whose own CID is that of raw bytes': async (key, fields) =>
    blockOf((await sign(key, commitFields(fields))).bytes, { codec: RAW }),
  'whose data is raw bytes': (key, fields) =>
    sign(key, { ...commitFields(fields), data: link(blockOf(Uint8Array.of(), { codec: RAW }).cid) }),
  'whose data is a map with a link and more': signedWith({
    data: map([
      ['a', uint(1)],
      ['$link', text('bafyreigbtj4x7ip5legnfznufuopl4sg4knzc2cof6duas4b3q2fy6swua')],
    ]),
  }),
  'whose signature is a map with bytes and more': writtenAs((fields) =>
    canonicalMap({
      ...fields,
      sig: map([
        ['a', uint(1)],
        ['$bytes', text('AQID')],
      ]),
    }),
  ),
  'whose commit before is a number': signedWith({ prev: uint(1) }),
  'with a field that is a float': signedWith({ note: Uint8Array.of(0xf9, 0x42, 0x00) }),
  'whose data is a CID that is cut off': (key, fields) =>
    sign(key, { ...commitFields(fields), data: link(fields.data.subarray(0, -1)) }),
  'with a byte behind it': writtenAs((fields) => join(canonicalMap(fields), uint(0))),
  'with another commit behind it': writtenAs((fields) => join(canonicalMap(fields), canonicalMap(fields))),
  'that is cut off': writtenAs((fields) => canonicalMap(fields).subarray(0, -1)),
  'with its fields by the alphabet': writtenAs((fields) => map(inOrder(fields, NAMES.toSorted()))),
  'with a field twice': writtenAs((fields) => map([...inOrder(fields), ['version', uint(3)]])),
  'with two DIDs': writtenAs((fields) => map([['did', text('did:web:example.com')], ...inOrder(fields)])),
  'of unsaid length': writtenAs((fields) => join(Uint8Array.of(0xbf), pieces(fields), Uint8Array.of(0xff))),
  'whose length is too long': writtenAs((fields) => join(head(5, NAMES.length, 1), pieces(fields))),
  'whose version is written too long': writtenAs((fields) =>
    join(RIGHT_HEAD, pieces(fields, { version: uint(3, 1) })),
  ),
  'whose signature has too long a length': writtenAs(({ sig, ...fields }) =>
    join(RIGHT_HEAD, pieces(fields, { sig: bytes(sig!.subarray(2), 2) })),
  ),
  'whose DID is in pieces': writtenAs((fields) =>
    join(RIGHT_HEAD, pieces(fields, { did: join(Uint8Array.of(0x7f), fields.did!, Uint8Array.of(0xff)) })),
  ),
  'with a tag': writtenAs((fields) => join(head(6, 24), canonicalMap(fields))),
})

const REVS = cases('bad-response', {
  'with an empty rev': signedWith({ rev: text('') }),
  'with a rev that is a number': signedWith({ rev: text('12') }),
  'with a rev that is a time': signedWith({ rev: text('2026-01-02T03:04:05.678Z') }),
  'with a rev in capitals': (key, fields) =>
    sign(key, commitFields({ ...fields, rev: fields.rev.toUpperCase() })),
  'with a rev that is too short': (key, fields) =>
    sign(key, commitFields({ ...fields, rev: fields.rev.slice(1) })),
  'with a rev that is too long': (key, fields) =>
    sign(key, commitFields({ ...fields, rev: `${fields.rev}2` })),
  'with a rev that has a 1': (key, fields) =>
    sign(key, commitFields({ ...fields, rev: `${fields.rev.slice(0, -1)}1` })),
  'with a rev that has a line feed behind it': (key, fields) =>
    sign(key, commitFields({ ...fields, rev: `${fields.rev}\n` })),
  'with a rev beyond 2^63': signedWith({ rev: text('zzzzzzzzzzzzz') }),
  'with the last rev there is': signedWith({ rev: text('jzzzzzzzzzzzz') }),
})

export const BAD_COMMITS = [...SIGNATURES, ...OTHERS, ...VERSIONS, ...SHAPES, ...REVS]

/** Commits that look odd, and are right. Their DID, rev and data are the given ones. */
export const FINE_COMMITS: readonly (readonly [what: string, make: Make])[] = [
  ['that is as usual', signedWith({})],
  ['with a commit before it', signedWith({ prev: link(blockOf(NULL).cid) })],
  ['that says nothing of one before it', signedWithout('prev')],
  ['with a field that nobody knows', signedWith({ note: text('signed along') })],
  ['with twenty fields that nobody knows', signedWith(manyFields(20))],
]

function manyFields(count: number): Fields {
  return Object.fromEntries(
    Array.from({ length: count }, (_, index) => [
      `x${index}`,
      canonicalMap({ sig: array([uint(index), NULL]) }),
    ]),
  )
}

function derOf(signature: Uint8Array): Uint8Array {
  const number = (part: Uint8Array) => {
    const padded = part[0]! >= 0x80 ? join(Uint8Array.of(0), part) : part
    return join(Uint8Array.of(2, padded.length), padded)
  }
  const body = join(number(signature.subarray(0, 32)), number(signature.subarray(32)))
  return join(Uint8Array.of(0x30, body.length), body)
}
