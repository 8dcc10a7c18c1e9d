import { decode, encode } from '@atcute/cbor'
import { describe, expect, it } from 'vitest'
import { cidOfJson } from '../../src/atproto/content.js'
import { cidTextAt } from '../../src/atproto/repo/cid.js'
import { jsonOfCbor } from '../../src/atproto/repo/data.js'
import { blockOf, cidOf, RAW } from '../support/repo/block.js'
import { array, bytes, canonicalMap, link, map, text, uint } from '../support/repo/cbor.js'
import { seeded } from './seeded.js'

const LINK = blockOf(text('a')).cid
const BLOB = cidOf(text('a'), { codec: RAW })

/** A value as JSON has it; mostly small. */
function someValue(random: () => number, level = 0): unknown {
  const pick = <T>(from: readonly T[]): T => from[Math.floor(random() * from.length)]!
  const count = () => Math.floor(random() * pick([1, 2, 5, 30]))
  const kind = level > 4 ? random() * 0.7 : random()
  if (kind < 0.1) return pick([null, true, false])
  if (kind < 0.3) return Math.floor((random() - 0.5) * 2 * 2 ** pick([4, 6, 8, 9, 16, 17, 32, 33, 53]))
  if (kind < 0.55) return someText(random, count())
  if (kind < 0.62) return { $bytes: Buffer.alloc(count(), level).toString('base64').replace(/=+$/, '') }
  if (kind < 0.7) return { $link: cidTextAt(pick([LINK, BLOB]), 0) }
  if (kind < 0.8) return Array.from({ length: count() }, () => someValue(random, level + 1))
  return someMap(random, count(), level)
}

function someMap(random: () => number, fields: number, level: number): object {
  const entries = Array.from({ length: fields }, () => {
    const key = random() < 0.1 ? '__proto__' : someText(random, Math.floor(random() * 30))
    return [key, someValue(random, level + 1)] as const
  })
  return Object.fromEntries(entries.filter(([key]) => key !== '$link' && key !== '$bytes'))
}

function someText(random: () => number, length: number): string {
  const alphabet = random() < 0.6 ? 'abcXYZ019 $' : 'ab\0\b\t\n\f\r\x1f\x7f"\\/üß\u2028\ufffd\uffff'
  const characters = Array.from({ length }, () => alphabet[Math.floor(random() * alphabet.length)])
  return characters.join('') + (random() < 0.1 ? '😀' : '')
}

describe('the JSON of a record', () => {
  const random = seeded(6)
  const samples = Array.from({ length: 2_000 }, (_, index) => someMap(random, index % 12, 0))

  it('says what its CBOR says', () => {
    for (const sample of samples) {
      const json = jsonOfCbor(encode(sample))
      expect(JSON.parse(json!)).toEqual(JSON.parse(JSON.stringify(decode(encode(sample)))))
      expect(JSON.parse(json!)).toEqual(sample)
    }
  })

  it('belongs to that CBOR alone: whatever is changed of it, either says something else or nothing', () => {
    let taken = 0
    for (const sample of samples) {
      const right = encode(sample)
      for (let round = 0; round < 20; round += 1) {
        const changed = mutate(right, random)
        const json = jsonOfCbor(changed)
        if (json === null) continue
        taken += 1
        expect(Buffer.compare(encode(JSON.parse(json)), changed)).toBe(0)
      }
    }
    expect(taken).toBeGreaterThan(1_000)
  })

  it('has its text written as JSON.stringify does', () => {
    for (const value of [
      ...samples.map((_, index) => someText(random, index % 100)),
      ...Array.from({ length: 0x300 }, (_, code) => String.fromCharCode(code)),
      'é'.repeat(70_000),
      '\x01'.repeat(70_000),
    ]) {
      expect(jsonOfCbor(encode({ a: value }))).toBe(JSON.stringify({ a: value }))
    }
  })

  it('has a link where a link is, and bytes where bytes are', () => {
    const record = map([
      ['a', link(LINK)],
      ['b', link(BLOB)],
      ['c', bytes(Buffer.from([1, 2, 3, 4]))],
      ['d', bytes(Buffer.alloc(0))],
    ])
    const [one, other] = [LINK, BLOB].map((cid) => cidTextAt(cid, 0))
    expect(jsonOfCbor(record)).toBe(
      `{"a":{"$link":"${one}"},"b":{"$link":"${other}"},"c":{"$bytes":"AQIDBA"},"d":{"$bytes":""}}`,
    )
    expect(cidOfJson(JSON.parse(jsonOfCbor(record)!))).toBe(cidTextAt(blockOf(record).cid, 0))
  })

  it('takes what grows most', () => {
    const empty = Array.from({ length: 100_000 }, () => bytes(Buffer.alloc(0)))
    const json = jsonOfCbor(canonicalMap({ a: array(empty) }))
    expect(JSON.parse(json!).a).toHaveLength(100_000)
  })

  it('takes fields that objects have by themselves', () => {
    const names = ['__proto__', 'constructor', 'hasOwnProperty', 'toString', 'valueOf']
    const record = canonicalMap(Object.fromEntries(names.map((name) => [name, text('mine')])))
    // Not one of them was set above by its plain name.
    expect(Object.keys(JSON.parse(jsonOfCbor(record)!))).toHaveLength(names.length)
  })

  it.each([
    ['a map that its JSON would make a link of', canonicalMap({ $link: text(cidTextAt(LINK, 0)) })],
    ['a map that its JSON would make bytes of', canonicalMap({ $bytes: text('AQID') })],
    ['a map that its JSON would make a broken link of', canonicalMap({ $link: uint(1) })],
  ])('is null for %s', (_, value) => {
    expect(jsonOfCbor(canonicalMap({ a: value }))).toBeNull()
    expect(jsonOfCbor(value)).toBeNull()
  })

  it('has a limit to its depth, which links and bytes count for', () => {
    const inArrays = (levels: number, inner: Uint8Array) =>
      canonicalMap({ a: Buffer.concat([Buffer.alloc(levels - 1, 0x81), inner]) })
    expect(jsonOfCbor(inArrays(1_000, uint(1)))).not.toBeNull()
    expect(jsonOfCbor(inArrays(1_001, uint(1)))).toBeNull()
    expect(jsonOfCbor(inArrays(1_000_000, uint(1)))).toBeNull()
    expect(jsonOfCbor(inArrays(999, link(LINK)))).not.toBeNull()
    for (const inner of [link(LINK), bytes(LINK), array([]), map([])]) {
      expect(jsonOfCbor(inArrays(1_000, inner))).toBeNull()
    }
  })
})

/** With a byte changed, taken away, doubled or put in from elsewhere. */
function mutate(right: Uint8Array, random: () => number): Buffer {
  const changed = Buffer.from(right)
  const at = Math.floor(random() * changed.length)
  const from = Math.floor(random() * changed.length)
  const kind = random()
  if (kind < 0.3) changed[at]! ^= 1 << Math.floor(random() * 8)
  else if (kind < 0.5) changed[at] = Math.floor(random() * 256)
  else if (kind < 0.7) changed[at] = changed[from]!
  else if (kind < 0.8) return Buffer.concat([changed.subarray(0, at), changed.subarray(at + 1)])
  else if (kind < 0.9) return Buffer.concat([changed.subarray(0, at), changed.subarray(from)])
  else return Buffer.concat([changed.subarray(0, at), Buffer.of(changed[from]!), changed.subarray(at)])
  return changed
}
