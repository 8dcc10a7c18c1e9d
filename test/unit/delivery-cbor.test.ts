import { encode } from '@atcute/cbor'
import { describe, expect, test } from 'vitest'
import { RecordEncoder } from '../../src/jobs/delivery-records.js'
import { randomOf } from '../support/fixtures.js'

const CID = 'bafyreidfayvfuwqa7qlnopdjiqrxzs6blmoeu4rujcjtnci5beludirz2a'
const HEAD = { uri: 'at://did:web:a.test/com.example.post/1', cid: CID }

const lineOf = (value: string | null) => {
  const head = JSON.stringify(HEAD)
  return Buffer.from(value === null ? `${head}\n` : `${head.slice(0, -1)},"value":${value}}\n`)
}

/** The records of lines, as an array. */
function encoded(...values: (string | null)[]): Buffer {
  const encoder = new RecordEncoder()
  for (const value of values) encoder.add(lineOf(value), 0, Number.POSITIVE_INFINITY)
  return encoder.take()
}

const expected = (...values: unknown[]) =>
  Buffer.from(encode(values.map((value) => (value === undefined ? HEAD : { ...HEAD, value }))))

/** Something that JSON can say, in an order of its own. */
function anything(random: () => number, depth: number): unknown {
  const kind = Math.floor(random() * (depth > 2 ? 8 : 11))
  const text = () =>
    Array.from({ length: Math.floor(random() ** 3 * 400) }, () =>
      String.fromCodePoint(
        [97, 34, 92, 10, 0, 233, 8232, 0x1f600, 65][Math.floor(random() * 9)]! + Math.floor(random() * 5),
      ),
    ).join('')
  if (kind < 3) return text()
  if (kind === 3) return Math.floor((random() - 0.5) * 2 ** (1 + random() * 52))
  if (kind === 4) return [true, false, null][Math.floor(random() * 3)]
  if (kind === 5) return { $link: CID }
  if (kind === 6) return { $bytes: Buffer.from(text()).toString('base64').replace(/=+$/, '') }
  if (kind === 7) return Math.floor(random() * 1_000) + 0.5
  const length = Math.floor(random() ** 2 * 40)
  if (kind === 8) return Array.from({ length }, () => anything(random, depth + 1))
  return Object.fromEntries(Array.from({ length }, () => [text(), anything(random, depth + 1)]))
}

describe('records from JSON text', () => {
  test('are what a parser and an encoder make of it, whatever it is', () => {
    const random = randomOf(7)
    for (let round = 0; round < 100; round += 1) {
      const value = { a: anything(random, 0), b: anything(random, 0) }
      const text = JSON.stringify(value)
      expect(encoded(text).equals(expected(JSON.parse(text))), text).toBe(true)
      const spaced = JSON.stringify(value, null, 2).replaceAll('\n', ' ')
      expect(encoded(spaced).equals(expected(JSON.parse(text))), spaced).toBe(true)
    }
  })

  test.each([
    ['1e3', 1_000],
    ['-0', 0],
    ['1.5e-3', 0.0015],
    ['9007199254740991', Number.MAX_SAFE_INTEGER],
    ['-9007199254740991', Number.MIN_SAFE_INTEGER],
    ['"\\u00e9\\ud83d\\ude00\\/"', 'é😀/'],
    ['{"$link":"x","a":1}', { $link: 'x', a: 1 }],
  ])('%s', (text, value) => {
    expect(encoded(`{"x":${text}}`)).toEqual(
      text.startsWith('{') ? encodedObject(value as object) : expected({ x: value }),
    )
  })

  test.each([
    '{"n":9007199254740992}',
    '{"n":1e400}',
    '{"n":1e30}',
    '{"text":"\\ud800"}',
    '{"\\udc00":1}',
    '{"a":1,"a":2}',
    '{"link":{"$link":"x"}}',
    '{"link":{"$link":7}}',
    '{"bytes":{"$bytes":"*"}}',
    `${'['.repeat(200_000)}${']'.repeat(200_000)}`,
  ])('%.40s has no form, and is left out without harm to its neighbours', (text) => {
    expect(
      encoded('{"a":1}', text, null, '{"b":[2]}').equals(
        expected({ a: 1 }, undefined, undefined, { b: [2] }),
      ),
    ).toBe(true)
  })

  test('go into as many messages as it takes', () => {
    const encoder = new RecordEncoder()
    const lines = Buffer.concat(Array.from({ length: 5 }, () => lineOf('{"text":"0123456789"}')))
    let from = 0
    const counts: number[] = []
    while (from < lines.length) {
      const next = encoder.add(lines, from, 350)
      if (next === null) {
        counts.push(encoder.count)
        expect(encoder.take().length).toBeLessThanOrEqual(351)
      }
      from = next ?? from
    }
    expect([...counts, encoder.count]).toEqual([2, 2, 1])
  })
})

/** The encoder of the library takes such a thing for a link. */
function encodedObject(value: object): Buffer {
  const plain = Buffer.from(encode([{ ...HEAD, value: { x: { slink: 'x', a: 1 } } }]))
  expect(Object.keys(value)).toEqual(['$link', 'a'])
  return Buffer.from(plain.toString('latin1').replace('slink', '$link'), 'latin1')
}
