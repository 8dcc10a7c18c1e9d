import { describe, expect, it } from 'vitest'
import {
  readChangeCursor,
  readDidCursor,
  readJobCursor,
  readRecordCursor,
  writeChangeCursor,
  writeRecordCursor,
} from '../../src/api/cursor.js'

const REFUSED = expect.objectContaining({ name: 'RequestError', code: 'InvalidRequest' })
const TID = '3l3qo2vuowo2b'
const DID = 'did:plc:aaaaaaaaaaaaaaaaaaaaaaaa'

describe('a cursor', () => {
  it('is not needed for the first page', () => {
    expect(readJobCursor(undefined)).toBeNull()
    expect(readDidCursor(undefined)).toBe('')
    expect(readRecordCursor(undefined)).toBeNull()
    expect(readChangeCursor(undefined)).toEqual({ seq: 0, open: null })
  })

  it('of jobs is the id of the last one', () => {
    expect(readJobCursor(TID)).toBe(TID)
  })

  it.each(['did:web:example.com%3A3000', DID, `did:web:${'a'.repeat(2_000)}.example`])(
    'of repos is the last DID: %.60s',
    (did) => {
      expect(readDidCursor(did)).toBe(did)
    },
  )

  it.each([
    { seq: 1, collection: 'com.example.post', rkey: 'self' },
    { seq: 123_456_789_012_345, collection: 'com.example.fooBar', rkey: 'a:b~c_d-e.f' },
    { seq: 7, collection: `com.${'a'.repeat(63)}.${'b'.repeat(63)}`, rkey: 'x'.repeat(512) },
  ])('of records is the place of the last one: %o', (position) => {
    const cursor = writeRecordCursor(position)
    expect(readRecordCursor(cursor)).toEqual(position)
    expect(cursor.length).toBeLessThanOrEqual(2_048)
  })

  it.each(['', '17', 'null', `${TID}2`, `${TID} `, TID.toUpperCase(), '2222222222222\u0000'])(
    'of jobs may not be %j',
    (cursor) => {
      expect(() => readJobCursor(cursor)).toThrow(REFUSED)
    },
  )

  it.each(['', 'did:plc', 'alice.example.com', `${DID}\u0000`, `${DID} `, 'did:plc:%'])(
    'of repos may not be %j',
    (cursor) => {
      expect(() => readDidCursor(cursor)).toThrow(REFUSED)
    },
  )

  it.each([
    '',
    '1',
    '1/com.example.post',
    '1/com.example.post/',
    '/com.example.post/self',
    '-1/com.example.post/self',
    '1.5/com.example.post/self',
    '1234567890123456/com.example.post/self',
    '1/com.example.*/self',
    '1/post/self',
    '1/com.example.post/.',
    '1/com.example.post/a b',
    '1/com.example.post/a\u0000',
    '1/com.example.post/self/more',
    '1/com.example.post/self\n',
    ' 1/com.example.post/self',
    `1/com.example.post/${'x'.repeat(513)}`,
    '١/com.example.post/self',
  ])('of records may not be %j', (cursor) => {
    expect(() => readRecordCursor(cursor)).toThrow(REFUSED)
  })
  const version = '0123456789abcdef'.repeat(2)

  it.each([
    { seq: 17, open: null },
    { seq: 17, open: { collection: 'com.example.post', rkey: 'a:b~c_d-e.f', version } },
  ])('of changes is the last repo, and in it the last record: %o', (position) => {
    expect(readChangeCursor(writeChangeCursor(position))).toEqual(position)
  })

  it.each([
    '',
    '-1',
    '1234567890123456',
    '1/com.example.post/self',
    '1/com.example.post/self/',
    `1/${version}`,
    `1/com.example.post/${version}`,
    `1/com.example.post//${version}`,
    `1/com.example.*/self/${version}`,
    `1/com.example.post/self/more/${version}`,
    `1/com.example.post/self/${version.toUpperCase()}`,
    `1/com.example.post/self/${version}\n`,
  ])('of changes may not be %j', (cursor) => {
    expect(() => readChangeCursor(cursor)).toThrow(REFUSED)
  })
})
