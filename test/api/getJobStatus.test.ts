import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { finishDiscovery } from '../../src/store/jobs.js'
import {
  addJob,
  completeJob,
  completion,
  didOf,
  drive,
  failJob,
  posts,
  resolution,
  step,
  writeSteps,
} from '../support/fixtures.js'
import { type Caller, createPlcCaller } from '../support/network/caller.js'
import { type Backfill, startTestService, type TestService } from '../support/service.js'
import {
  callRaw,
  type Directory,
  invalidRequest,
  newcomer,
  refusal,
  refusedWith,
  startDirectory,
} from './support.js'

const COLLECTION = 'network.example.status'
const UNKNOWN = '3l3qo2vuowo2b'

let network: Directory
let service: TestService
let caller: Caller
let backfill: Backfill
let admin: Caller

beforeAll(async () => {
  network = await startDirectory()
  admin = await createPlcCaller(network.plc)
  service = await startTestService({ network, engine: false, environment: { BACKFILL_ADMINS: admin.did } })
  ;({ caller, backfill } = await newcomer(network, service))
})

afterAll(async () => {
  await service?.[Symbol.asyncDispose]()
  await network?.[Symbol.asyncDispose]()
})

const now = () => new Date(Date.now())

describe('a job', () => {
  test('counts its repos as they come to their outcomes', async () => {
    const { store } = service.service
    const dids = [1, 2, 3, 4, 5, 6].map(didOf) as [string, string, string, string, string, string]
    const job = await addJob(store, { caller: caller.did, name: 'counted', repos: dids })
    const look = async () => (await backfill.getJobStatus({ job: job.id })).data
    expect(await look()).toMatchObject({ totalRepos: 6, resolvedRepos: 0, processedRepos: 0, failures: [] })

    const host = await drive(store.db)
    await writeSteps(store, ...dids.slice(0, 5).map((did) => resolution(job, did, host)))
    expect(await look()).toMatchObject({ totalRepos: 6, resolvedRepos: 5, processedRepos: 0 })

    await writeSteps(
      store,
      completion(job, dids[0], host, posts(job, 'a', 'b', 'c')),
      completion(job, dids[1], host, posts(job, 'a')),
      step(job, dids[2], host, { status: 'unavailable', reason: 'deactivated' }),
      step(job, dids[3], host, { status: 'failed', failure: 'timeout', message: 'slow' }),
      step(job, dids[4], host, { status: 'failed', failure: 'cid-mismatch', message: 'no' }),
    )
    const lookup = await drive(store.db, 'https://plc.example')
    await writeSteps(
      store,
      step(job, dids[5], lookup, { status: 'failed', failure: 'timeout', message: 'slow' }),
    )
    expect(await completeJob(store.db, job.key, now())).toBe(job.id)
    expect(await look()).toMatchObject({
      name: 'counted',
      repoCount: 6,
      status: 'completed',
      stage: 'completed',
      discoveryComplete: true,
      totalRepos: 6,
      resolvedRepos: 5,
      processedRepos: 6,
      completedRepos: 2,
      unavailableRepos: 1,
      failedRepos: 3,
      totalRecords: 4,
      startedAt: expect.any(String),
      completedAt: expect.any(String),
    })
    const { failures } = await look()
    expect(failures).toHaveLength(2)
    expect(failures).toContainEqual({ class: 'timeout', count: 2, retryable: true })
    expect(failures).toContainEqual({ class: 'cid-mismatch', count: 1, retryable: false })
  })

  test('says why it failed', async () => {
    const { store } = service.service
    const job = await addJob(store, { caller: caller.did, relays: ['https://relay.example'] })
    await finishDiscovery(store.db, job.key)
    await failJob(store.db, job.key, 'relay.example cannot be read', now())
    expect((await backfill.getJobStatus({ job: job.id })).data).toMatchObject({
      status: 'failed',
      stage: 'failed',
      error: 'relay.example cannot be read',
      discoveryComplete: false,
      completedAt: expect.any(String),
    })
  })

  test('is for its caller and the admins; to others it is as if it did not exist', async () => {
    const { data: job } = await backfill.createJob({ collections: [COLLECTION] })
    const stranger = await newcomer(network, service)
    const hidden = await refusal(stranger.backfill.getJobStatus({ job: job.id }))
    expect(hidden).toEqual(refusedWith('JobNotFound', job.id))
    const missing = await refusal(stranger.backfill.getJobStatus({ job: UNKNOWN }))
    expect({ ...missing, message: missing.message.replace(UNKNOWN, job.id) }).toEqual(hidden)
    expect((await service.as(admin).getJobStatus({ job: job.id })).data).toEqual(job)
    expect((await backfill.getJobStatus({ job: job.id })).data).toEqual(job)
  })
})

test('a job that nobody made is not found, for an admin either', async () => {
  expect(await refusal(backfill.getJobStatus({ job: UNKNOWN }))).toEqual(refusedWith('JobNotFound', UNKNOWN))
  expect(await refusal(service.as(admin).getJobStatus({ job: UNKNOWN }))).toEqual(
    refusedWith('JobNotFound', UNKNOWN),
  )
})

test.each([
  '1',
  'job',
  UNKNOWN.toUpperCase(),
  `${UNKNOWN} `,
  `${UNKNOWN}\u0000`,
  'zzzzzzzzzzzzz',
  '*',
  "' or 1=1 --",
])('a job that is no TID is refused: %j', async (job) => {
  expect(await refusal(backfill.getJobStatus({ job }))).toEqual(invalidRequest('job', 'TID'))
})

test('a request without a job is refused', async () => {
  const answer = await callRaw(service, caller, 'getJobStatus')
  expect(answer.status).toBe(400)
  expect(answer.json).toMatchObject({ error: 'InvalidRequest', message: expect.stringContaining('job') })
})
