import { setTimeout as sleep } from 'node:timers/promises'
import { gunzipSync } from 'node:zlib'
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest'
import { serviceDidDocument } from '../../src/auth/did-document.js'
import { verifyManifest } from '../../src/client/index.js'
import { readConfig } from '../../src/config.js'
import { type ManifestContext, makePart } from '../../src/engine/manifest.js'
import { ENDED_STATUSES, movesOf } from '../../src/jobs/state.js'
import { openServiceKey, type ServiceKey } from '../../src/service-key.js'
import { deleteDetails, deleteDetailsPortion } from '../../src/store/details.js'
import { findJob } from '../../src/store/jobs.js'
import { dueManifests, readManifest, withManifest } from '../../src/store/manifest.js'
import { moveJob } from '../../src/store/transitions.js'
import { createStore } from '../support/database.js'
import {
  addJob,
  completeJob,
  completion,
  didOf,
  didsOf,
  drive,
  empty,
  failJob,
  POST,
  posts,
  resolution,
  type TestJob,
  writeSteps,
} from '../support/fixtures.js'
import { SERVICE_KEY } from '../support/service.js'

/** How a manifest is made part by part, and what happens to it when its job goes on. Parts are short here. */

const PART_REPOS = 10
const REPOS = 35
const PARTS = 4

const config = readConfig({ PUBLIC_URL: 'https://backfill.example', SERVICE_KEY })
const NEVER = new AbortController().signal

let store: Awaited<ReturnType<typeof createStore>>
let serviceKey: ServiceKey
let document: object
const told: string[] = []

beforeAll(async () => {
  store = await createStore()
  serviceKey = await openServiceKey(config)
  document = serviceDidDocument({
    did: config.identity.did,
    endpoint: config.server.publicUrl,
    signingKey: serviceKey.did,
  })
})

afterAll(() => store?.[Symbol.asyncDispose]())

beforeEach(async () => {
  await empty(store)
  told.length = 0
})

const maker = (change: Partial<ManifestContext> = {}) => ({
  ...{ config, db: store.db, serviceKey, partRepos: PART_REPOS, now: Date.now },
  tell: (name: string) => void told.push(name),
  ...change,
})

/** A job of which every repo is completed, with one post more each, but for the last. It has not ended yet. */
async function fetchedJob(repos = REPOS): Promise<TestJob> {
  const job = await addJob(store, { repos: didsOf(repos), collections: [POST] })
  const host = await drive(store.db)
  for (const [index, did] of didsOf(repos - 1).entries()) {
    const keys = Array.from({ length: index }, (_, n) => `p${n}`)
    await writeSteps(store, resolution(job, did, host))
    await writeSteps(store, completion(job, did, host, posts(job, ...keys)))
  }
  return job
}

/** One that has ended so. */
async function endedJob(repos = REPOS): Promise<TestJob> {
  const job = await fetchedJob(repos)
  await failJob(store.db, job.key, 'a gap')
  return job
}

async function dueOf({ key }: TestJob) {
  const due = (await dueManifests(store.db, 10)).find(({ job }) => job === key)
  if (!due) throw new Error('no manifest is due')
  return due
}

/** Makes a manifest to its end. @returns how many parts this call made */
async function make(job: TestJob, change: Partial<ManifestContext> = {}): Promise<number> {
  const due = await dueOf(job)
  let parts = 0
  while (await makePart(maker(change), due, NEVER)) parts += 1
  return parts
}

async function documentOf({ key }: TestJob): Promise<Buffer | null> {
  const pieces = await readManifest(store.db, key)
  return pieces && Buffer.concat(await Array.fromAsync(pieces))
}

const partsOf = async ({ key }: TestJob) =>
  (
    await store.pool.query(`select part, xmin::text, lines from manifest_part where job = $1 order by part`, [
      key,
    ])
  ).rows

const TOLD = { total: REPOS, completed: REPOS - 1, unavailable: 0, failed: 0 }
const RECORDS = ((REPOS - 2) * (REPOS - 1)) / 2

