import type { FailureClass } from '../../../src/verdict.js'
import { RECORD } from './bad-trees.js'
import { type Block, blockOf, cidOf, RAW, textOf } from './block.js'
import { carOf, framed, headerOf, section, varint } from './car.js'
import { array, canonicalMap, head, link, map, NULL, text, uint } from './cbor.js'

/** CAR files, whatever is in their blocks. */

type BadCar = readonly [what: string, failure: FailureClass, car: Buffer]

interface FineCar {
  readonly car: Buffer
  readonly roots: readonly Uint8Array[]
  readonly blocks: readonly Block[]
}

const MiB = 1024 * 1024
const OTHER = blockOf(canonicalMap({ other: text('record') }))
const ROOTS = [RECORD.cid]
const HEADER = framed(headerOf(ROOTS))
const RIGHT = carOf(ROOTS, [RECORD, OTHER])

const join = (...pieces: readonly Uint8Array[]): Buffer => Buffer.concat(pieces)
const withHeader = (header: Uint8Array): Buffer => join(framed(header), section(RECORD))
const withSection = (...pieces: readonly Uint8Array[]): Buffer => join(HEADER, section(RECORD), ...pieces)
const withCid = (cid: Uint8Array, bytes: Uint8Array = OTHER.bytes): Buffer => withSection(framed(cid, bytes))

/** A block of so many bytes. */
const sized = (length: number): Block => blockOf(Buffer.alloc(length, 'a'))

const cases = (failure: FailureClass, cars: Readonly<Record<string, Buffer>>): readonly BadCar[] =>
  Object.entries(cars).map(([what, car]) => [what, failure, car])

const nothing = Buffer.of()
const ones = (count: number): Buffer => Buffer.alloc(count, 0xff)

const JUNK = cases('bad-response', {
  'a page': Buffer.from(`<html><body>${'Welcome. '.repeat(50)}</body></html>`),
  'an error in JSON': Buffer.from(JSON.stringify({ error: 'InternalServerError', message: 'x'.repeat(200) })),
  zeros: Buffer.alloc(100),
  ones: ones(100),
  'an archive': join(Buffer.from('1f8b08', 'hex'), ones(200)),
  'a header of no bytes': join(varint(0), section(RECORD)),
  'a header that is no CBOR': withHeader(ones(20)),
  'a header that is null': withHeader(NULL),
  'a header that is a list': withHeader(array([])),
  'a header that is an empty map': withHeader(map([])),
  'a header without a version': withHeader(canonicalMap({ roots: array([link(RECORD.cid)]) })),
  'a header without roots': withHeader(canonicalMap({ version: uint(1) })),
  'a header of version 0': withHeader(headerOf(ROOTS, 0)),
  'a header of version 2': withHeader(headerOf(ROOTS, 2)),
  'the pragma of version 2': withHeader(canonicalMap({ version: uint(2) })),
  'a header whose version is text': withHeader(
    canonicalMap({ roots: array([link(RECORD.cid)]), version: text('1') }),
  ),
  'a header whose roots are null': withHeader(canonicalMap({ roots: NULL, version: uint(1) })),
  'a header whose roots are text': withHeader(
    canonicalMap({ roots: array([text(textOf(RECORD.cid))]), version: uint(1) }),
  ),
  'a header whose root is null': withHeader(canonicalMap({ roots: array([NULL]), version: uint(1) })),
  'a header whose root is cut off': withHeader(headerOf([RECORD.cid.subarray(0, -1)])),
  'a header that says it has 2^32 roots': withHeader(
    join(head(5, 2), text('roots'), head(4, 2 ** 32), link(RECORD.cid)),
  ),
  'a header of lists in lists': withHeader(Buffer.alloc(4_000, 0x81)),
  'a header with 10,000 roots': join(framed(headerOf(Array(10_000).fill(RECORD.cid))), section(RECORD)),
  'a header of 2^31 bytes': join(varint(2 ** 31), headerOf(ROOTS)),
  'a header of 2^63 bytes': join(varint(2 ** 63), headerOf(ROOTS)),
  'a length of eleven bytes': join(ones(10), Buffer.of(1), headerOf(ROOTS)),
  'a length of endless bytes': ones(5_000),
  'a header whose length is written too long': join(
    Buffer.of(headerOf(ROOTS).length | 0x80, 0),
    headerOf(ROOTS),
    section(RECORD),
  ),
  'a header in another order': withHeader(
    map([
      ['version', uint(1)],
      ['roots', array([link(RECORD.cid)])],
    ]),
  ),
  'a header with a byte behind it': withHeader(join(headerOf(ROOTS), Buffer.of(0))),
  'a block of no bytes at all': withSection(varint(0), section(OTHER)),
  'zeros at the end': withSection(Buffer.alloc(10)),
  'a block shorter than its CID': withSection(framed(RECORD.cid.subarray(0, 20))),
  'a block whose length is written too long': withSection(
    Buffer.of((36 + OTHER.bytes.length) | 0x80, 0),
    OTHER.cid,
    OTHER.bytes,
  ),
  'a length of a block of endless bytes': withSection(ones(5_000)),
  'a block with no CID': withSection(framed(OTHER.bytes, OTHER.bytes, OTHER.bytes)),
  'a block with a CID of version 0': withCid(OTHER.cid.subarray(2), Buffer.alloc(50)),
  'a block with a CID of version 2': withCid(cidOf(OTHER.bytes, { version: 2 })),
  'a block with a CID of DAG-PB': withCid(cidOf(OTHER.bytes, { codec: 0x70 })),
  'a block with a CID by the identity': withCid(
    cidOf(OTHER.bytes, { hashing: 0, digest: Buffer.alloc(32, 'a') }),
  ),
  'a block with a CID by SHA-512': withCid(cidOf(OTHER.bytes, { hashing: 0x13, digest: Buffer.alloc(64) })),
  'a block with a CID by half of SHA-256': withCid(
    cidOf(OTHER.bytes, { digest: OTHER.cid.subarray(4, 20) }),
    Buffer.alloc(50),
  ),
  'a block with a CID by another hash of 32 bytes': withCid(cidOf(OTHER.bytes, { hashing: 0x1e })),
  'another CAR behind it': join(RIGHT, RIGHT),
})

