import { createHash } from 'node:crypto'
import { afterAll, beforeAll, expect, test } from 'vitest'
import type { JobView } from '../../codegen/client/types/network/example/backfill/defs.js'
import { type ManifestLine, verifyManifest } from '../../src/client/index.js'
import { findJob } from '../../src/store/jobs.js'
import { readManifest } from '../../src/store/manifest.js'
import { collectRepos } from '../support/jobs.js'
import { AquiferProcess } from '../support/process.js'
import type { Backfill, TestService } from '../support/service.js'
import { eventually } from '../support/wait.js'
import { ALIVE_EVERY_MS, finished, newDid, StandIns, told } from './support.js'

/** What a third party has in the end: the document, and what the service publishes of itself. */

const LIST = 'com.atproto.repo.listRecords'
const UNKNOWN_REPO = { kind: 'answer', status: 400, body: { error: 'RepoNotFound', message: 'no' } } as const

let standIns: StandIns

beforeAll(async () => {
  standIns = await StandIns.start()
})

afterAll(async () => {
  await standIns?.[Symbol.asyncDispose]()
})

/** A job with its manifest. */
async function manifested(backfill: Backfill, job: string): Promise<JobView> {
  await finished(backfill, job)
  return eventually(
    async () => (await backfill.getJobStatus({ job })).data,
    ({ manifest }) => manifest !== undefined,
  )
}

async function documentOf({ service }: TestService, id: string): Promise<string> {
  const job = await findJob(service.store.db, id)
  const pieces = await readManifest(service.store.db, job!.key)
  return Buffer.concat(await Array.fromAsync(pieces!)).toString()
}

const published = async (url: string) =>
  (await (await fetch(`${url}/.well-known/did.json`)).json()) as Record<string, unknown>

/** The lines of a manifest, without its head. */
const linesOf = (text: string): ManifestLine[] =>
  text
    .split('\n')
    .slice(0, -2)
    .map((line) => JSON.parse(line))

test('a job that has ended has a manifest that says of each repo what the service says, and anybody can check it', async () => {
  const collection = 'network.example.claimed'
  const pds = await standIns.pds()
  const dids = standIns.populate(pds, 6, (index) => index * 3, collection)
  const [, lost = ''] = dids
  pds.faults.plan(UNKNOWN_REPO, { did: lost })
  const nobody = newDid()
  await using api = await standIns.service()
  const backfill = api.as(standIns.caller)
  const { data } = await backfill.createJob({
    collections: [collection],
    method: 'list-records',
    repos: [...dids, nobody],
  })
  expect(data.manifest).toBeUndefined()
  const job = await manifested(backfill, data.id)
  expect(job).toMatchObject({ status: 'completed', completedRepos: 5, failedRepos: 2 })

  const text = await documentOf(api, data.id)
  const { head, hash } = await verifyManifest([text], await published(api.url))
  expect(job.manifest).toEqual({ hash, receipts: 5, createdAt: head.builtAt })
  expect(hash).toBe(createHash('sha256').update(text).digest('hex'))
  expect(head).toMatchObject({
    ...{ job: data.id, caller: standIns.caller.did, service: api.did, status: 'completed' },
    ...{ scope: { collections: [collection], repoCount: 7 }, discoveryComplete: true },
    ...{ repos: { total: 7, completed: 5, unavailable: 0, failed: 2 }, receipts: 5, records: 42 },
    ...{ createdAt: job.createdAt, startedAt: job.startedAt, completedAt: job.completedAt },
    startCursors: job.startCursors ?? [],
  })
  const told = (await collectRepos(backfill, data.id)).map((repo) => {
    const { did, status: outcome, receipt, failure, pdsEndpoint: host } = repo
    if (!receipt) return { did, outcome, class: failure?.class, ...(host && { host }) }
    const { counts, totalRecords: records, pdsEndpoint, ...rest } = receipt
    const named = Object.fromEntries(counts.map(({ collection, count }) => [collection, count]))
    return { ...rest, outcome, counts: named, records, host: pdsEndpoint }
  })
  expect(linesOf(text)).toEqual(told)
  expect(told.map((line) => line.did)).toEqual([...dids, nobody].sort())

  // Somebody else's document says nothing of it.
  await using other = await standIns.service({ environment: { SERVICE_KEY: '17'.repeat(32) } })
  const theirs = { ...(await published(other.url)), id: api.did }
  await expect(verifyManifest([text], theirs)).rejects.toMatchObject({ problem: 'key' })
  // The list of jobs has it too.
  expect((await backfill.listJobs({})).data.jobs[0]).toMatchObject({ manifest: job.manifest })
})

