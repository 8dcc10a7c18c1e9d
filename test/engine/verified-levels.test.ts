import { mkdtemp, readdir, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest'
import type { Overrides } from '../../src/service.js'
import { repoOf } from '../support/jobs.js'
import { AquiferProcess } from '../support/process.js'
import type { TestService } from '../support/service.js'
import { eventually } from '../support/wait.js'
import { type Bench, expectRecords, finished, LIKE, outcomes, POST } from './support.js'
import { pathOf, posts, SignedWorld, storedOf } from './verified-support.js'

/** What signed and unsigned readings make of each other's rows, and what becomes of a reading that is stopped. */

// Processes are started here.
vi.setConfig({ testTimeout: 240_000 })

let world: SignedWorld
let bench: Bench

beforeAll(async () => {
  world = await SignedWorld.start()
  bench = await world.standIns.bench()
})

afterAll(async () => {
  await bench?.[Symbol.asyncDispose]()
  await world?.[Symbol.asyncDispose]()
})

interface Wish {
  repos: string[]
  method?: string
  level?: string
  collections?: string[]
}

const engineWith = (options: { overrides?: Overrides; environment?: Record<string, string> } = {}) =>
  world.standIns.service({ database: bench.database, api: false, ...options })

/** A whole job, where an engine is there. */
async function run(wish: Wish) {
  const { data } = await bench.backfill.createJob({ collections: [POST], ...wish })
  return await finished(bench.backfill, data.id)
}

async function goneOf(did: string): Promise<string[]> {
  const stored = await storedOf(bench.api, did)
  return [...stored].filter(([, { cid }]) => cid === null).map(([path]) => path)
}

const levelsOf = async (did: string) => [
  ...new Set([...(await storedOf(bench.api, did)).values()].map(({ level }) => level)),
]

const change = { [pathOf(5)]: { $type: POST, n: 'changed' }, [pathOf(3)]: null, [pathOf(650)]: null }

describe('signed and unsigned readings', () => {
  let engine: TestService

  beforeAll(async () => {
    engine = await engineWith()
  })

  afterAll(() => engine?.[Symbol.asyncDispose]())

  test('a signed reading raises what is there, and leaves tombstones of what is not', async () => {
    const pds = await world.pds()
    const methods = ['get-repo', 'sparse', 'auto']
    const dids = await world.populate(pds, ...methods.map(() => ({ ...posts(700), ...posts(20, LIKE) })))
    await run({ repos: dids, method: 'list-records' })
    for (const [index, method] of methods.entries()) {
      const did = dids[index]!
      expect(await levelsOf(did)).toEqual(['content'])
      await run({ repos: [did], method, level: 'signed' })
      expect(await levelsOf(did)).toEqual(['signed'])
      await pds.edit(did, change)
      const job = await run({ repos: [did], method })
      expect(job).toMatchObject({ completedRepos: 1, totalRecords: 698 })
      const posted = pds.recordsOf(did).filter(({ uri }) => uri.includes(POST))
      await expectRecords(bench, job.id, posted)
      expect(await goneOf(did)).toEqual([pathOf(3), pathOf(650)])
      expect((await storedOf(bench.api, did)).get(pathOf(3))).toMatchObject({ rev: pds.revOf(did) })
    }
  })

  test('a signed reading that does not get to its end removes nothing', async () => {
    const pds = await world.pds()
    const [did] = (await world.populate(pds, posts(700))) as [string]
    await run({ repos: [did], level: 'signed' })
    await pds.edit(did, change)
    pds.lost.add(pathOf(690))
    const broken = await run({ repos: [did], method: 'get-repo' })
    expect(await outcomes(bench.backfill, broken.id)).toEqual(new Map([[did, 'failed incomplete-car']]))
    expect(await goneOf(did)).toEqual([])
    pds.lost.clear()
    const job = await run({ repos: [did], method: 'get-repo' })
    await expectRecords(bench, job.id, pds.recordsOf(did))
    expect(await goneOf(did)).toEqual([pathOf(3), pathOf(650)])
  })

  test('what a signed reading left that did not get to its end does not stand in the way of a listing', async () => {
    const pds = await world.pds()
    const [did] = (await world.populate(pds, posts(1_200))) as [string]
    pds.faults.plan(
      { kind: 'answer', status: 502 },
      ({ method }) => method === 'getBlocks' && pds.count('getBlocks', did) > 12,
    )
    const broken = await run({ repos: [did], method: 'sparse' })
    expect(await outcomes(bench.backfill, broken.id)).toEqual(new Map([[did, 'failed host-error']]))
    expect(await levelsOf(did)).toEqual(['signed'])
    expect((await storedOf(bench.api, did)).has(pathOf(3))).toBe(true)
    await pds.edit(did, change)
    const job = await run({ repos: [did], method: 'list-records' })
    expect(job).toMatchObject({ completedRepos: 1, totalRecords: 1_198 })
    await expectRecords(bench, job.id, pds.recordsOf(did))
    expect(await goneOf(did)).toContain(pathOf(3))
    expect(await levelsOf(did)).toEqual(['content'])
  })

  test('what a signed reading has given out that is followed by a listing does not count', async () => {
    const pds = await world.pds()
    pds.lacks.add('getRepo')
    const [did] = (await world.populate(pds, posts(1_200))) as [string]
    let edits = 0
    const what = () => {
      edits += 1
      const others = Object.keys(posts(1_200)).map((path) => [path, { $type: POST, path, edits }])
      return pds.edit(did, { ...Object.fromEntries(others), [pathOf(edits)]: null })
    }
    // Not before a page is given out.
    const isLate = ({ method }: { method: string }) =>
      method === 'getBlocks' && pds.count('getBlocks', did) > 12
    pds.faults.plan({ kind: 'after', what }, isLate)
    const job = await run({ repos: [did] })
    expect(job).toMatchObject({ completedRepos: 1, totalRecords: 1_199 })
    expect(edits).toBe(4)
    expect((await repoOf(bench.backfill, job.id, did)).receipt).toMatchObject({ method: 'list-records' })
    await expectRecords(bench, job.id, pds.recordsOf(did))
    expect(await levelsOf(did)).toEqual(['content'])
  })

  test('a signed repo is not rewritten by a listing', async () => {
    const pds = await world.pds()
    const [did] = (await world.populate(pds, posts(5))) as [string]
    await run({ repos: [did], level: 'signed' })
    await pds.edit(did, { [pathOf(1)]: { $type: POST, n: 'changed' } })
    const job = await run({ repos: [did], method: 'list-records' })
    expect((await repoOf(bench.backfill, job.id, did)).receipt).toMatchObject({
      level: 'signed',
      rev: pds.revOf(did),
    })
    const before = pds.recordsOf(did)
    await expectRecords(bench, job.id, before)
    for (const method of ['getRepo', 'getRecord', 'getBlocks']) pds.lacks.add(method)
    await pds.edit(did, { [pathOf(2)]: { $type: POST, n: 'changed' } })
    const unable = await run({ repos: [did], method: 'list-records' })
    expect(await outcomes(bench.backfill, unable.id)).toEqual(new Map([[did, 'failed unverifiable']]))
    await expectRecords(bench, job.id, before)
  })
})

test('a signed reading that takes longer than a turn goes on to its end', async () => {
  const TURN_MS = 60_000
  const ways = { 'get-repo': 'getRepo', sparse: 'getBlocks' }
  for (const [method, slow] of Object.entries(ways)) {
    const pds = await world.pds()
    const [did] = (await world.populate(pds, posts(1_200))) as [string]
    let ahead = 0
    const what = () => {
      ahead += TURN_MS
    }
    const plan = pds.faults.plan({ kind: 'after', what }, { did, method: slow }, 1)
    await using _engine = await engineWith({ overrides: { now: () => Date.now() + ahead } })
    const job = await run({ repos: [did], method })
    expect(plan.fired).toBe(1)
    expect(job).toMatchObject({ completedRepos: 1, totalRecords: 1_200 })
    await expectRecords(bench, job.id, pds.recordsOf(did))
    // Begun once: by the whole repo, or by the proofs of both edges.
    expect(pds.count('getRepo', did)).toBe(method === 'get-repo' ? 1 : 0)
    expect(pds.count('getRecord', did)).toBeLessThanOrEqual(method === 'get-repo' ? 0 : 2)
  }
})

test('a job that is to pause does not wait for a repo that comes, and begins it anew', async () => {
  const pds = await world.pds()
  const [did] = (await world.populate(pds, posts(1_200))) as [string]
  const [arrived, over] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()]
  pds.halfway = () => {
    arrived.resolve()
    return over.promise
  }
  await using _engine = await engineWith()
  const { data } = await bench.backfill.createJob({ collections: [POST], repos: [did], method: 'get-repo' })
  await arrived.promise
  await bench.backfill.pauseJob({ job: data.id })
  expect(await finished(bench.backfill, data.id)).toMatchObject({ status: 'paused', totalRecords: 0 })
  over.resolve()
  pds.halfway = null
  await bench.backfill.resumeJob({ job: data.id })
  expect(await finished(bench.backfill, data.id)).toMatchObject({ status: 'completed', completedRepos: 1 })
  await expectRecords(bench, data.id, pds.recordsOf(did))
})

