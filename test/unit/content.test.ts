import { createHash } from 'node:crypto'
import { encode } from '@atcute/cbor'
import { base58btc } from 'multiformats/bases/base58'
import { CID } from 'multiformats/cid'
import { create as createDigest } from 'multiformats/hashes/digest'
import { describe, expect, it } from 'vitest'
import { cidOfJson, isCid, textOfJson } from '../../src/atproto/content.js'

const LINK = 'bafyreidfayvfuwqa7qlnopdjiqrxzs6blmoeu4rujcjtnci5beludirz2a'
const BLOB = 'bafkreidfayvfuwqa7qlnopdjiqrxzs6blmoeu4rujcjtnci5beludirz2a'

/** Values as text, and their CIDs as `@ipld/dag-cbor` 7 with multiformats' SHA-256 gives them. */
const KNOWN: [string, string, string][] = [
  ['nothing', '{}', 'bafyreigbtj4x7ip5legnfznufuopl4sg4knzc2cof6duas4b3q2fy6swua'],
  [
    'every simple type',
    `{"$type":"com.example.post","text":"Grüße 🌊\\u0000","createdAt":"2026-01-02T03:04:05.678Z","langs":["de","en"],
      "likes":0,"big":9007199254740991,"low":-9007199254740991,"yes":true,"no":false,"nothing":null}`,
    'bafyreidrgc33mqd6ga2xrgcnwwxxaq2jk7knddurliucmidyovyysyaiba',
  ],
  [
    'links and blobs',
    `{"a":{"$link":"${LINK}"},"blob":{"$type":"blob","ref":{"$link":"${BLOB}"},"mimeType":"image/png","size":3}}`,
    'bafyreiey2yt2xu3ktiamajhphfnriuwo7hv5ilghjri3psxjfgsi3buipa',
  ],
  [
    'bytes',
    '{"a":{"$bytes":"AQID"},"b":{"$bytes":"AQI"},"c":{"$bytes":""}}',
    'bafyreih4utn5zdlhaoctlre23sevyequ7gdz7hmvcrhvfxlqiihdbky34y',
  ],
  [
    'bytes with padding',
    '{"a":{"$bytes":"AQID"},"b":{"$bytes":"AQI="},"c":{"$bytes":""}}',
    'bafyreih4utn5zdlhaoctlre23sevyequ7gdz7hmvcrhvfxlqiihdbky34y',
  ],
  [
    'what only begins like a link or bytes',
    `{"a":{"$link":"${LINK}","b":1},"c":{"$bytes":"AQID","d":2}}`,
    'bafyreieivoserxijeeox63l5ikpmj4xl2rcrzd3yxopi6p6wjbtxw2mniq',
  ],
  [
    'keys by length in bytes, then by bytes',
    '{"bb":1,"a":2,"é":3,"\uffff":4,"😀":5,"aaa":6,"":7}',
    'bafyreicuqbmafe5bh5js4gagdtkvs2q5gvjtfxqsryyvewu5fjvjtfeq54',
  ],
  [
    'a field that objects have by themselves',
    `{"constructor":"Ferrari","season":2026,"results":[{"constructor":{"a":1},"$link":"${LINK}"}]}`,
    'bafyreihd5jjpf2git3rc5zthpf3lgc33e3bpics76btwwjqo6ikfkmwkvy',
  ],
  [
    'a field that objects do not like',
    '{"__proto__":{"a":1},"b":2}',
    'bafyreiaihxhoffkp7xkisphq2nzdv3vtoe5pgrfck743lziqmlfedqa4yu',
  ],
  [
    'long text and a long list',
    JSON.stringify({
      text: 'ü'.repeat(70_000),
      list: Array.from({ length: 300 }, (_, index) => index * 1_000),
    }),
    'bafyreihbumnm3qn74oeeyxnc2bdb3zdnuigo2nncjxvhmim5hio5thpxm4',
  ],
]