const FORGED = cases('cid-mismatch', {
  'a block with the CID of another': withCid(RECORD.cid),
  'a block with a bit flipped': withCid(
    OTHER.cid,
    OTHER.bytes.map((byte, at) => (at === 4 ? byte ^ 1 : byte)),
  ),
  'a block with a byte more': withCid(OTHER.cid, join(OTHER.bytes, Buffer.of(0))),
  'a block with a byte less': withCid(OTHER.cid, OTHER.bytes.subarray(0, -1)),
  'a block of which only the CID is there': withCid(OTHER.cid, nothing),
  'a raw block with a bit flipped': withCid(cidOf(OTHER.bytes, { codec: RAW }), RECORD.bytes),
  'the same block twice, once forged': withCid(RECORD.cid, OTHER.bytes),
})

const LARGE = cases('body-too-large', {
  'a block of 2 MiB': carOf(ROOTS, [RECORD, sized(2 * MiB)]),
  'a block that says it has 2 MiB': withSection(varint(36 + 2 * MiB), RECORD.cid),
  'a block that says it has 2^32 bytes': withSection(varint(2 ** 32), RECORD.cid),
  'a block that says it has 2^32 bytes and some': withSection(
    varint(2 ** 32 + 36 + 5),
    section(OTHER).subarray(1),
  ),
  'a block that says it has 2^53 bytes': withSection(varint(2 ** 53), RECORD.cid),
  'a block that says it has 2^63 bytes': withSection(varint(2 ** 63), RECORD.cid),
})

const CUT = cases('incomplete-car', {
  nothing,
  'half a header': Buffer.from(HEADER.subarray(0, 20)),
  'the length of a header': Buffer.from(HEADER.subarray(0, 1)),
  'half of a length': withSection(Buffer.of(0x80)),
  'the length of a block': withSection(section(OTHER).subarray(0, 1)),
  'half a CID': withSection(section(OTHER).subarray(0, 20)),
  'half a block': withSection(section(OTHER).subarray(0, -5)),
  'a block that says it has almost 2 MiB': withSection(varint(35 + 2 * MiB), RECORD.cid),
})

export const BAD_CARS = [...JUNK, ...FORGED, ...LARGE, ...CUT]

const LARGEST = sized(2 * MiB - 1)
const MANY = Array.from({ length: 5_000 }, (_, index) => blockOf(canonicalMap({ index: uint(index) })))

const fine = (
  what: string,
  roots: readonly Uint8Array[],
  blocks: readonly Block[],
): readonly [what: string, car: FineCar] => [what, { roots, blocks, car: carOf(roots, blocks) }]

const RAW_RECORD = blockOf(RECORD.bytes, { codec: RAW })

export const FINE_CARS: readonly (readonly [what: string, car: FineCar])[] = [
  fine('no block', ROOTS, []),
  fine('no root', [], [RECORD]),
  fine('two roots', [RECORD.cid, OTHER.cid], [RECORD, OTHER]),
  fine('a root that is not there', [OTHER.cid], [RECORD]),
  fine('a block twice', ROOTS, [RECORD, OTHER, RECORD]),
  fine('a block 2,000 times', ROOTS, Array(2_000).fill(RECORD)),
  fine('a block of no bytes', ROOTS, [RECORD, blockOf(nothing), OTHER]),
  fine('a block of one byte less than 2 MiB', ROOTS, [RECORD, LARGEST, OTHER]),
  fine(
    'blocks of every length around a page',
    ROOTS,
    [16_000, 16_384, 20_480, 4_096, 65_536, 300_000].map(sized),
  ),
  fine('raw blocks', ROOTS, [blockOf(Buffer.from('blob'), { codec: RAW })]),
  fine('the same bytes as two kinds of blocks', ROOTS, [RECORD, RAW_RECORD]),
  fine('the same bytes as two kinds of blocks, the other first', ROOTS, [RAW_RECORD, RECORD]),
  fine('5,000 blocks', ROOTS, MANY),
]
