import { describe, expect, it } from 'vitest'
import {
  bigintArray,
  IntArray,
  intArray,
  TextArray,
  textArray,
  timestampArray,
} from '../../src/store/binary.js'

/** Reads an array as Postgres does (src/backend/utils/adt/arrayfuncs.c, array_recv). */
function read(bytes: Buffer): (string | null)[] {
  const header = [0, 4, 8, 12, 16].map((offset) => bytes.readInt32BE(offset))
  const [dimensions, flags, type, length, lowerBound] = header
  expect([dimensions, flags, type, lowerBound]).toEqual([1, 0, 25, 1])
  const texts: (string | null)[] = []
  let offset = 20
  for (let index = 0; index < length!; index += 1) {
    const size = bytes.readInt32BE(offset)
    offset += 4
    texts.push(size === -1 ? null : bytes.toString('utf8', offset, offset + Math.max(0, size)))
    offset += Math.max(0, size)
  }
  expect(offset).toBe(bytes.length)
  return texts
}

describe('a text[] parameter', () => {
  it('is laid out as Postgres reads it', () => {
    expect(textArray(['ä', null, '']).toString('hex')).toBe(
      [
        ...['00000001', '00000000', '00000019', '00000003', '00000001'],
        ...['00000002', 'c3a4', 'ffffffff', '00000000'],
      ].join(''),
    )
  })

  it.each<[string, (string | null)[]]>([
    ['nothing', []],
    ['nulls', [null, null]],
    ['what array literals would have to escape', ['{}', '"', '\\', ',', 'NULL', 'null', ' ', '']],
    ['every width of character', ['a', 'ü', '€', '🌊', '🌊'.repeat(5_000), '€'.repeat(10_000)]],
    ['many', Array.from({ length: 5_000 }, (_, index) => (index % 7 === 0 ? null : 'x'.repeat(index % 100)))],
    ['one far larger than the room there is', ['a', 'x'.repeat(1_000_000), 'b']],
  ])('holds %s', (_, texts) => {
    expect(read(textArray(texts))).toEqual(texts)
    for (const capacity of [0, 20, 21, 100_000]) {
      const array = new TextArray(capacity)
      for (const text of texts) array.push(text)
      expect(array.length).toBe(texts.length)
      expect(array.toParameter()).toHaveLength(array.byteLength)
      expect(read(array.toParameter())).toEqual(texts)
    }
  })

  it('replaces half a surrogate pair, which UTF-8 does not have', () => {
    expect(read(textArray(['a\ud83d']))).toEqual(['a\ufffd'])
  })

  it('knows its size before it is done', () => {
    const array = new TextArray()
    expect([array.length, array.byteLength]).toEqual([0, 20])
    array.push('ü')
    array.push(null)
    expect([array.length, array.byteLength]).toEqual([2, 20 + 6 + 4])
  })
})

describe('an int[] parameter', () => {
  it('is laid out as Postgres reads it', () => {
    expect(intArray([1, null, -2]).toString('hex')).toBe(
      [
        ...['00000001', '00000000', '00000017', '00000003', '00000001'],
        ...['00000004', '00000001', 'ffffffff', '00000004', 'fffffffe'],
      ].join(''),
    )
  })

  it('grows with what it holds', () => {
    const values = Array.from({ length: 5_000 }, (_, index) => index * 1_000)
    const array = new IntArray(0)
    for (const value of values) array.push(value)
    expect(array.length).toBe(values.length)
    const bytes = array.toParameter()
    expect(values.map((_, index) => bytes.readInt32BE(20 + index * 8 + 4))).toEqual(values)
  })

  it.each([2 ** 31, -(2 ** 31) - 1])('refuses what is no int: %d', (value) => {
    expect(() => intArray([value])).toThrow(RangeError)
  })
})

describe('a bigint[] parameter', () => {
  const values = [
    0,
    1,
    -1,
    2 ** 31,
    2 ** 32,
    -(2 ** 32),
    1.7e12,
    Number.MAX_SAFE_INTEGER,
    Number.MIN_SAFE_INTEGER,
  ]

  it.each(values)('holds %d', (value) => {
    const bytes = bigintArray([null, value])
    expect(bytes.subarray(0, 24).toString('hex')).toBe(
      ['00000001', '00000000', '00000014', '00000002', '00000001', 'ffffffff'].join(''),
    )
    expect([bytes.readInt32BE(24), Number(bytes.readBigInt64BE(28)), bytes.length]).toEqual([8, value, 36])
  })
})

describe('a json[] parameter', () => {
  it('is laid out as text[] is', () => {
    const array = new TextArray(undefined, 'json')
    array.push('{}')
    expect(array.toParameter().toString('hex')).toBe(
      ['00000001', '00000000', '00000072', '00000001', '00000001', '00000002', '7b7d'].join(''),
    )
  })
})

describe('a timestamptz[] parameter', () => {
  it('counts microseconds from the beginning of 2000', () => {
    const moments = [new Date('2000-01-01T00:00:00.001Z'), null, new Date('1999-12-31T23:59:59.999Z')]
    expect(timestampArray(moments).toString('hex')).toBe(
      [
        ...['00000001', '00000000', '000004a0', '00000003', '00000001'],
        ...['00000008', '00000000000003e8', 'ffffffff', '00000008', 'fffffffffffffc18'],
      ].join(''),
    )
  })
})
