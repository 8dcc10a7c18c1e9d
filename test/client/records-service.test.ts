import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest'
import { BackfillClient, type RecordView } from '../../src/client/index.js'
import { forgetJobs, postsOf } from '../api/delivery-support.js'
import { startJob } from '../api/subscribeJob-support.js'
import { type Directory, startDirectory } from '../api/support.js'
import { createDatabase, type TestDatabase } from '../support/database.js'
import { completeJob, completion, findTestJob, posts, writeSteps } from '../support/fixtures.js'
import { type Caller, createPlcCaller } from '../support/network/caller.js'
import { findFreePort } from '../support/network/loopback.js'
import { startTestService, type TestService } from '../support/service.js'

/** The client at a real service: what a consumer has at the end is what is stored. */

let network: Directory
let database: TestDatabase
let caller: Caller
let port: string
let on: TestService

const start = () =>
  startTestService({
    network,
    database,
    engine: false,
    environment: { PORT: port, QUOTA_REQUESTS_PER_MINUTE: '0' },
  })

beforeAll(async () => {
  network = await startDirectory()
  database = await createDatabase()
  caller = await createPlcCaller(network.plc)
  port = String(await findFreePort())
  on = await start()
})

beforeEach(() => forgetJobs(on))

afterAll(async () => {
  await on?.[Symbol.asyncDispose]()
  await database?.[Symbol.asyncDispose]()
  await network?.[Symbol.asyncDispose]()
})

const newClient = () =>
  new BackfillClient({
    service: on.url,
    did: caller.did,
    key: caller.key,
    retry: { firstDelayMs: 50, maxDelayMs: 200 },
  })

async function stored(): Promise<string[]> {
  const { rows } = await on.service.store.pool.query<{ uri: string }>('select uri from readable_record')
  return rows.map(({ uri }) => uri).sort()
}

test('records follow a job over a restart of the service, each repo once', async () => {
  const job = await startJob(on, caller, 30)
  await job.resolve(...job.dids)
  const complete = async (dids: readonly string[]) => {
    for (const did of dids)
      await writeSteps(
        on.service.store,
        completion(job, did, job.host, postsOf(job, 700, { fill: 'x'.repeat(500) })),
      )
  }
  await complete(job.dids.slice(0, 20))
  const table = new Map<string, string[]>()
  let open: RecordView[] = []
  let closed = 0
  let reconnects = 0
  const end = await newClient().consumeRecords(
    job.id,
    async (message) => {
      if (message.type === 'records') {
        if (message.part === 0) open = []
        open.push(...message.records)
      }
      if (message.type !== 'repoComplete') return
      const { did, totalRecords } = message.receipt
      expect(table.has(did)).toBe(false)
      expect(open).toHaveLength(totalRecords)
      table.set(
        did,
        open.map(({ uri }) => uri),
      )
      closed += 1
      if (closed === 7) {
        await on[Symbol.asyncDispose]()
        on = await start()
        await complete(job.dids.slice(20))
        expect(await completeJob(on.service.store.db, job.key)).toBe(job.id)
      }
    },
    {
      onReconnect() {
        reconnects += 1
      },
    },
  )
  expect(end.status).toBe('completed')
  expect(reconnects).toBeGreaterThan(0)
  expect([...table.values()].flat().sort()).toEqual(await stored())
}, 60_000)

test.each([false, true])('an export is what is stored, compressed or not (%s)', async (compressed) => {
  const job = await startJob(on, caller, 12)
  for (const did of job.dids)
    await writeSteps(on.service.store, completion(job, did, job.host, postsOf(job, 700, { fill: 'é😀"\n' })))
  const uris: string[] = []
  const values = new Set<unknown>()
  for await (const message of newClient().exportRecords(job.id, {}, { compressed })) {
    if (message.type !== 'records') continue
    uris.push(...message.records.map(({ uri }) => uri))
    for (const { value } of message.records) values.add((value as { fill: string }).fill)
  }
  expect(uris.sort()).toEqual(await stored())
  expect([...values]).toEqual(['é😀"\n'])
})

test('changes can be had by pages, too', async () => {
  const { store } = on.service
  const job = await startJob(on, caller, 1)
  const did = job.dids[0]!
  await writeSteps(store, completion(job, did, job.host, posts(job, 'a', 'b'), { rev: REV }))
  await job.finish()
  const client = newClient()
  const { id } = await client.refreshJob(job.id)
  const next = await findTestJob(store.db, id)
  const rows = [...posts(next, 'a', 'b'), { ...posts(next, 'c')[0]!, cid: CID }]
  await writeSteps(store, completion(next, did, job.host, rows, { rev: NEXT_REV }))
  expect(await client.listRecords(id, { changes: true })).toMatchObject({
    records: [{ uri: expect.stringMatching(/\/c$/), cid: CID }],
    deleted: [],
    repos: [{ since: REV, receipt: { did, rev: NEXT_REV } }],
  })
})

const CID = 'bafyreidfayvfuwqa7qlnopdjiqrxzs6blmoeu4rujcjtnci5beludirz2a'
const REV = '3kaaaaaaaaaaa'
const NEXT_REV = '3kbbbbbbbbbbb'
