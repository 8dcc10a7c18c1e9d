import { afterAll, beforeAll, expect, test } from 'vitest'
import type { Overrides } from '../../src/service.js'
import { collectRecords, collectRepos, repoOf } from '../support/jobs.js'
import type { SignedPds } from '../support/network/signed-pds.js'
import { eventually } from '../support/wait.js'
import { type Bench, expectCounters, expectRecords, finished, LIKE, outcomes, POST } from './support.js'
import { pathOf, posts, SignedWorld, storedOf } from './verified-support.js'

/** Repos that have not changed since a receipt that covers what is wanted. */

const REPOS = 60

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
  repos?: string[]
  hosts?: string[]
  method?: string
  level?: string
  collections?: string[]
}

const engine = (overrides: Overrides = {}) =>
  world.standIns.service({ database: bench.database, api: false, overrides })

const start = async (wish: Wish) =>
  (await bench.backfill.createJob({ collections: [POST, LIKE], ...wish })).data.id

async function run(wish: Wish, overrides: Overrides = {}) {
  await using _engine = await engine(overrides)
  return await finished(bench.backfill, await start(wish))
}

/** The methods by which the repos of a job were completed, and how many by each. */
async function methodsOf(job: string): Promise<Record<string, number>> {
  const repos = await collectRepos(bench.backfill, job, 100)
  const methods = Map.groupBy(repos, ({ receipt }) => receipt?.method ?? 'none')
  return Object.fromEntries([...methods].map(([method, { length }]) => [method, length]))
}

/** Accounts that a job has read. */
async function readOnce(pds: SignedPds, wish: Omit<Wish, 'repos'> = {}) {
  const contents = Array.from({ length: REPOS }, () => ({ ...posts(4), ...posts(2, LIKE) }))
  const dids = await world.populate(pds, ...contents)
  const first = await run({ repos: dids, ...wish })
  expect(first).toMatchObject({ completedRepos: REPOS, totalRecords: 6 * REPOS })
  return { dids, first, requests: pds.arrivals.length }
}

for (const method of ['auto', 'list-records'] as const) {
  test(`where the host lists revs, a second job by ${method} takes a few requests`, async () => {
    const pds = await world.pds()
    const { dids, first, requests } = await readOnce(pds, { method })
    const second = await run({ repos: dids, method })
    expect(pds.arrivals.length - requests).toBeLessThanOrEqual(requests / 10)
    expect(second).toMatchObject({ completedRepos: REPOS, totalRecords: 6 * REPOS })
    expect(await methodsOf(second.id)).toEqual({ unchanged: REPOS })
    await expectRecords(bench, second.id, pds.recordsOf(...dids))
    expect(await collectRecords(bench.backfill, { job: second.id, limit: 1_000 })).toEqual(
      expect.arrayContaining(await collectRecords(bench.backfill, { job: first.id, limit: 1_000 })),
    )
    // Of the three that have moved one has a record less, and one is asked for something else.
    const [changed, less, other] = dids as [string, string, string]
    await pds.edit(changed, { [pathOf(1)]: { $type: POST, n: 'changed' } })
    await pds.edit(less, { [pathOf(1)]: null })
    await pds.edit(other, { 'network.example.other/x': { n: 1 } })
    const third = await run({ repos: dids, method })
    expect(third).toMatchObject({ completedRepos: REPOS, totalRecords: 6 * REPOS - 1 })
    expect((await methodsOf(third.id)).unchanged).toBe(REPOS - 3)
    const wanted = pds.recordsOf(...dids).filter(({ uri }) => !uri.includes('example.other'))
    await expectRecords(bench, third.id, wanted)
    expect((await storedOf(bench.api, less)).get(pathOf(1))).toMatchObject({ cid: null })
  })
}

test('where a job finds its repos by the host, so does a second one, which reads nothing again', async () => {
  const pds = await world.pds()
  await world.populate(pds, ...Array.from({ length: REPOS }, () => posts(4)))
  const wish = { hosts: [new URL(pds.url).host], collections: [POST], method: 'list-records' }
  expect(await run(wish)).toMatchObject({ completedRepos: REPOS, totalRecords: 4 * REPOS })
  const requests = pds.arrivals.length
  const second = await run(wish)
  expect(second).toMatchObject({ completedRepos: REPOS, totalRecords: 4 * REPOS })
  expect(await methodsOf(second.id)).toEqual({ unchanged: REPOS })
  expect(pds.arrivals.length - requests).toBeLessThanOrEqual(requests / 10)
})