test('has a line for each repo, in parts, and is told with the job', async () => {
  const job = await endedJob()
  expect(await documentOf(job)).toBeNull()
  expect(await findJob(store.db, job.id)).toMatchObject({ manifest_hash: null })
  expect(await make(job)).toBe(PARTS)
  expect(told).toEqual(['job.manifest-made'])
  const text = (await documentOf(job))!
  const { head, hash } = await verifyManifest([text], document)
  expect(head).toMatchObject({ job: job.id, repos: TOLD, receipts: REPOS - 1, records: RECORDS })
  expect(head).toMatchObject({ status: 'failed', error: 'a gap', scope: { collections: [POST] } })
  expect(await findJob(store.db, job.id)).toMatchObject({
    manifest_hash: hash,
    manifest_receipts: REPOS - 1,
    manifest_built_at: new Date(head.builtAt),
  })
  expect(await dueManifests(store.db, 10)).toEqual([])
})

test('has short parts where accounts have very many collections, and takes each in its turn', async () => {
  const job = await endedJob()
  await store.pool.query(
    `update receipt set records = 5000, counts = (
       select jsonb_object_agg('com.' || repeat(md5((i % 7)::text) || '.', 8) || 'c' || i, 1)
       from generate_series(1, 5000) i
     ) where repo in (select repo from job_repo where job = $1 and did > $2)`,
    [job.key, didOf(24)],
  )
  await make(job, { partRepos: undefined })
  const lengths = (await partsOf(job)).map(({ lines }) => gunzipSync(lines).length)
  // Nine lines of more than a megabyte each; the short ones go with the first.
  expect(lengths.reduce((sum, length) => sum + length)).toBeGreaterThan(9_000_000)
  expect(Math.max(...lengths)).toBeLessThan(6_000_000)
  const { head } = await verifyManifest([(await documentOf(job))!], document)
  expect(head).toMatchObject({ repos: TOLD, records: 9 * 5_000 + 300 })
})

test('of a job that runs, or has lost its details, none is made', async () => {
  await fetchedJob()
  const job = await endedJob()
  await deleteDetails(store.db, { key: job.key }, ENDED_STATUSES)
  expect(await dueManifests(store.db, 10)).toEqual([])
})

test('of a job without repos is one line', async () => {
  const job = await addJob(store, { relays: ['https://relay.example'], collections: [POST] })
  await failJob(store.db, job.key, 'nobody answers')
  expect(await make(job)).toBe(0)
  const { head } = await verifyManifest([(await documentOf(job))!], document)
  expect(head).toMatchObject({ repos: { total: 0 }, receipts: 0, discoveryComplete: false })
})

test('that is left in the middle goes on there, and what is written stays', async () => {
  const job = await endedJob()
  const due = await dueOf(job)
  await makePart(maker(), due, NEVER)
  await makePart(maker(), due, NEVER)
  const before = await partsOf(job)
  expect(before).toHaveLength(2)
  // Nobody sees half of it.
  expect(await documentOf(job)).toBeNull()
  expect(await make(job)).toBe(PARTS - 2)
  expect((await partsOf(job)).slice(0, 2)).toEqual(before)
  await verifyManifest([(await documentOf(job))!], document)
})

test('whose end is broken off has no end, and gets it from the next one', async () => {
  const job = await endedJob()
  const due = await dueOf(job)
  for (let part = 0; part < PARTS; part += 1) await makePart(maker(), due, NEVER)
  // The process is asked to stop while it sums up.
  const stop = AbortSignal.abort(new Error('stopping'))
  await expect(makePart(maker(), due, stop)).rejects.toThrow('stopping')
  // The connection breaks while it signs: the server ends whoever holds the transaction.
  const sign = async (bytes: Uint8Array) => {
    await store.pool.query(
      `select pg_terminate_backend(pid) from pg_stat_activity
       where datname = current_database() and state = 'idle in transaction'`,
    )
    return serviceKey.sign(bytes)
  }
  await expect(makePart(maker({ serviceKey: { ...serviceKey, sign } }), due, NEVER)).rejects.toThrow()
  expect(await documentOf(job)).toBeNull()
  expect(told).toEqual([])
  expect(await make(job)).toBe(0)
  await verifyManifest([(await documentOf(job))!], document)
})