test('a repo for which there is no room on the disk waits, and no other has to', async () => {
  const pds = await world.pds()
  // The small one needs no file.
  const [large, small] = (await world.populate(pds, posts(4_000), posts(3))) as [string, string]
  const here = import.meta.filename
  let job = ''
  {
    await using _engine = await engineWith({ environment: { SPOOL_DIR: join(here, 'spool') } })
    const wish = { collections: [POST], repos: [large, small], method: 'get-repo' }
    job = (await bench.backfill.createJob(wish)).data.id
    const waiting = await eventually(
      () => repoOf(bench.backfill, job, large),
      ({ retryAt }) => retryAt !== undefined,
    )
    expect(waiting).toMatchObject({ status: 'resolved', attempts: 0 })
    await eventually(
      () => repoOf(bench.backfill, job, small),
      ({ status }) => status === 'completed',
    )
    expect(pds.count('getRepo', large)).toBe(1)
  }
  await using _later = await engineWith({ overrides: { now: () => Date.now() + 10 * 60_000 } })
  expect(await finished(bench.backfill, job)).toMatchObject({ completedRepos: 2, totalRecords: 4_003 })
  await expectRecords(bench, job, pds.recordsOf(large, small))
})

test('killed while a repo comes and while it is written, a worker leaves nothing behind and loses nothing', async () => {
  const RECORDS = 8_000
  const pds = await world.pds()
  const [did] = (await world.populate(pds, posts(RECORDS))) as [string]
  const spool = await mkdtemp(join(tmpdir(), 'aquifer-spool-'))
  const environment = { ...world.standIns.environment, SPOOL_DIR: spool }
  const start = () => AquiferProcess.start('worker', { database: bench.database, environment })
  const { pool } = bench.api.service.store
  // That dead processes are noticed by themselves is shown elsewhere.
  const noticeDeath = () => pool.query(`update pgboss.job set state = 'failed' where state = 'active'`)
  try {
    const arrived = Promise.withResolvers<void>()
    pds.halfway = async () => {
      arrived.resolve()
      await new Promise<never>(() => {})
    }
    const { data } = await bench.backfill.createJob({
      collections: [POST],
      repos: [did],
      method: 'get-repo',
    })
    {
      await using worker = await start()
      await arrived.promise
      await worker.kill()
    }
    pds.halfway = null
    await noticeDeath()
    expect(await readdir(spool)).toEqual([])
    // Page by page, and slowly enough that it is not written before it is seen to be.
    await pool.query(`
      create function wait_a_moment() returns trigger language plpgsql
      as $$ begin perform pg_sleep(0.5); return null; end $$;
      create trigger wait_a_moment before insert on record execute function wait_a_moment();`)
    {
      await using worker = await start()
      const counted = async () => (await bench.backfill.getJobStatus({ job: data.id })).data.totalRecords
      await eventually(counted, (records) => records > 0)
      await worker.kill()
    }
    await pool.query('drop function wait_a_moment() cascade')
    await noticeDeath()
    expect(await readdir(spool)).toEqual([])
    const stopped = (await bench.backfill.getJobStatus({ job: data.id })).data.totalRecords
    expect(stopped).toBeLessThan(RECORDS)
    await using _engine = await engineWith({ environment: { SPOOL_DIR: spool } })
    expect(await finished(bench.backfill, data.id)).toMatchObject({
      status: 'completed',
      completedRepos: 1,
      totalRecords: RECORDS,
    })
    expect(pds.count('getRepo', did)).toBe(3)
    await expectRecords(bench, data.id, pds.recordsOf(did))
    expect(await readdir(spool)).toEqual([])
  } finally {
    await rm(spool, { recursive: true, force: true })
  }
})
