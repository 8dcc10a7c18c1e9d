import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { HostClaim } from '../../src/store/hosts.js'
import { finishDiscovery } from '../../src/store/jobs.js'
import { saveListingPage } from '../../src/store/listings.js'
import { createDatabase, type TestDatabase } from '../support/database.js'
import {
  addJob,
  completeJob,
  completion,
  didOf,
  drive,
  findTestJob,
  type JobWish,
  LIKE,
  POST,
  posts,
  revOf,
  type TestJob,
  writeSteps,
} from '../support/fixtures.js'
import { collectRepos } from '../support/jobs.js'
import type { Caller } from '../support/network/caller.js'
import { type Backfill, startTestService, type TestService } from '../support/service.js'
import { type Directory, newcomer, refusal, refusedWith, startDirectory } from './support.js'

/** `refreshJob`: a job once more. */

const RELAY = 'http://localhost:1'

let network: Directory
let database: TestDatabase
let on: TestService
let caller: Caller
let backfill: Backfill
let host: HostClaim

beforeAll(async () => {
  network = await startDirectory()
  database = await createDatabase()
  on = await startTestService({ network, database, engine: false })
  ;({ caller, backfill } = await newcomer(network, on))
  host = await drive(on.service.store.db)
})

afterAll(async () => {
  await on?.[Symbol.asyncDispose]()
  await database?.[Symbol.asyncDispose]()
  await network?.[Symbol.asyncDispose]()
})

/** A job that has completed these repos, at the rev of their number. */
async function ended(numbers: readonly number[], wish: JobWish = {}): Promise<TestJob> {
  const { store } = on.service
  const dids = numbers.map(didOf)
  const { key, id } = await addJob(store, { repos: dids, collections: [POST], caller: caller.did, ...wish })
  if (wish.relays) {
    const page = { dids, cursor: null }
    await saveListingPage(store.db, key, { origin: RELAY, lists: POST, cursor: null }, page)
    await finishDiscovery(store.db, key)
  }
  const job = await findTestJob(store.db, id)
  await writeSteps(
    store,
    ...numbers.map((n) => completion(job, didOf(n), host, posts(job, 'a'), { rev: revOf(n) })),
  )
  expect(await completeJob(store.db, job.key)).toBe(job.id)
  return job
}

const sinceOf = async (id: string) => {
  const rows = await on.service.store.db
    .selectFrom('job_repo as r')
    .innerJoin('job', 'job.key', 'r.job')
    .select(['r.did', 'r.since_rev'])
    .where('job.id', '=', id)
    .orderBy('r.did')
    .execute()
  return rows.map(({ did, since_rev }) => [did, since_rev])
}

describe('refreshJob', () => {
  test('has the scope of the job it repeats, its repos, and the revs they had', async () => {
    const job = await ended([101, 102], {
      collections: [POST, LIKE],
      method: 'get-repo',
      level: 'signed',
      name: 'mine',
    })
    const { data } = await backfill.refreshJob({ job: job.id })
    expect(data).toMatchObject({
      refreshes: job.id,
      caller: caller.did,
      name: 'mine',
      collections: [POST, LIKE],
      repoCount: 2,
      method: 'get-repo',
      level: 'signed',
      status: 'running',
      discoveryComplete: true,
      totalRepos: 2,
      completedRepos: 0,
    })
    expect((await collectRepos(backfill, data.id)).map(({ did, status }) => [did, status])).toEqual([
      [didOf(101), 'waiting'],
      [didOf(102), 'waiting'],
    ])
    expect(await sinceOf(data.id)).toEqual([
      [didOf(101), revOf(101)],
      [didOf(102), revOf(102)],
    ])
    expect((await backfill.refreshJob({ job: job.id, name: 'again' })).data.name).toBe('again')
  })

  test('of a job that discovered its repos it has these, and discovers once more', async () => {
    const job = await ended([111, 112], { relays: [RELAY] })
    const { data } = await backfill.refreshJob({ job: job.id })
    expect(data).toMatchObject({ totalRepos: 2, discoveryComplete: false })
    expect(data.repoCount).toBeUndefined()
    const listings = await on.service.store.db
      .selectFrom('listing')
      .innerJoin('job', 'job.key', 'listing.job')
      .select(['origin', 'lists', 'done'])
      .where('job.id', '=', data.id)
      .execute()
    expect(listings).toEqual([{ origin: RELAY, lists: POST, done: false }])
  })

  test('without details it can be had of what was discovered, not of what was named', async () => {
    const discovered = await ended([121], { relays: [RELAY] })
    const named = await ended([122])
    for (const { id } of [discovered, named]) await backfill.deleteJobDetails({ job: id })
    expect((await backfill.refreshJob({ job: discovered.id })).data).toMatchObject({ totalRepos: 0 })
    expect(await refusal(backfill.refreshJob({ job: named.id }))).toEqual(refusedWith('DetailsDeleted'))
  })

  test('a rev that was found out later counts, as long as the receipt is the same', async () => {
    const { store } = on.service
    const other = await addJob(store, {
      repos: [didOf(131), didOf(132), didOf(133)],
      collections: [POST],
      caller: caller.did,
    })
    const all = [131, 132, 133].map((n) => completion(other, didOf(n), host, posts(other, 'a')))
    await writeSteps(store, ...all)
    await completeJob(store.db, other.key)
    const settle = (n: number) =>
      store.db
        .updateTable('receipt')
        .set({ rev: revOf(n) })
        .where('repo', '=', other.repos.get(didOf(n))!)
        .execute()
    await settle(131)
    // Read again by another job since: what is new there the first one never had.
    const again = await addJob(store, { repos: [didOf(132)], collections: [POST] })
    await writeSteps(store, completion(again, didOf(132), host, posts(again, 'a')))
    await settle(132)
    const { data } = await backfill.refreshJob({ job: other.id })
    expect(await sinceOf(data.id)).toEqual([
      [didOf(131), revOf(131)],
      [didOf(132), null],
      [didOf(133), null],
    ])
  })

  test('the same token gives the same job, and another input a refusal', async () => {
    const job = await ended([141])
    const first = await backfill.refreshJob({ job: job.id, clientToken: 'one' })
    await backfill.deleteJobDetails({ job: job.id })
    const second = await backfill.refreshJob({ job: job.id, clientToken: 'one' })
    expect(second.data.id).toBe(first.data.id)
    const renamed = backfill.refreshJob({ job: job.id, clientToken: 'one', name: 'other' })
    expect(await refusal(renamed)).toEqual(refusedWith('ClientTokenConflict', first.data.id))
  })

  test('is for jobs that have ended, and for whoever owns them', async () => {
    const { data } = await backfill.createJob({ repos: [didOf(151)], collections: [POST] })
    expect(await refusal(backfill.refreshJob({ job: data.id }))).toEqual(
      refusedWith('InvalidState', 'running'),
    )
    const job = await ended([152])
    const { backfill: stranger } = await newcomer(network, on)
    expect(await refusal(stranger.refreshJob({ job: job.id }))).toEqual(refusedWith('JobNotFound'))
  })

  test('keeps to the quotas of whoever asks', async () => {
    const job = await ended([161, 162])
    const refused = async (quota: Record<string, string>, said: string) => {
      await using limited = await startTestService({ network, database, engine: false, environment: quota })
      const call = limited.as(caller).refreshJob({ job: job.id })
      expect(await refusal(call)).toMatchObject({ status: 429, message: expect.stringContaining(said) })
    }
    await refused({ QUOTA_REPOS_PER_JOB: '1' }, '2 are named')
    await refused({ QUOTA_RUNNING_JOBS: '1' }, 'not ended')
  })
})
