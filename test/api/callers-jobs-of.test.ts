import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { addJob, didOf, LIKE } from '../support/fixtures.js'
import { type Caller, createPlcCaller } from '../support/network/caller.js'
import { type Backfill, startTestService, type TestService } from '../support/service.js'
import { addJobInEveryState, REPOS } from './every-state.js'
import { endOf, openStream } from './subscribeJob-support.js'
import { callRaw, type Directory, readPages, refusal, refusedWith, startDirectory } from './support.js'

/** Three services, each with its own DID and key: one makes jobs, one may read them, one may not. */

let network: Directory
let service: TestService
let admin: Backfill
let maker: Caller
let reader: Caller
let other: Caller
let making: Backfill
let reading: Backfill
let prying: Backfill
/** The maker's, with repos in every state. */
let job: string

beforeAll(async () => {
  network = await startDirectory()
  const root = await createPlcCaller(network.plc)
  const environment = { BACKFILL_ACCESS: 'allowlist', BACKFILL_ADMINS: root.did }
  service = await startTestService({ network, engine: false, environment })
  admin = service.as(root)
  ;[maker, reader, other] = [
    await createPlcCaller(network.plc),
    await createPlcCaller(network.plc),
    await createPlcCaller(network.plc),
  ]
  making = service.as(maker)
  reading = service.as(reader)
  prying = service.as(other)
  await admin.putCaller({ did: maker.did, permissions: ['read', 'create'] })
  await admin.putCaller({ did: reader.did, permissions: ['read', 'create'], jobsOf: [maker.did] })
  await admin.putCaller({ did: other.did, permissions: ['read', 'create'] })
  job = (await addJobInEveryState(service.service.store, maker.did)).id
})

afterAll(async () => {
  await service?.[Symbol.asyncDispose]()
  await network?.[Symbol.asyncDispose]()
})

const NOT_FOUND = refusedWith('JobNotFound')

const reads = (backfill: Backfill, id: string): Record<string, () => Promise<unknown>> => ({
  getJobStatus: async () => (await backfill.getJobStatus({ job: id })).data,
  listJobRepos: async () => (await backfill.listJobRepos({ job: id })).data,
  // The fixtures' CIDs are none: the client would not take the records, so none are asked for.
  listRecords: async () => (await backfill.listRecords({ job: id, collection: LIKE })).data,
  getPdsSummary: async () => (await backfill.getPdsSummary({ job: id })).data,
})

const steers = (backfill: Backfill, id: string): Record<string, () => Promise<unknown>> => ({
  pauseJob: () => backfill.pauseJob({ job: id }),
  resumeJob: () => backfill.resumeJob({ job: id }),
  cancelJob: () => backfill.cancelJob({ job: id }),
  retryJob: () => backfill.retryJob({ job: id }),
  deleteJobDetails: () => backfill.deleteJobDetails({ job: id }),
})

const idsOf = async (
  backfill: Backfill,
  params: { caller?: string; status?: string; limit?: number } = {},
) => {
  const pages = await readPages(async (cursor) => {
    const { data } = await backfill.listJobs({ ...params, ...cursor })
    return { items: data.jobs.map(({ id }) => id), cursor: data.cursor }
  })
  return pages.flat()
}