describe('the CID of a record', () => {
  it.each(KNOWN)('is that of its DAG-CBOR: %s', (_, json, cid) => {
    expect(cidOfJson(JSON.parse(json))).toBe(cid)
  })

  it('does not depend on the order of fields', () => {
    const reversed = KNOWN.map(([, json]) => Object.fromEntries(Object.entries(JSON.parse(json)).reverse()))
    expect(reversed.map((value) => cidOfJson(value))).toEqual(KNOWN.map(([, , cid]) => cid))
  })

  it('is that of the CBOR which the library makes, whatever the sizes', () => {
    const sizes = [0, 1, 23, 24, 85, 86, 127, 128, 255, 256, 65_535, 65_536, 100_000]
    const texts = sizes.flatMap((size) => ['a', 'é', '€', '\ud800'].map((unit) => unit.repeat(size)))
    const numbers = [0, -0, 0.5, -1e-7, ...sizes, 2 ** 32 - 1, 2 ** 32, 2 ** 53 - 1]
    const keys = (count: number, unit: string) =>
      Object.fromEntries(
        Array.from({ length: count }, (_, index) => [unit.repeat((index * 7) % count), index]),
      )
    const values = [
      ...texts,
      ...numbers.flatMap((number) => [number, -number]),
      ...sizes.filter((size) => size < 300).map((size) => Array(size).fill(size)),
      ...[5, 24, 31, 33, 100, 300].flatMap((count) => [keys(count, 'k'), keys(count, 'ü')]),
    ]
    const theirs = (value: object) => {
      const digest = createHash('sha256').update(encode(value)).digest()
      return CID.create(1, 0x71, createDigest(0x12, digest)).toString()
    }
    for (const value of values) expect(cidOfJson({ value })).toBe(theirs({ value }))
    expect(cidOfJson({ values })).toBe(theirs({ values }))
  })

  it('is shared by no two values', () => {
    const values = [
      ...[
        '{"a":1}',
        '{"a":2}',
        '{"a":"1"}',
        '{"a":[1]}',
        '{"a":null}',
        '{"b":1}',
        '{"A":1}',
        '{"a":1,"b":null}',
      ],
      ...[
        '{"a":1,"constructor":1}',
        '{"a":1,"constructor":1,"b":1}',
        '{"constructor":[]}',
        '{"constructor":{}}',
      ],
      `{"a":{"$link":"${LINK}"}}`,
      `{"a":{"$link":"${LINK}","constructor":1}}`,
      `{"a":{"$link":"${LINK}","constructor":1,"b":"smuggled"}}`,
      `{"a":{"$bytes":"AQID"}}`,
      `{"a":{"$bytes":"AQID","constructor":1}}`,
    ]
    const cids = values.map((json) => cidOfJson(JSON.parse(json)))
    expect(cids).not.toContain(null)
    expect(new Set(cids).size).toBe(values.length)
  })

  it.each([
    '{"a":9007199254740993}',
    '{"a":-9007199254740993}',
    '{"a":1e300}',
    '{"a":{"$link":"bafy"}}',
    '{"a":{"$link":1}}',
    '{"a":{"$bytes":"?"}}',
    '{"a":{"$bytes":1}}',
    '{"constructor":9007199254740993}',
    `{"a":${'['.repeat(100_000)}${']'.repeat(100_000)}}`,
  ])('is null where there is no DAG-CBOR (%#)', (json) => {
    expect(cidOfJson(JSON.parse(json))).toBeNull()
  })
})

describe('a CID', () => {
  it.each([LINK, BLOB])('is told: %s', (cid) => {
    expect(isCid(cid)).toBe(true)
  })

  const digest = CID.parse(LINK).multihash
  it.each([
    ['nothing', ''],
    ['its beginning', LINK.slice(0, -1)],
    ['more than it', `${LINK}a`],
    ['upper case', LINK.toUpperCase()],
    ['white space', ` ${LINK.slice(1)}`],
    ['a digit that base32 does not have', `${LINK.slice(0, -1)}1`],
    ['version 0', CID.create(0, 0x70, digest).toString()],
    ['base58', CID.parse(LINK).toString(base58btc)],
    ['git objects', CID.create(1, 0x78, digest).toString()],
    ['another hash of the same length', CID.create(1, 0x71, createDigest(0x16, digest.digest)).toString()],
    ['SHA-512', CID.create(1, 0x71, createDigest(0x13, new Uint8Array(64))).toString()],
  ])('is told from other text: %s', (_, text) => {
    expect(isCid(text)).toBe(false)
  })
})

describe('the text of a value', () => {
  const nested = (levels: number, open = '{"a":', close = '}') =>
    JSON.parse(`${open.repeat(levels)}1${close.repeat(levels)}`)

  it.each(KNOWN.map(([name, json]) => [name, JSON.parse(json)]))('reads as the value: %s', (_, value) => {
    expect(JSON.parse(textOfJson(value)!)).toEqual(value)
  })

  it('has a limit to its depth, not to its length', () => {
    expect(textOfJson(nested(1_000))).not.toBeNull()
    expect(textOfJson(nested(1_000, '[', ']'))).not.toBeNull()
    for (const levels of [1_001, 3_000, 100_000]) {
      expect(textOfJson(nested(levels))).toBeNull()
      expect(textOfJson(nested(levels, '[', ']'))).toBeNull()
      expect(textOfJson({ first: 1, second: [{}, nested(levels, '[', ']')] })).toBeNull()
    }
    expect(textOfJson({ list: Array(100_000).fill({ text: '[[[[{{{{' }) })).not.toBeNull()
  })
})