test('a job that is tried again has no manifest until it has ended anew, and then another one', async () => {
  const collection = 'network.example.repeated'
  const pds = await standIns.pds()
  const dids = standIns.populate(pds, 3, 2, collection)
  const [late = ''] = dids
  const broken = pds.faults.plan(UNKNOWN_REPO, { did: late })
  await using api = await standIns.service()
  const backfill = api.as(standIns.caller)
  const { data } = await backfill.createJob({
    collections: [collection],
    method: 'list-records',
    repos: dids,
  })
  const first = await manifested(backfill, data.id)
  expect(first.manifest).toMatchObject({ receipts: 2 })
  const older = await documentOf(api, data.id)

  broken.cancel()
  const gate = Promise.withResolvers<void>()
  pds.faults.plan({ kind: 'after', what: () => gate.promise }, { did: late, method: LIST }, 1)
  const again = await backfill.retryJob({ job: data.id, classes: ['repo-not-found'] })
  expect(again.data.manifest).toBeUndefined()
  gate.resolve()
  const second = await manifested(backfill, data.id)
  expect(second).toMatchObject({ completedRepos: 3, manifest: { receipts: 3 } })
  const { hash } = await verifyManifest([await documentOf(api, data.id)], await published(api.url))
  expect(second.manifest!.hash).toBe(hash)
  // What was claimed then remains what it was.
  const claimed = await verifyManifest([older], await published(api.url))
  expect(claimed).toMatchObject({ hash: first.manifest!.hash, head: { repos: { completed: 2, failed: 1 } } })
})

test('a job that was cancelled claims nothing of the repos that it did not get to', async () => {
  const collection = 'network.example.cancelled'
  const pds = await standIns.pds()
  const dids = standIns.populate(pds, 12, 1, collection)
  const gate = Promise.withResolvers<void>()
  const held = pds.faults.plan({ kind: 'after', what: () => gate.promise }, { method: LIST })
  await using api = await standIns.service({
    environment: { HOST_CONCURRENCY: '1', HOST_START_RPM: '240' },
    overrides: { aliveEveryMs: ALIVE_EVERY_MS },
  })
  const backfill = api.as(standIns.caller)
  const { data } = await backfill.createJob({
    collections: [collection],
    method: 'list-records',
    repos: dids,
  })
  await eventually(
    () => held.fired,
    (fired) => fired > 0,
  )
  await backfill.cancelJob({ job: data.id })
  await told({ api })
  gate.resolve()
  const job = await manifested(backfill, data.id)
  const text = await documentOf(api, data.id)
  const { head } = await verifyManifest([text], await published(api.url))
  expect(head).toMatchObject({ status: 'cancelled', repos: { total: 12, completed: job.completedRepos } })
  const open = linesOf(text).filter((line) => !('outcome' in line))
  expect(open.length).toBe(12 - job.processedRepos)
  expect(open.length).toBeGreaterThan(0)
})

test('what one process signs, the other publishes; details that are deleted leave the hash', async () => {
  const collection = 'network.example.elsewhere'
  const pds = await standIns.pds()
  const dids = standIns.populate(pds, 4, 1, collection)
  await using bench = await standIns.bench()
  const { backfill, database, api } = bench
  await using worker = await AquiferProcess.start('worker', {
    database,
    // A worker that names itself as the service does.
    environment: { ...standIns.environment, PUBLIC_URL: api.url },
  })
  const { data } = await backfill.createJob({
    collections: [collection],
    method: 'list-records',
    repos: dids,
  })
  const job = await manifested(backfill, data.id)
  await verifyManifest([await documentOf(api, data.id)], await published(api.url))
  const made = await eventually(
    () => worker.log.find(({ event }) => event === 'job.manifest-made'),
    (line) => line !== undefined,
  )
  expect(made).toMatchObject({ job: data.id, hash: job.manifest!.hash, repos: 4 })
  await backfill.deleteJobDetails({ job: data.id })
  const row = await findJob(api.service.store.db, data.id)
  expect(await readManifest(api.service.store.db, row!.key)).toBeNull()
  expect((await backfill.getJobStatus({ job: data.id })).data.manifest).toEqual(job.manifest)
})
