import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { HostClaim } from '../../src/store/hosts.js'
import {
  addJob,
  completeJob,
  completion,
  didOf,
  drive,
  POST,
  posts,
  type TestJob,
  writeSteps,
} from '../support/fixtures.js'
import type { Caller } from '../support/network/caller.js'
import { type Backfill, startTestService, type TestService } from '../support/service.js'
import { eventually } from '../support/wait.js'
import { type Directory, newcomer, refusal, refusedWith, startDirectory } from './support.js'

/** `purgeJob`: what a job has left goes away, but for what others need. */

let network: Directory
let on: TestService
let caller: Caller
let backfill: Backfill
let host: HostClaim

beforeAll(async () => {
  network = await startDirectory()
  on = await startTestService({ network, overrides: { houseEveryMs: 100 } })
  ;({ caller, backfill } = await newcomer(network, on))
  host = await drive(on.service.store.db)
})

afterAll(async () => {
  await on?.[Symbol.asyncDispose]()
  await network?.[Symbol.asyncDispose]()
})

/** A job of somebody that has completed these. */
async function ended(dids: readonly string[], of = caller.did): Promise<TestJob> {
  const { store } = on.service
  const job = await addJob(store, { repos: dids, collections: [POST], caller: of })
  await writeSteps(store, ...dids.map((did) => completion(job, did, host, posts(job, 'a', 'b', 'c'))))
  await completeJob(store.db, job.key)
  return job
}

const purged = (job: TestJob) =>
  eventually(
    async () => (await backfill.getJobStatus({ job: job.id })).data,
    ({ purge }) => purge === 'purged',
  )

const recordsOf = async (did: string) => {
  const { rows } = await on.service.store.pool.query(
    'select from record join repo on repo.id = record.repo where repo.did = $1',
    [did],
  )
  return rows.length
}

describe('purgeJob', () => {
  test('answers at once; nothing is left but the job, its counters, and what others need', async () => {
    const [mine, shared] = [didOf(11), didOf(12)]
    const job = await ended([mine, shared])
    await ended([shared], 'did:web:other.example')
    const { data } = await backfill.purgeJob({ job: job.id })
    expect(data).toMatchObject({ id: job.id, status: 'completed', totalRepos: 2, totalRecords: 6 })
    expect(['purging', 'purged']).toContain(data.purge)
    expect(await refusal(backfill.listRecords({ job: job.id }))).toEqual(refusedWith('DetailsDeleted'))
    expect(await purged(job)).toMatchObject({ totalRepos: 2, completedRepos: 2, totalRecords: 6 })
    expect([await recordsOf(mine), await recordsOf(shared)]).toEqual([0, 3])
    // Once more does no harm, and tells the same.
    expect((await backfill.purgeJob({ job: job.id })).data).toMatchObject({ id: job.id, purge: 'purged' })
    expect(await recordsOf(shared)).toBe(3)
  })

  test('is for jobs that have ended, and for those that are still listed', async () => {
    const { data } = await backfill.createJob({ repos: [didOf(21)], collections: [POST] })
    expect(await refusal(backfill.purgeJob({ job: data.id }))).toEqual(refusedWith('InvalidState', 'running'))
    const job = await ended([didOf(22)])
    await backfill.deleteJobDetails({ job: job.id })
    expect(await refusal(backfill.purgeJob({ job: job.id }))).toEqual(refusedWith('DetailsDeleted'))
    expect(await recordsOf(didOf(22))).toBe(3)
  })

  test('is for whoever owns the job', async () => {
    const job = await ended([didOf(31)])
    const { backfill: stranger } = await newcomer(network, on)
    expect(await refusal(stranger.purgeJob({ job: job.id }))).toEqual(refusedWith('JobNotFound'))
    expect(await recordsOf(didOf(31))).toBe(3)
  })
})
