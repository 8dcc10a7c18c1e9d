import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { QueryParams } from '../../codegen/client/types/network/example/backfill/listRecords.js'
import { addJob, completion, didOf, drive, POST, record, writeSteps } from '../support/fixtures.js'
import type { Caller } from '../support/network/caller.js'
import { type Backfill, startTestService, type TestService } from '../support/service.js'
import { callRaw, type Directory, newcomer, startDirectory } from './support.js'

const CID = 'bafyreidfayvfuwqa7qlnopdjiqrxzs6blmoeu4rujcjtnci5beludirz2a'

let network: Directory
let service: TestService
let caller: Caller
let backfill: Backfill

beforeAll(async () => {
  network = await startDirectory()
  service = await startTestService({ network, engine: false })
  ;({ caller, backfill } = await newcomer(network, service))
})

afterAll(async () => {
  await service?.[Symbol.asyncDispose]()
  await network?.[Symbol.asyncDispose]()
})

/** A job whose repos are completed by the test, with posts by key and value. */
async function startJob(repos: readonly string[]) {
  const { store } = service.service
  const job = await addJob(store, { caller: caller.did, collections: [POST], repos })
  const host = await drive(store.db)
  const post = job.collections.get(POST)!
  return {
    id: job.id,
    async complete(did: string, values: Readonly<Record<string, string>>) {
      const rows = Object.entries(values).map(([rkey, value]) => record(post, rkey, CID, value))
      await writeSteps(store, completion(job, did, host, rows))
    },
  }
}

describe('while a job runs', () => {
  test('a reader gets what is completed behind its back, and nothing twice', async () => {
    const [one, two, three] = [didOf(1), didOf(2), didOf(3)]
    const { id, complete } = await startJob([one, two, three])
    expect((await backfill.listRecords({ job: id })).data).toEqual({ records: [] })
    await complete(three, { a: '{}', b: '{}', c: '{}' })
    const first = (await backfill.listRecords({ job: id, limit: 2 })).data
    await complete(one, { a: '{}' })
    const second = (await backfill.listRecords({ job: id, limit: 2, cursor: first.cursor })).data
    await complete(two, {})
    expect(second.cursor).toBeUndefined()
    const read = [...first.records, ...second.records].map(({ uri }) => uri)
    expect(read).toEqual(
      [...'abc'].map((rkey) => `at://${three}/${POST}/${rkey}`).concat(`at://${one}/${POST}/a`),
    )
  })

  test('a page is five hundred records unless another size is asked for', async () => {
    const { id, complete } = await startJob([didOf(4)])
    const rkeys = Array.from({ length: 1_001 }, (_, n) => `k${String(n).padStart(4, '0')}`)
    await complete(didOf(4), Object.fromEntries(rkeys.map((rkey) => [rkey, '{}'])))
    const page = async (params: Partial<QueryParams>) => {
      const { records, cursor } = (await backfill.listRecords({ job: id, ...params })).data
      return { count: records.length, cursor }
    }
    expect(await page({})).toEqual({ count: 500, cursor: expect.any(String) })
    const most = await page({ limit: 1_000 })
    expect(most).toEqual({ count: 1_000, cursor: expect.any(String) })
    expect(await page({ cursor: most.cursor })).toEqual({ count: 1, cursor: undefined })
  })
})

let repos = 100

test.each([
  ['keys that mean something to JavaScript', '{"__proto__":{"polluted":true},"constructor":{"prototype":1}}'],
  ['something like a CID', '{"/":"bafy","bytes":"bafy"}'],
  ['something like a CID, further down', '{"list":[{"/":1,"bytes":1,"version":1,"code":1}]}'],
  ['something like a blob', '{"cid":"x","mimeType":"image/png"}'],
  ['a link that is none', '{"ref":{"$link":"nothing"},"data":{"$bytes":"*"}}'],
  ['half characters', '{"text":"\\ud800","\\udc00":1}'],
  ['numbers and spaces as they were written', '{ "n" : 1.0, "m": 1e3, "o": 12345678901234567890 }'],
  ['the same key twice', '{"a":1,"a":2}'],
  ['a type that is none', '{"$type":7}'],
  ['ten thousand levels', `{"deep":${'['.repeat(10_000)}${']'.repeat(10_000)}}`],
])('a value goes out as it was stored: %s', async (_, value) => {
  repos += 1
  const did = didOf(repos)
  const { id, complete } = await startJob([did])
  await complete(did, { a: '{"before":1}', b: value, c: '{"after":1}' })
  const { status, text, headers } = await callRaw(service, caller, 'listRecords', { params: { job: id } })
  const item = (rkey: string, json: string) =>
    `{"uri":"at://${did}/${POST}/${rkey}","cid":"${CID}","value":${json}}`
  const records = [item('a', '{"before":1}'), item('b', value), item('c', '{"after":1}')]
  expect({ status, text }).toEqual({ status: 200, text: `{"records":[${records}]}` })
  expect(headers.get('content-type')).toMatch(/^application\/json\b/)
})
