import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest'
import { DeliveryReader } from '../../src/store/delivery.js'
import { deleteDetails, deleteDetailsPortion } from '../../src/store/details.js'
import type { HostClaim } from '../../src/store/hosts.js'
import { finishDiscovery } from '../../src/store/jobs.js'
import { jobsToDiscover } from '../../src/store/listings.js'
import { markForPurge, purgePortion } from '../../src/store/purge.js'
import { jobToQueueFor, queueFormerRepos } from '../../src/store/refresh.js'
import { createStore } from '../support/database.js'
import {
  addJob,
  assertCountersEqualRows,
  completeJob,
  completion,
  didOf,
  didsOf,
  drive,
  empty,
  findTestJob,
  POST,
  posts,
  record,
  revOf,
  type TestJob,
  writeSteps,
} from '../support/fixtures.js'

/** Jobs that repeat others: the repos they take over, in portions, and what has changed of each. */

const ENDED = ['completed', 'failed', 'cancelled'] as const
const DIDS = didsOf(5)

let store: Awaited<ReturnType<typeof createStore>>
let host: HostClaim

beforeAll(async () => {
  store = await createStore()
})

afterAll(() => store[Symbol.asyncDispose]())

beforeEach(async () => {
  await empty(store)
  host = await drive(store.db)
})

async function ended(
  dids: readonly string[],
  rows: (job: TestJob) => ReturnType<typeof posts>,
): Promise<TestJob> {
  const job = await addJob(store, { repos: dids, collections: [POST] })
  await writeSteps(store, ...dids.map((did) => completion(job, did, host, rows(job), { rev: revOf(1) })))
  await completeJob(store.db, job.key)
  return job
}

const refreshing = (former: TestJob, relays?: readonly string[]) =>
  addJob(store, {
    ...(relays ? { relays } : { repos: [] }),
    collections: [POST],
    refreshes: { job: former.id, queueRepos: true },
  })

const queue = (job: TestJob, limit: number) =>
  store.db.transaction().execute((trx) => queueFormerRepos(trx, job.id, limit))

test('repos are queued in portions, and discovery waits for them', async () => {
  const former = await ended(DIDS, (job) => posts(job, 'a'))
  const job = await refreshing(former, ['https://relay.example'])
  const now = new Date()
  expect(await jobToQueueFor(store.db, ENDED)).toBe(job.id)
  for (const more of [true, true, false]) {
    expect(await jobsToDiscover(store.db, now, 1_000)).toEqual([])
    await store.db.updateTable('listing').set({ done: true }).execute()
    await finishDiscovery(store.db, job.key)
    await store.db.updateTable('listing').set({ done: false }).execute()
    expect(await queue(job, 2)).toBe(more)
    await assertCountersEqualRows(store)
  }
  expect([...(await findTestJob(store.db, job.id)).repos.keys()].sort()).toEqual(DIDS)
  expect(await jobToQueueFor(store.db, ENDED)).toBeNull()
  expect(await jobsToDiscover(store.db, now, 1_000)).toEqual([job.key])
})

test('the list they are taken from stays until then, whatever is asked', async () => {
  const former = await ended(DIDS, (job) => posts(job, 'a'))
  const other = await ended(DIDS, (job) => posts(job, 'a'))
  const [one, two] = [await refreshing(former), await refreshing(other)]
  await deleteDetails(store.db, { key: former.key }, ENDED)
  await markForPurge(store.db, other.key, ENDED)
  expect(await deleteDetailsPortion(store.db, 100)).toBe(false)
  expect((await purgePortion(store.db, 100)).more).toBe(false)
  for (const job of [one, two]) while (await queue(job, 2)) {}
  expect(await deleteDetailsPortion(store.db, 100)).toBe(true)
  expect((await purgePortion(store.db, 100)).more).toBe(true)
  for (const { id } of [one, two]) expect((await findTestJob(store.db, id)).repos.size).toBe(DIDS.length)
})

/** What has changed of a repo, page by page. */
async function changesOf(job: TestJob) {
  const query = { job: job.key, scope: job.scope, collection: null, did: null, through: null, changes: true }
  const reader = new DeliveryReader(store.db, query, 0)
  const found = { records: [] as string[], deleted: [] as string[], pages: 0, since: null as string | null }
  for (let more = true; more; found.pages += 1) {
    const page = await reader.page()
    for (const { lines, outcome } of page.repos) {
      if (outcome.status === 'completed') found.since = outcome.since
      for (const { bytes, deleted = [] } of lines) {
        found.records.push(
          ...bytes
            .toString()
            .split('\n')
            .flatMap((line) => (line === '' ? [] : [JSON.parse(line).uri])),
        )
        found.deleted.push(...deleted.map(({ uri, rev }) => `${uri} ${rev}`))
      }
    }
    more = page.more
  }
  return found
}

test('changes of any number come in pages, each once', async () => {
  const did = didOf(1)
  const keys = Array.from({ length: 3_000 }, (_, n) => `k${10_000 + n}`)
  const former = await ended([did], (job) => posts(job, ...keys))
  const job = await refreshing(former)
  await queue(job, 10)
  const { repos } = await findTestJob(store.db, job.id)
  const now = { ...job, repos }
  const large = `{"text":"${'x'.repeat(700_000)}"}`
  const changed = keys.slice(0, 1_000).map((rkey, n) => {
    return record(now.collections.get(POST)!, rkey, `bafy-new-${n}`, n % 400 === 0 ? large : '{}')
  })
  await writeSteps(store, completion(now, did, host, changed, { rev: revOf(2) }))
  await store.pool.query('update record set cid = null, value = null, rev = $1 where rkey >= $2', [
    revOf(2),
    'k12000',
  ])
  const found = await changesOf(now)
  const uri = (rkey: string) => `at://${did}/${POST}/${rkey}`
  expect(found.records).toEqual(keys.slice(0, 1_000).map(uri))
  expect(found.deleted).toEqual(keys.slice(2_000).map((rkey) => `${uri(rkey)} ${revOf(2)}`))
  expect(found.since).toBe(revOf(1))
  expect(found.pages).toBeGreaterThan(3)
})
