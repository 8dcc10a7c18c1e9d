import { RECORD } from './bad-trees.js'
import { cidOf, RAW, textOf } from './block.js'
import { array, bytes, canonicalMap, head, link, map, NULL, type Piece, text, uint } from './cbor.js'

/** Records as bytes: what is atproto data, and what is not. */

/** A record with one field. */
const having = (value: Piece): Piece => canonicalMap({ a: value })

const join = (...pieces: readonly Uint8Array[]): Piece => Buffer.concat(pieces)
const of = (...content: number[]): Piece => Uint8Array.from(content)
const CID = RECORD.cid
const ZERO = of(0)
const BLOB = cidOf(ZERO, { codec: RAW })

/** Arrays in arrays. */
const nested = (levels: number): Piece => join(Buffer.alloc(levels, 0x81), uint(0))

/** Maps in maps. */
const nestedMaps = (levels: number): Piece => join(Buffer.from('a16161'.repeat(levels), 'hex'), uint(0))

export const UNREADABLE: readonly (readonly [what: string, content: Piece])[] = [
  ['nothing', of()],
  ['null', NULL],
  ['a number', uint(1)],
  ['text', text('{}')],
  ['bytes', bytes(of(0xa0))],
  ['a list', array([map([])])],
  ['a link', link(CID)],
  ['a map with a byte behind it', join(map([]), ZERO)],
  ['two maps', join(map([]), map([]))],
  ['a map with a tag', join(head(6, 24), map([]))],
  ['a self-described map', of(0xd9, 0xd9, 0xf7, 0xa0)],
  ['a map that is cut off', having(uint(1)).subarray(0, -1)],
  ['a map of unsaid length', join(of(0xbf), text('a'), uint(1), of(0xff))],
  ['a list of unsaid length', having(of(0x9f, 0xff))],
  ['text in pieces', having(join(of(0x7f), text('ab'), of(0xff)))],
  ['bytes in pieces', having(join(of(0x5f), bytes(of(1)), of(0xff)))],
  [
    'fields by the alphabet',
    map([
      ['aa', uint(1)],
      ['b', uint(2)],
    ]),
  ],
  [
    'fields of one length the wrong way round',
    map([
      ['b', uint(1)],
      ['a', uint(2)],
    ]),
  ],
  [
    'a field twice',
    map([
      ['a', uint(1)],
      ['a', uint(2)],
    ]),
  ],
  [
    'a field twice, the same',
    map([
      ['a', uint(1)],
      ['a', uint(1)],
    ]),
  ],
  ['a field named by a number', map([[uint(1), uint(1)]])],
  ['a field named by bytes', map([[bytes(of(0x61)), uint(1)]])],
  ['a field named by null', map([[NULL, uint(1)]])],
  ['a field whose name has too long a length', map([[text('a', 1), uint(1)]])],
  ['a field whose name is broken UTF-8', map([[join(head(3, 1), of(0xff)), uint(1)]])],
  [
    'the wrong order in a map further in',
    having(
      map([
        ['b', uint(1)],
        ['a', uint(2)],
      ]),
    ),
  ],
  ['a float', having(of(0xfb, 0x3f, 0xf1, 0x99, 0x99, 0x99, 0x99, 0x99, 0x9a))],
  ['a float that is whole', having(of(0xfb, 0x3f, 0xf0, 0, 0, 0, 0, 0, 0))],
  ['a float of four bytes', having(of(0xfa, 0x3f, 0x80, 0, 0))],
  ['a float of two bytes', having(of(0xf9, 0x3c, 0x00))],
  ['not a number', having(of(0xfb, 0x7f, 0xf8, 0, 0, 0, 0, 0, 0))],
  ['infinity', having(of(0xfb, 0x7f, 0xf0, 0, 0, 0, 0, 0, 0))],
  ['minus zero', having(of(0xfb, 0x80, 0, 0, 0, 0, 0, 0, 0))],
  ['undefined', having(of(0xf7))],
  ['a simple value', having(of(0xe0))],
  ['false in two bytes', having(of(0xf8, 20))],
  ['true in two bytes', having(of(0xf8, 21))],
  ['null in two bytes', having(of(0xf8, 22))],
  ['a simple value in two bytes', having(of(0xf8, 255))],
  ['a break', having(of(0xff))],
  ['a head that there is not', having(of(0x1c))],
  ['a map’s head that there is not', of(0xbc)],
  ['a number written too long', having(uint(1, 1))],
  ['23 in two bytes', having(uint(23, 1))],
  ['255 in three bytes', having(uint(255, 2))],
  ['65,535 in five bytes', having(uint(65_535, 4))],
  ['2^32 - 1 in nine bytes', having(uint(2 ** 32 - 1, 8))],
  ['a negative number written too long', having(of(0x38, 0))],
  ['2^53', having(uint(2 ** 53))],
  ['2^64 - 1', having(Buffer.alloc(9, 0xff).fill(0x1b, 0, 1))],
  ['-2^53', having(head(1, 2 ** 53 - 1))],
  ['-2^53 - 1', having(of(0x3b, 0, 0x20, 0, 0, 0, 0, 0, 0))],
  ['-2^64', having(Buffer.alloc(9, 0xff).fill(0x3b, 0, 1))],
  ['a large number', having(join(head(6, 2), bytes(of(1, 0, 0, 0, 0, 0, 0, 0, 0))))],
  ['a date', having(join(head(6, 0), text('2026-01-02T03:04:05Z')))],
  ['an address', having(join(head(6, 32), text('https://example.com')))],
  ['text with too long a length', having(text('abc', 1))],
  ['bytes with too long a length', having(bytes(of(1), 2))],
  ['a list with too long a length', having(head(4, 0, 1))],
  ['a map with too long a length', having(head(5, 0, 2))],
  ['text longer than the record', having(head(3, 100))],
  ['text of 2^32 bytes', having(head(3, 2 ** 32))],
  ['text of 2^53 bytes', having(head(3, 2 ** 53))],
  ['text of 2^64 - 1 bytes', having(Buffer.alloc(9, 0xff).fill(0x7b, 0, 1))],
  ['bytes of 2^32 bytes', having(head(2, 2 ** 32))],
  ['a list of 2^32 values', having(head(4, 2 ** 32))],
  ['a list of 2^53 values', having(head(4, 2 ** 53))],
  ['a map of 2^32 fields', head(5, 2 ** 32)],
  ['a map of 2^64 - 1 fields', Buffer.alloc(9, 0xff).fill(0xbb, 0, 1)],
  ['lists of lists that say they are large', having(Buffer.from('9affffffff'.repeat(1_000), 'hex'))],
  ['half a character', having(join(head(3, 1), of(0xc3)))],
  ['half a pair of surrogates', having(join(head(3, 3), of(0xed, 0xa0, 0x80)))],
  ['a pair of surrogates', having(join(head(3, 6), of(0xed, 0xa0, 0xbd, 0xed, 0xb8, 0x80)))],
  ['an overlong slash', having(join(head(3, 2), of(0xc0, 0xaf)))],
  ['an overlong NUL', having(join(head(3, 2), of(0xc0, 0x80)))],
  ['a character beyond Unicode', having(join(head(3, 4), of(0xf4, 0x90, 0x80, 0x80)))],
  ['a byte that is no UTF-8 in long text', having(join(head(3, 301), Buffer.alloc(300, 'a'), of(0xe4)))],
  ['a continuation by itself', having(join(head(3, 1), of(0x80)))],
  ['a link of nothing', having(join(head(6, 42), bytes(of())))],
  ['a link of text', having(join(head(6, 42), text('\0abc')))],
  ['a link of a number', having(join(head(6, 42), uint(1)))],
  ['a link without its first zero', having(join(head(6, 42), bytes(CID)))],
  ['a link with another first byte', having(join(head(6, 42), bytes(join(of(1), CID))))],
  ['a link with a long tag', having(join(of(0xd9, 0, 42), bytes(join(ZERO, CID))))],
  ['a link that is cut off', having(link(CID.subarray(0, -1)))],
  ['a link with a byte more', having(link(join(CID, ZERO)))],
  ['a link to version 0', having(link(CID.subarray(2)))],
  ['a link to version 2', having(link(cidOf(ZERO, { version: 2 })))],
  ['a link to another codec', having(link(cidOf(ZERO, { codec: 0x70 })))],
  ['a link by another hash', having(link(cidOf(ZERO, { hashing: 0x1e })))],
  ['100,000 lists in one another', having(nested(100_000))],
  ['2,000,000 lists in one another', having(nested(2_000_000))],
  ['400,000 maps in one another', nestedMaps(400_000)],
  ['1,001 levels', having(nested(1_000))],
  ['a map that would be read as a link', having(map([['$link', text('abc')]]))],
  [
    'a map that would be read as another link',
    having(map([['$link', text('bafyreigbtj4x7ip5legnfznufuopl4sg4knzc2cof6duas4b3q2fy6swua')]])),
  ],
  ['a map that would be read as bytes', having(map([['$bytes', text('AQID')]]))],
  ['a record that would be read as a link', map([['$link', text('abc')]])],
]

