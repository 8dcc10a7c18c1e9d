import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { JobView, RecordView } from '../../codegen/client/types/network/example/backfill/defs.js'
import type { QueryParams } from '../../codegen/client/types/network/example/backfill/listRecords.js'
import { cidOfJson } from '../../src/atproto/content.js'
import { didOf } from '../support/fixtures.js'
import { finished } from '../support/jobs.js'
import { type Account, createAccounts, putRecords, type StoredRecord } from '../support/network/accounts.js'
import { type Caller, createPlcCaller } from '../support/network/caller.js'
import { type Network, startNetwork } from '../support/network/network.js'
import { type Backfill, startTestService, type TestService } from '../support/service.js'
import { callRaw, exchange, invalidRequest, newcomer, readPages, refusal, refusedWith } from './support.js'

const STATUS = 'network.example.status'
const LIKE = 'network.example.graph.like'
const UNKNOWN = '3l3qo2vuowo2b'
const CID = 'bafyreidfayvfuwqa7qlnopdjiqrxzs6blmoeu4rujcjtnci5beludirz2a'

/** Values that are easily damaged on their way. */
const ODD_VALUES: Record<string, unknown>[] = [
  { text: 'a\u0000b', '\u0000': 'a key too' },
  { text: '👩‍👩‍👧‍👦 \u2028\u2029 \u{10ffff} e\u0301 é', '😀': ['ключ'] },
  { subject: { $link: CID }, list: [{ $link: CID }] },
  { data: { $bytes: 'AAECAwQ' }, none: { $bytes: '' } },
  {
    deep: Array.from({ length: 100 }).reduce(
      (inner: unknown, _, depth) => (depth % 2 ? [inner] : { inner }),
      1,
    ),
  },
  { 10: 'ten', 9: 'nine', b: 1, a: 2, '-1': 0, '007': 7, '': 'no name' },
  { max: Number.MAX_SAFE_INTEGER, min: Number.MIN_SAFE_INTEGER, zero: 0, no: false, nothing: null },
  { empty: {}, none: [], text: '', quotes: '"\\/\b\f\n\r\t', html: '</script>&amp;' },
  { constructor: 'x', toString: { valueOf: 1 }, hasOwnProperty: null, length: 3 },
  { long: 'x'.repeat(100_000) },
]

/** Record keys whose order by bytes is not that of a dictionary. */
const RKEYS = ['B', 'a', 'A:1', '~x', '_', '-', '9', '10', 'self', 'a.b']

let network: Network
let service: TestService
let caller: Caller
let backfill: Backfill
let admin: Caller
let accounts: [Account, Account, Account]
let ada: Account
/** Everything there is, by URI, as its PDS gives it. */
const world = new Map<string, StoredRecord>()
/** Of both collections and all accounts. */
let job: JobView

beforeAll(async () => {
  network = await startNetwork({ pdsCount: 1 })
  admin = await createPlcCaller(network.plc)
  service = await startTestService({ network, environment: { BACKFILL_ADMINS: admin.did } })
  ;({ caller, backfill } = await newcomer(network, service))
  accounts = (await createAccounts(network.pdses[0]!, ['ada-1', 'ben-1', 'cat-1'])) as typeof accounts
  ada = accounts[0]
  await putRecords(ada, LIKE, ODD_VALUES)
  const numbered = RKEYS.map((_, n) => ({ n }))
  await putRecords(ada, STATUS, numbered, RKEYS)
  await putRecords(accounts[1], STATUS, numbered.slice(0, 4))
  await putRecords(accounts[2], LIKE, numbered.slice(0, 1))
  for (const account of accounts) await learn(account)
  const repos = accounts.map(({ did }) => did)
  const { data } = await backfill.createJob({ collections: [STATUS, LIKE], repos, method: 'list-records' })
  job = await finished(backfill, data.id)
})

afterAll(async () => {
  await service?.[Symbol.asyncDispose]()
  await network?.[Symbol.asyncDispose]()
})

/** Takes what an account's PDS says into the world, without a library in between. */
async function learn({ did, pds }: Account): Promise<void> {
  for (const collection of [STATUS, LIKE]) {
    const query = new URLSearchParams({ repo: did, collection, limit: '100' })
    const { json } = await exchange(`${pds.url}/xrpc/com.atproto.repo.listRecords?${query}`)
    for (const each of (json as { records: StoredRecord[] }).records) world.set(each.uri, each)
  }
}

const uris = (records: readonly RecordView[]) => records.map(({ uri }) => uri)
const worldOf = (...parts: string[]) =>
  [...world.keys()].filter((uri) => parts.every((part) => uri.includes(`/${part}`))).sort()

async function collect(params: Partial<QueryParams> = {}, reader = backfill): Promise<RecordView[]> {
  const pages = await readPages(async (cursor) => {
    const { data } = await reader.listRecords({ job: job.id, ...params, ...cursor })
    return { items: data.records, cursor: data.cursor }
  })
  return pages.flat()
}