describe('one that was granted the jobs of another', () => {
  test.each(Object.keys(reads(making, '')))('reads them as their owner does: %s', async (name) => {
    const seen = await reads(making, job)[name]!()
    expect(await reads(reading, job)[name]!()).toEqual(seen)
  })

  test('reads their records', async () => {
    const read = (caller: Caller) => callRaw(service, caller, 'listRecords', { params: { job } })
    const [seen, theirs] = [await read(maker), await read(reader)]
    expect(seen.status).toBe(200)
    expect(seen.text).toContain(REPOS.completed)
    expect(theirs.text).toBe(seen.text)
    expect((await read(other)).json).toMatchObject({ error: 'JobNotFound' })
  })

  test('follows them', async () => {
    await using stream = await openStream(service, reader, { job })
    const [snapshot] = await stream.until('#jobSnapshot')
    expect(snapshot).toMatchObject({ job, view: { id: job, caller: maker.did } })
    await using refused = await openStream(service, other, { job })
    expect(await endOf(refused)).toMatchObject({ error: 'JobNotFound', code: 1008 })
  })

  test.each(Object.keys(steers(making, '')))('does not steer them: %s', async (name) => {
    const before = await reads(making, job).getJobStatus!()
    expect(await refusal(steers(reading, job)[name]!())).toEqual(NOT_FOUND)
    expect(await reads(making, job).getJobStatus!()).toEqual(before)
  })

  test('does not delete their details among its own', async () => {
    const ended = await addJob(service.service.store, { caller: maker.did, repos: [didOf(1)] })
    const set = { status: 'cancelled', stage: 'cancelled', completed_at: new Date() } as const
    await service.service.store.db.updateTable('job').set(set).where('id', '=', ended.id).execute()
    await reading.deleteAllJobDetails()
    expect((await making.listJobRepos({ job: ended.id })).data.repos).toHaveLength(1)
  })

  test('is not read by them in turn', async () => {
    const { data } = await reading.createJob({ repos: [didOf(1)] })
    expect(await refusal(making.getJobStatus({ job: data.id }))).toEqual(NOT_FOUND)
    expect(await idsOf(making, { caller: reader.did })).toEqual([])
  })

  test('lists them with its own, newest first, or those of one caller', async () => {
    const own = (await reading.createJob({ repos: [didOf(2)] })).data.id
    const theirs = (await making.createJob({ repos: [didOf(3)] })).data.id
    const hidden = (await prying.createJob({ repos: [didOf(4)] })).data.id
    const all = await idsOf(reading, { limit: 2 })
    expect(all).toEqual([...all].sort().reverse())
    expect(all.slice(0, 2)).toEqual([theirs, own])
    expect(all).toContain(job)
    expect(all).not.toContain(hidden)
    const [ofReader, ofMaker] = [
      await idsOf(reading, { caller: reader.did }),
      await idsOf(reading, { caller: maker.did }),
    ]
    expect([...ofReader, ...ofMaker].sort().reverse()).toEqual(all)
    expect(ofMaker).toEqual(await idsOf(making))
    expect(ofMaker[0]).toBe(theirs)
    expect(await idsOf(reading, { caller: maker.did, status: 'completed' })).toEqual([])
    expect(await idsOf(reading, { caller: other.did })).toEqual([])
    // For an admin it is a filter and nothing else.
    expect(await idsOf(admin, { caller: other.did })).toEqual([hidden])
    expect(await idsOf(admin, { caller: didOf(1) })).toEqual([])
    expect((await idsOf(admin)).length).toBeGreaterThan(all.length)
  })

  test('needs the permission to read as well', async () => {
    await admin.putCaller({ did: reader.did, permissions: ['create'], jobsOf: [maker.did] })
    const refused = { status: 403, error: 'NotPermitted' }
    for (const read of Object.values(reads(reading, job)))
      expect(await refusal(read())).toMatchObject(refused)
    await admin.putCaller({ did: reader.did, permissions: ['read'], jobsOf: [maker.did] })
    expect(await refusal(reading.createJob({ repos: [didOf(1)] }))).toMatchObject(refused)
    for (const steer of Object.values(steers(reading, job)))
      expect(await refusal(steer())).toMatchObject(refused)
    for (const read of Object.values(reads(reading, job))) await read()
  })

  test('does not see them any more from the next request on', async () => {
    await admin.putCaller({ did: reader.did, permissions: ['read', 'create'] })
    for (const read of Object.values(reads(reading, job))) expect(await refusal(read())).toEqual(NOT_FOUND)
    expect(await idsOf(reading)).not.toContain(job)
    expect(await idsOf(reading, { caller: maker.did })).toEqual([])
    await admin.putCaller({ did: reader.did, permissions: ['read', 'create'], jobsOf: [maker.did] })
    for (const read of Object.values(reads(reading, job))) await read()
  })
})

describe('one that was granted nothing', () => {
  test.each(Object.keys({ ...reads(prying, ''), ...steers(prying, '') }))(
    'is told of no job: %s',
    async (name) => {
      const calls = { ...reads(prying, job), ...steers(prying, job) }
      const unknown = { ...reads(prying, '3l3qo2vuowo2b'), ...steers(prying, '3l3qo2vuowo2b') }
      const refused = await refusal(calls[name]!())
      expect(refused).toEqual(NOT_FOUND)
      // The words are the same for a job that there is not.
      const { message } = await refusal(unknown[name]!())
      expect(refused.message).toBe(message.replace('3l3qo2vuowo2b', job))
    },
  )

  test('lists none', async () => {
    expect(await idsOf(prying)).not.toContain(job)
    expect(await idsOf(prying, { caller: maker.did })).toEqual([])
  })
})

test.each(['deleting', 'deleted'] as const)(
  'a job whose details are %s has a status, and no repos to read',
  async (details) => {
    const { id } = await addJob(service.service.store, { caller: maker.did, repos: [didOf(1)] })
    await service.service.store.db.updateTable('job').set({ details }).where('id', '=', id).execute()
    for (const backfill of [making, reading, admin]) {
      const { getJobStatus, ...others } = reads(backfill, id)
      await getJobStatus!()
      for (const read of Object.values(others)) {
        expect(await refusal(read())).toEqual(refusedWith('DetailsDeleted', id))
      }
    }
  },
)