test('is made by one process at a time, and once', async () => {
  const job = await endedJob()
  const due = await dueOf(job)
  const atOnce = await withManifest(store.db, due, async () => {
    // Meanwhile somebody else finds nothing to do there, without waiting.
    expect(await makePart(maker(), due, NEVER)).toBe(false)
    return 'done'
  })
  expect(atOnce).toBe('done')
  expect(await partsOf(job)).toEqual([])
  const makers = Array.from({ length: 4 }, async () => {
    while ((await dueManifests(store.db, 10)).length > 0) {
      await makePart(maker(), due, NEVER)
      await sleep(1)
    }
  })
  await Promise.all(makers)
  expect(told).toEqual(['job.manifest-made'])
  expect(await partsOf(job)).toHaveLength(PARTS)
  const { head } = await verifyManifest([(await documentOf(job))!], document)
  expect(head.repos).toEqual(TOLD)
})

test('of a job that is tried again is gone at once, and another is made of its new end', async () => {
  const job = await endedJob()
  await make(job)
  const first = await findJob(store.db, job.id)
  const reader = (await readManifest(store.db, job.key))!
  await reader.next()
  await moveJob(store.db, job.key, movesOf('retry'), new Date())
  expect(await documentOf(job)).toBeNull()
  expect(await findJob(store.db, job.id)).toMatchObject({ manifest_hash: null, manifest_receipts: null })
  expect(await dueManifests(store.db, 10)).toEqual([])

  const host = await drive(store.db)
  await writeSteps(store, resolution(job, didOf(REPOS - 1), host))
  await writeSteps(store, completion(job, didOf(REPOS - 1), host, posts(job, 'late')))
  expect(await completeJob(store.db, job.key)).toBe(job.id)
  // Not the older one either.
  expect(await documentOf(job)).toBeNull()
  await make(job)
  const { head, hash } = await verifyManifest([(await documentOf(job))!], document)
  expect(head).toMatchObject({ status: 'completed', repos: { completed: REPOS }, records: RECORDS + 1 })
  expect(hash).not.toBe(first!.manifest_hash)
  expect(await partsOf(job)).toHaveLength(PARTS)
  // Whoever reads the older one is told, and gets no mixture.
  await expect(Array.fromAsync(reader)).rejects.toThrow('was removed')
})

test('that is being made when its job is tried again is never finished', async () => {
  const job = await endedJob()
  const due = await dueOf(job)
  for (let part = 0; part < PARTS; part += 1) await makePart(maker(), due, NEVER)
  const sign = async (bytes: Uint8Array) => {
    await moveJob(store.db, job.key, movesOf('retry'), new Date())
    return serviceKey.sign(bytes)
  }
  expect(await makePart(maker({ serviceKey: { ...serviceKey, sign } }), due, NEVER)).toBe(false)
  expect(await makePart(maker(), due, NEVER)).toBe(false)
  expect(told).toEqual([])
  expect(await documentOf(job)).toBeNull()
})

test('goes with the details of its job, but for its hash', async () => {
  const job = await endedJob()
  await make(job)
  const { manifest_hash: hash } = (await findJob(store.db, job.id))!
  expect(hash).toMatch(/^[0-9a-f]{64}$/)
  const reader = (await readManifest(store.db, job.key))!
  await reader.next()
  await deleteDetails(store.db, { key: job.key }, ENDED_STATUSES)
  expect(await documentOf(job)).toBeNull()
  while (await deleteDetailsPortion(store.db, 7));
  expect(await partsOf(job)).toEqual([])
  expect(await findJob(store.db, job.id)).toMatchObject({ details: 'deleted', manifest_hash: hash })
  await expect(Array.fromAsync(reader)).rejects.toThrow('was removed')
})

test('leaves nothing behind when the details go while it is made', async () => {
  const job = await endedJob()
  const due = await dueOf(job)
  await makePart(maker(), due, NEVER)
  await deleteDetails(store.db, { key: job.key }, ENDED_STATUSES)
  while (await deleteDetailsPortion(store.db, 1_000));
  expect(await makePart(maker(), due, NEVER)).toBe(false)
  expect(await partsOf(job)).toEqual([])
  expect(await findJob(store.db, job.id)).toMatchObject({ details: 'deleted', manifest_hash: null })
})
