import { expect, it } from 'vitest'
import { recordLine, recordUri } from '../../src/jobs/record-json.js'

const record = {
  seq: 1,
  did: 'did:plc:aaaaaaaaaaaaaaaaaaaaaaaa',
  collection: 'com.example.post',
  rkey: 'a:b~c',
  cid: 'bafyreigbtj4x7ip5legnfznufuopl4sg4knzc2cof6duas4b3q2fy6swua',
}
const uri = `at://${record.did}/com.example.post/a:b~c`

it('a record is named by its URI', () => {
  expect(recordUri(record)).toBe(uri)
})

it.each([
  '{}',
  '{"text":"a\\u0000b \\ud83d 🌊","$type":"com.example.post"}',
  // Not as JavaScript would write it: what came in goes out.
  '{ "b":1.0,"a":1e3, "big":12345678901234567890,"dup":1,"dup":2}',
])('a line holds the value to the byte: %s', (value) => {
  const line = recordLine({ ...record, value })
  expect(line).toBe(`{"uri":"${uri}","cid":"${record.cid}","value":${value}}`)
  expect(JSON.parse(line)).toMatchObject({ uri, cid: record.cid, value: JSON.parse(value) })
  expect(line).not.toContain('\n')
})

it('a line has no value where there is none', () => {
  expect(recordLine({ ...record, value: null })).toBe(`{"uri":"${uri}","cid":"${record.cid}"}`)
})