test('where it does not, each repo takes one small request; also for less, for a part, and after a stop', async () => {
  const pds = await world.pds()
  pds.lacks.add('listRepos')
  const { dids } = await readOnce(pds, { level: 'signed' })
  const before = pds.arrivals.length
  const asked = () => pds.arrivals.slice(before).filter(({ method }) => method !== 'listRepos')
  const job = await start({ repos: dids, collections: ['network.example.like'], level: 'content' })
  const held = Promise.withResolvers<void>()
  const plan = pds.faults.plan({ kind: 'after', what: () => held.promise }, { did: dids[REPOS / 2]! }, 1)
  const stopped = await engine()
  await eventually(
    () => plan.fired,
    (fired) => fired === 1,
  )
  await stopped[Symbol.asyncDispose]()
  held.resolve()
  await using _engine = await engine()
  expect(await finished(bench.backfill, job)).toMatchObject({
    completedRepos: REPOS,
    totalRecords: 2 * REPOS,
  })
  expect(new Set(asked().map(({ method }) => method))).toEqual(new Set(['getLatestCommit']))
  // The default concurrency of a host is four: so many were under way when it was stopped.
  expect(asked().length).toBeLessThanOrEqual(REPOS + 4)
  for (const { did, receipt } of await collectRepos(bench.backfill, job, 100)) {
    expect(receipt).toMatchObject({
      method: 'unchanged',
      level: 'signed',
      rev: pds.revOf(did),
      dataCid: pds.dataOf(did),
      counts: [{ collection: LIKE, count: 2 }],
      totalRecords: 2,
    })
  }
  await expectRecords(
    bench,
    job,
    pds.recordsOf(...dids).filter(({ uri }) => uri.includes(LIKE)),
  )
  await expectCounters(bench.api)
})

test('where it does not answer when it is asked for them, that is not waited for', async () => {
  const pds = await world.pds()
  const { dids } = await readOnce(pds, { level: 'signed' })
  const held = Promise.withResolvers<void>()
  const plan = pds.faults.plan({ kind: 'after', what: () => held.promise }, { method: 'listRepos' })
  const started = performance.now()
  // One page's time, which is far less than any other request has; and not once more for the next job.
  for (const _ of [1, 2]) {
    expect(await run({ repos: dids }, { revsMs: 1_500 })).toMatchObject({ completedRepos: REPOS })
    expect(plan.fired).toBe(1)
  }
  expect(performance.now() - started).toBeLessThan(40_000)
  held.resolve()
})

test('of several receipts the one at the rev of now counts; a rev that was left does not come back', async () => {
  const pds = await world.pds()
  const [did] = (await world.populate(pds, { ...posts(3), ...posts(2, LIKE) })) as [string]
  await run({ repos: [did], collections: [POST], level: 'signed' })
  const left = pds.revOf(did)
  await pds.edit(did, { [pathOf(7)]: { $type: POST, n: 7 } })
  await run({ repos: [did], level: 'signed' })
  const before = pds.arrivals.length
  const narrow = await run({ repos: [did], collections: [POST] })
  expect((await repoOf(bench.backfill, narrow.id, did)).receipt).toMatchObject({
    method: 'unchanged',
    rev: pds.revOf(did),
    totalRecords: 4,
  })
  expect(pds.arrivals.length - before).toBe(1)
  // Its own receipt is of that rev, but records of a later one are stored.
  await run({ repos: [did], collections: [LIKE] })
  await bench.api.service.store.pool.query(
    `update receipt set rev = $1 where level = 'signed' and repo = (select id from repo where did = $2)
     and scope = (select scope from job where id = $3)`,
    [left, did, narrow.id],
  )
  await pds.edit(did, { [pathOf(7)]: null }, left)
  const back = await run({ repos: [did], collections: [POST] })
  expect(await outcomes(bench.backfill, back.id)).toEqual(new Map([[did, 'failed rev-regressed']]))
})
