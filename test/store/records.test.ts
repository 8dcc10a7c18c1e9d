import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { HostClaim } from '../../src/store/hosts.js'
import {
  listRecords,
  type RecordPosition,
  type RecordQuery,
  type StoredRecord,
} from '../../src/store/records.js'
import { createStore } from '../support/database.js'
import {
  addJob,
  cidOf,
  completion,
  didOf,
  didsOf,
  drive,
  LIKE,
  POST,
  record,
  resolution,
  step,
  type TestJob,
  writeSteps,
} from '../support/fixtures.js'

/** One job whose records every test reads; what must come out is worked out here, without the database. */

let store: Awaited<ReturnType<typeof createStore>>
let job: TestJob
let host: HostClaim
const expected: string[] = []

const PROFILE = 'network.example.actor.profile'
/** More than are looked into by one statement, twice. */
const EMPTY_REPOS = 1_100

/** Keys whose byte order is not that of a dictionary. */
const KEYS = ['~z', 'a', 'B', '_', '10', '9', 'A', 'b', '.', '3k2', 'Z-']
const inBytes = (a: string, b: string) => Buffer.compare(Buffer.from(a), Buffer.from(b))

beforeAll(async () => {
  store = await createStore()
  host = await drive(store.db)
  job = await addJob(store, { repos: didsOf(EMPTY_REPOS + 40), collections: [POST, PROFILE, LIKE] })
  // The order of completion is the order of the result, and not that of the DIDs.
  await complete(didOf(7), { [POST]: KEYS, [LIKE]: ['only'] })
  await complete(didOf(3), { [PROFILE]: ['self'] })
  await complete(didOf(5), {})
  await complete(didOf(2), { [LIKE]: KEYS.slice(0, 5), [POST]: ['x'] })
  const empties = didsOf(EMPTY_REPOS, 40).map((did) => completion(job, did, host, []))
  await writeSteps(store, ...empties.slice(0, 16))
  // The first one after those that are looked up together at the start.
  await complete(didOf(6), { [POST]: ['edge'] })
  await writeSteps(store, ...empties.slice(16))
  await complete(didOf(0), { [PROFILE]: ['self'], [POST]: ['p1', 'p2'] })
  await complete(didOf(1), { [POST]: ['q1'] })
  await unseen()
})

afterAll(() => store[Symbol.asyncDispose]())

async function complete(did: string, keys: Record<string, string[]>): Promise<void> {
  const rows = Object.entries(keys).flatMap(([nsid, rkeys]) =>
    rkeys.map((rkey) =>
      record(job.collections.get(nsid)!, rkey, cidOf(`${did}${rkey}`), `{"key":"${rkey}"}`),
    ),
  )
  await writeSteps(store, completion(job, did, host, rows))
  for (const nsid of Object.keys(keys).sort(inBytes)) {
    for (const rkey of [...keys[nsid]!].sort(inBytes)) expected.push(`${did}/${nsid}/${rkey}`)
  }
}

/** What is stored, but is no part of the job's result. */
async function unseen(): Promise<void> {
  const [fetching, failed, others] = didsOf(3, 20) as [string, string, string]
  const row = (nsid: string, rkey: string) => record(job.collections.get(nsid)!, rkey)
  await writeSteps(
    store,
    step(job, fetching, host, { status: 'fetching', rows: [row(POST, 'a')], records: 1, recordsAdded: 1 }),
  )
  await writeSteps(
    store,
    step(job, failed, host, {
      status: 'failed',
      failure: 'timeout',
      rows: [row(POST, 'a')],
      records: 1,
      recordsAdded: 1,
    }),
  )
  const other = await addJob(store, {
    repos: [others, didOf(7), didOf(5)],
    collections: ['network.example.other'],
  })
  const otherRow = record(other.collections.get('network.example.other')!, 'other')
  await writeSteps(store, ...[...other.repos.keys()].map((did) => completion(other, did, host, [otherRow])))
  await writeSteps(store, resolution(job, others, host))
  // Done for the same collections in another job, but not in this one.
  const same = await addJob(store, {
    repos: [fetching, failed, didOf(23)],
    collections: [...job.collections.keys()],
  })
  await writeSteps(
    store,
    ...[...same.repos.keys()].map((did) => completion(same, did, host, [row(POST, 'same')])),
  )
}

const query = (wish: Partial<RecordQuery> = {}): RecordQuery => ({
  job: job.key,
  scope: job.scope,
  collection: null,
  did: null,
  limit: 100,
  ...wish,
})