/** Bytes, and the JSON that means the same. */
export const READABLE: readonly (readonly [what: string, content: Piece, json: string])[] = [
  ['no fields', map([]), '{}'],
  ['no $type', having(uint(1)), '{"a":1}'],
  ['all simple values', array3(of(0xf4), of(0xf5), NULL), '{"a":[false,true,null]}'],
  [
    'the numbers around each length',
    having(array([23, 24, 255, 256, 65_535, 65_536, 2 ** 32 - 1, 2 ** 32].map((number) => uint(number)))),
    '{"a":[23,24,255,256,65535,65536,4294967295,4294967296]}',
  ],
  ['the largest number', having(uint(2 ** 53 - 1)), '{"a":9007199254740991}'],
  ['the smallest number', having(head(1, 2 ** 53 - 2)), '{"a":-9007199254740991}'],
  [
    '-1, -24, -25, -256, -257',
    having(array([0, 23, 24, 255, 256].map((number) => head(1, number)))),
    '{"a":[-1,-24,-25,-256,-257]}',
  ],
  ['empty text, list and map', array3(text(''), array([]), map([])), '{"a":["",[],{}]}'],
  [
    'text that JSON escapes',
    having(text('"\\\b\f\n\r\t\0\u001f\u007f\u2028/')),
    JSON.stringify({ a: '"\\\b\f\n\r\t\0\u001f\u007f\u2028/' }),
  ],
  [
    'names that JSON escapes',
    map([
      ['"', uint(1)],
      ['\\', uint(2)],
      ['\n"', uint(3)],
    ]),
    '{"\\"":1,"\\\\":2,"\\n\\"":3}',
  ],
  ['an empty name', map([['', uint(1)]]), '{"":1}'],
  ['text of every width', having(text('aä€😀')), '{"a":"aä€😀"}'],
  ['a byte order mark', having(text('\ufeffa')), '{"a":"\ufeffa"}'],
  ['a replacement character', having(text('\ufffd')), '{"a":"\ufffd"}'],
  [
    'names beyond ASCII, by their length in bytes',
    map([
      ['a', uint(1)],
      ['zz', uint(2)],
      ['é', uint(3)],
      ['zzz', uint(4)],
      ['\uffff', uint(5)],
      ['😀', uint(6)],
    ]),
    '{"a":1,"zz":2,"é":3,"zzz":4,"\uffff":5,"😀":6}',
  ],
  [
    'fields that objects have',
    map([
      ['toJSON', uint(1)],
      ['valueOf', uint(2)],
      ['__proto__', map([['a', uint(1)]])],
      ['constructor', text('Ferrari')],
    ]),
    '{"toJSON":1,"valueOf":2,"__proto__":{"a":1},"constructor":"Ferrari"}',
  ],
  [
    'bytes',
    array3(bytes(of()), bytes(of(1, 2, 3)), bytes(of(255))),
    '{"a":[{"$bytes":""},{"$bytes":"AQID"},{"$bytes":"/w"}]}',
  ],
  ['a link to a blob', having(link(BLOB)), `{"a":{"$link":"${textOf(BLOB)}"}}`],
  [
    'what only begins like a link',
    having(
      map([
        ['b', uint(1)],
        ['$link', text('abc')],
      ]),
    ),
    '{"a":{"b":1,"$link":"abc"}}',
  ],
  [
    'what only begins like bytes',
    having(
      map([
        ['b', uint(1)],
        ['$bytes', text('AQID')],
      ]),
    ),
    '{"a":{"b":1,"$bytes":"AQID"}}',
  ],
  ['a link', having(link(CID)), `{"a":{"$link":"${textOf(CID)}"}}`],
  ['1,000 levels', having(nested(999)), `{"a":${'['.repeat(999)}0${']'.repeat(999)}}`],
  ['long text', having(text('ü'.repeat(100_000))), JSON.stringify({ a: 'ü'.repeat(100_000) })],
  [
    'a long list',
    having(array(Array.from({ length: 70_000 }, () => uint(0)))),
    JSON.stringify({ a: Array(70_000).fill(0) }),
  ],
]

function array3(...values: readonly [Piece, Piece, Piece]): Piece {
  return having(array(values))
}