describe('the records of a job', () => {
  test('are all there is, repo by repo, each by collection and key', async () => {
    const records = await collect()
    const cids = ([...each]: Iterable<RecordView>) => new Map(each.map(({ uri, cid }) => [uri, cid]))
    expect(cids(records)).toEqual(cids(world.values()))
    expect(records).toHaveLength(world.size)
    const dids = records.map(({ uri }) => uri.split('/')[2]!)
    const repos = [...new Set(dids)]
    expect(dids).toEqual(repos.flatMap((did) => dids.filter((other) => other === did)))
    for (const did of repos) {
      const ofRepo = uris(records).filter((uri) => uri.includes(`${did}/`))
      expect(ofRepo).toEqual([...ofRepo].sort())
    }
  })

  test('come in the same order by pages of every size', async () => {
    const whole = uris(await collect())
    for (let limit = 1; limit <= whole.length + 1; limit += 1) {
      expect(uris(await collect({ limit }))).toEqual(whole)
    }
  })

  test('have the value that their PDS gives, to the letter, and with it their CID', async () => {
    const { text, json } = await callRaw(service, caller, 'listRecords', { params: { job: job.id } })
    const { records } = json as { records: StoredRecord[] }
    expect(records.filter(({ uri }) => uri.includes(`${ada.did}/${LIKE}`))).toHaveLength(ODD_VALUES.length)
    for (const { uri, cid, value } of records) {
      expect(cidOfJson(value)).toBe(cid)
      expect(text).toContain(
        `"uri":"${uri}","cid":"${cid}","value":${JSON.stringify(world.get(uri)!.value)}}`,
      )
    }
  })

  test('are those of its own collections, whatever else is stored', async () => {
    const { data } = await backfill.createJob({ collections: [LIKE], repos: accounts.map(({ did }) => did) })
    const { id } = await finished(backfill, data.id)
    expect(uris(await collect({ job: id })).sort()).toEqual(worldOf(LIKE))
    expect(await collect({ job: id, collection: STATUS })).toEqual([])
  })

  test('can be narrowed to a collection, an account by DID or handle, or both', async () => {
    const narrowed = async (params: Partial<QueryParams>) =>
      uris(await collect({ limit: 3, ...params })).sort()
    expect(await narrowed({ collection: STATUS })).toEqual(worldOf(STATUS))
    expect(await narrowed({ repo: ada.did })).toEqual(worldOf(ada.did))
    expect(await narrowed({ repo: ada.handle.toUpperCase() })).toEqual(worldOf(ada.did))
    expect(await narrowed({ repo: accounts[2].did, collection: STATUS })).toEqual([])
    expect(await narrowed({ repo: ada.handle, collection: LIKE })).toEqual(worldOf(ada.did, LIKE))
    expect(await narrowed({ repo: didOf(1) })).toEqual([])
    expect(await narrowed({ collection: 'network.example.nothing' })).toEqual([])
  })

  test('are for its caller and the admins', async () => {
    const stranger = await newcomer(network, service)
    const hidden = await refusal(stranger.backfill.listRecords({ job: job.id }))
    expect(hidden).toEqual(refusedWith('JobNotFound', job.id))
    const missing = await refusal(stranger.backfill.listRecords({ job: UNKNOWN }))
    expect({ ...missing, message: missing.message.replace(UNKNOWN, job.id) }).toEqual(hidden)
    expect(await collect({}, service.as(admin))).toHaveLength(world.size)
  })
})

describe('what is refused', () => {
  test.each<[string, Partial<QueryParams>, string[]]>([
    ['a job that is no TID', { job: 'first' }, ['job', 'TID']],
    ['a collection that is no NSID', { collection: 'status' }, ['collection']],
    ['a prefix', { collection: 'network.example.*' }, ['collection']],
    ['a repo that is no identifier', { repo: 'not a handle' }, ['repo']],
    ['a handle that nobody answers to', { repo: 'nobody.one.test' }, ['repo', 'nobody.one.test']],
    ['a limit of 0', { limit: 0 }, ['limit']],
    ['a limit of 1001', { limit: 1_001 }, ['limit']],
    ['a cursor that is a word', { cursor: 'later' }, ['cursor']],
    ['a cursor of listJobs', { cursor: UNKNOWN }, ['cursor']],
    ['a cursor of listJobRepos', { cursor: didOf(1) }, ['cursor']],
    ['a cursor without a key', { cursor: `1/${STATUS}` }, ['cursor']],
    ['a cursor with an empty key', { cursor: `1/${STATUS}/` }, ['cursor']],
    ['a cursor with a key that is none', { cursor: `1/${STATUS}/..` }, ['cursor']],
    ['a cursor with a NUL', { cursor: `1/${STATUS}/a\u0000` }, ['cursor']],
    ['a cursor with a collection that is none', { cursor: '1/status/a' }, ['cursor']],
    ['a cursor with a negative number', { cursor: `-1/${STATUS}/a` }, ['cursor']],
    ['a cursor with a number that is too large', { cursor: `${'9'.repeat(20)}/${STATUS}/a` }, ['cursor']],
    ['a cursor with a fraction', { cursor: `1.5/${STATUS}/a` }, ['cursor']],
    ['a cursor with more than there is', { cursor: `1/${STATUS}/a/b` }, ['cursor']],
    ['a cursor that is long', { cursor: `1/${STATUS}/${'a'.repeat(2_048)}` }, ['cursor']],
  ])('%s', async (_, params, said) => {
    expect(await refusal(backfill.listRecords({ job: job.id, ...params }))).toEqual(invalidRequest(...said))
  })

  test('no job', async () => {
    const answer = await callRaw(service, caller, 'listRecords')
    expect(answer.status).toBe(400)
    expect(answer.json).toMatchObject({ error: 'InvalidRequest', message: expect.stringContaining('job') })
  })

  test('a cursor beyond the end is an empty page', async () => {
    const cursor = `999999999999999/${STATUS}/a`
    expect((await backfill.listRecords({ job: job.id, cursor })).data).toEqual({ records: [] })
  })

  test('a handle while handles cannot be looked up', async () => {
    await network.handleResolver.stop()
    try {
      expect(await refusal(backfill.listRecords({ job: job.id, repo: ada.handle }))).toMatchObject({
        status: 503,
        error: 'DirectoryUnavailable',
      })
      expect(await collect({ repo: ada.did })).not.toEqual([])
    } finally {
      await network.handleResolver.restart()
    }
  })
})