async function readAll(wish: Partial<RecordQuery>, limit: number): Promise<StoredRecord[]> {
  const records: StoredRecord[] = []
  for (let at: RecordPosition | null = null; ; at = records.at(-1)!) {
    const page = await listRecords(store.db, query({ ...wish, limit }), at)
    expect(page.length).toBeLessThanOrEqual(limit)
    records.push(...page)
    if (page.length < limit) return records
  }
}

const pathOf = ({ did, collection, rkey }: StoredRecord) => `${did}/${collection}/${rkey}`

test('go by completion of their repo, then collection, then key, whatever the size of a page', async () => {
  for (const limit of [1, 2, 3, 4, 7, expected.length - 1, expected.length, expected.length + 1, 101]) {
    const records = await readAll({}, limit)
    expect(records.map(pathOf)).toEqual(expected)
  }
  const [first] = await readAll({}, 100)
  expect(first).toEqual({
    seq: expect.any(Number),
    did: didOf(7),
    collection: LIKE,
    rkey: 'only',
    cid: cidOf(`${didOf(7)}only`),
    rev: null,
    value: '{"key":"only"}',
  })
})

test.each([POST, LIKE, PROFILE, 'network.example.unknown', 'network.example.other'])(
  'of one collection: %s',
  async (collection) => {
    const wanted = expected.filter((path) => path.includes(`/${collection}/`))
    for (const limit of [1, 3, 100]) {
      expect((await readAll({ collection }, limit)).map(pathOf)).toEqual(wanted)
    }
  },
)

test.each([
  ['with many', 7],
  ['with one', 3],
  ['with none', 5],
  ['that is still being fetched', 20],
  ['that failed', 21],
  ['that is not completed in this job', 22],
  ['that another job completed for the same collections', 23],
  ['that is not in the job', 9_999],
])('of one repo %s', async (_, number) => {
  const wanted = expected.filter((path) => path.startsWith(`${didOf(number)}/`))
  for (const limit of [1, 3, 100]) {
    expect((await readAll({ did: didOf(number) }, limit)).map(pathOf)).toEqual(wanted)
  }
})

test('of one collection of one repo', async () => {
  const records = await readAll({ did: didOf(7), collection: POST }, 4)
  expect(records.map(({ rkey }) => rkey)).toEqual([...KEYS].sort(inBytes))
})

describe('a reader goes on', () => {
  test('from a record that is gone by now', async () => {
    const [first] = await listRecords(store.db, query({ limit: 1 }), null)
    const gone = { ...first!, rkey: `${first!.rkey}!` }
    expect((await listRecords(store.db, query(), gone)).map(pathOf)).toEqual(expected.slice(1))
  })

  test('from the last record, and finds nothing until another repo is completed', async () => {
    const last = (await readAll({}, 100)).at(-1)!
    expect(await listRecords(store.db, query(), last)).toEqual([])
    await complete(didOf(4), { [POST]: ['later'] })
    const more = await listRecords(store.db, query(), last)
    expect(more.map(pathOf)).toEqual([`${didOf(4)}/${POST}/later`])
  })

  test('at an account that comes before in the alphabet', async () => {
    const records = await readAll({}, 100)
    const at = records.findIndex(({ did }) => did === didOf(2))
    const before = records[at - 1]!
    expect(before.did > didOf(2)).toBe(true)
    expect((await listRecords(store.db, query({ limit: 1 }), before)).map(pathOf)).toEqual([
      pathOf(records[at]!),
    ])
  })
})

test('what is gone is left out; what could not be decoded comes without its value', async () => {
  const other = await addJob(store, { repos: [didOf(30)], collections: [POST] })
  const rows = ['a', 'b', 'c'].map((rkey) => record(other.collections.get(POST)!, rkey))
  await writeSteps(store, completion(other, didOf(30), host, rows))
  const repo = other.repos.get(didOf(30))
  await store.pool.query(`update record set cid = null, value = null where repo = $1 and rkey = 'a'`, [repo])
  await store.pool.query(`update record set value = null where repo = $1 and rkey = 'c'`, [repo])
  const records = await listRecords(store.db, query({ job: other.key, scope: other.scope }), null)
  expect(records.map(({ rkey, cid, value }) => [rkey, cid, value])).toEqual([
    ['b', cidOf('b'), '{"text":"hello"}'],
    ['c', cidOf('c'), null],
  ])
  const { rows: readable } = await store.pool.query(
    'select uri, collection, cid from readable_record where did = $1 order by uri',
    [didOf(30)],
  )
  expect(readable).toEqual(
    ['b', 'c'].map((rkey) => ({
      uri: `at://${didOf(30)}/${POST}/${rkey}`,
      collection: POST,
      cid: cidOf(rkey),
    })),
  )
})
