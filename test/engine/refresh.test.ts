import { afterAll, beforeAll, expect, test } from 'vitest'
import { DeliveryReader } from '../../src/store/delivery.js'
import { linesIn, openRecords, requestExport, typeOf } from '../api/delivery-support.js'
import { collectRecords, repoOf } from '../support/jobs.js'
import type { SignedPds } from '../support/network/signed-pds.js'
import type { TestService } from '../support/service.js'
import { eventually } from '../support/wait.js'
import { type Bench, expectCounters, expectRecords, finished, LIKE, outcomes, POST } from './support.js'
import { pathOf, posts, SignedWorld, storedOf } from './verified-support.js'

/** A job once more: what has changed meanwhile, and what has become of accounts. */

let world: SignedWorld
let bench: Bench
let engine: TestService
let pds: SignedPds

beforeAll(async () => {
  world = await SignedWorld.start()
  bench = await world.standIns.bench()
  engine = await world.standIns.service({
    database: bench.database,
    api: false,
    overrides: { houseEveryMs: 200 },
  })
  pds = await world.pds()
})

afterAll(async () => {
  await engine?.[Symbol.asyncDispose]()
  await bench?.[Symbol.asyncDispose]()
  await world?.[Symbol.asyncDispose]()
})

async function run(start: () => Promise<{ data: { id: string } }>) {
  return await finished(bench.backfill, (await start()).data.id)
}

const create = (wish: Parameters<typeof bench.backfill.createJob>[0]) => () => bench.backfill.createJob(wish)
const refresh = (job: string) => () => bench.backfill.refreshJob({ job })

test('what has not changed is not fetched again, and what has is', async () => {
  const dids = await world.populate(pds, ...Array.from({ length: 6 }, () => posts(4)))
  const first = await run(create({ repos: dids, collections: [POST], method: 'get-repo' }))
  const [changed, less] = dids as [string, string]
  await pds.edit(changed, { [pathOf(1)]: { $type: POST, n: 'changed' } })
  await pds.edit(less, { [pathOf(1)]: null })
  const before = pds.count('getRepo')
  const second = await run(refresh(first.id))
  expect(pds.count('getRepo') - before).toBe(2)
  expect(second).toMatchObject({ refreshes: first.id, completedRepos: 6, totalRecords: 23 })
  expect((await repoOf(bench.backfill, second.id, dids[2]!)).receipt?.method).toBe('unchanged')
  await expectRecords(bench, second.id, pds.recordsOf(...dids))
})

test('a repo that no relay lists any more is looked at all the same', async () => {
  const dids = await world.populate(pds, posts(2, LIKE), posts(2, LIKE))
  const { relay } = world.standIns
  for (const did of dids) relay.add(did, [LIKE])
  const first = await run(create({ collections: [LIKE], method: 'get-repo' }))
  expect(first).toMatchObject({ completedRepos: 2 })
  const [emptied, joined] = [dids[0]!, (await world.populate(pds, posts(1, LIKE)))[0]!]
  relay.remove(emptied)
  relay.add(joined, [LIKE])
  await pds.edit(emptied, { [pathOf(0, LIKE)]: null, [pathOf(1, LIKE)]: null })
  const second = await run(refresh(first.id))
  expect(second).toMatchObject({ status: 'completed', totalRepos: 3, totalRecords: 3 })
  expect(await outcomes(bench.backfill, second.id)).toEqual(
    new Map([...dids, joined].map((did) => [did, 'completed'])),
  )
  await expectRecords(bench, second.id, pds.recordsOf(dids[1]!, joined))
  await expectCounters(bench.api)
})

/** What a job hands over of an account to somebody who has had all up to a number. */
async function handedOver(job: string, after: number) {
  const { db } = bench.api.service.store
  const { key, scope } = await db
    .selectFrom('job')
    .selectAll()
    .where('id', '=', job)
    .executeTakeFirstOrThrow()
  const query = { job: key, scope, collection: null, did: null, through: null, changes: false }
  const { repos, through } = await new DeliveryReader(db, query, after).page()
  const told = repos.map(({ did, outcome }) => {
    return [did, outcome.status === 'unavailable' ? outcome.reason : outcome.status]
  })
  return { told, through }
}

test('what a later job learns of an account is told by the earlier one, and deleted records go', async () => {
  const dids = await world.populate(pds, posts(3), posts(3))
  const [gone, stays] = dids as [string, string]
  const first = await run(create({ repos: dids, collections: [POST], method: 'get-repo' }))
  const { through } = await handedOver(first.id, 0)
  expect((await handedOver(first.id, through)).told).toEqual([])

  const answer = {
    kind: 'answer',
    status: 400,
    body: { error: 'RepoTakendown', message: 'taken down' },
  } as const
  const takedown = pds.faults.plan(answer, { did: gone })
  const told = async (job: string, after: number) =>
    eventually(
      () => handedOver(job, after),
      (found) => found.told.length > 0,
    )
  const second = await finished(bench.backfill, (await refresh(first.id)()).data.id)
  expect(second).toMatchObject({ completedRepos: 1, unavailableRepos: 1 })
  const afterTakedown = await told(first.id, through)
  expect(afterTakedown.told).toEqual([[gone, 'takendown']])
  expect(
    (await collectRecords(bench.backfill, { job: first.id })).map(({ uri }) => uri.split('/')[2]),
  ).toEqual(Array.from({ length: 3 }, () => stays))
  takedown.cancel()

  await finished(bench.backfill, (await refresh(first.id)()).data.id)
  const back = await told(first.id, afterTakedown.through)
  expect(back.told).toEqual([[gone, 'completed']])
  await expectRecords(bench, first.id, pds.recordsOf(...dids))

  const deleted = {
    kind: 'answer',
    status: 200,
    body: { did: gone, active: false, status: 'deleted' },
  } as const
  const missing = {
    kind: 'answer',
    status: 400,
    body: { error: 'RepoNotFound', message: 'not here' },
  } as const
  pds.faults.plan(deleted, { did: gone, method: 'getRepoStatus' })
  pds.faults.plan(missing, { did: gone })
  const last = await finished(bench.backfill, (await refresh(first.id)()).data.id)
  expect(last).toMatchObject({ unavailableRepos: 1 })
  expect((await told(first.id, back.through)).told).toEqual([[gone, 'deleted']])
  await eventually(
    () => storedOf(bench.api, gone),
    (stored) => stored.size === 0,
  )
  expect((await storedOf(bench.api, stays)).size).toBe(3)
  await expectCounters(bench.api)
})

/** What somebody gets who asks for the changes of a job only, repo by repo. */
async function changesOf(job: string) {
  const { caller } = world.standIns
  const response = await requestExport(bench.api, caller, { job, changes: 'true' })
  expect(response.status).toBe(200)
  const lines = linesIn(await response.text())
  const rkeyOf = (uri: unknown) => String(uri).split('/').at(-1)
  const found = new Map<string, { records: string[]; deleted: string[]; since?: unknown }>()
  let records: string[] = []
  let deleted: string[] = []
  for (const line of lines) {
    if (typeOf(line) === 'record') records.push(rkeyOf(line.uri)!)
    if (typeOf(line) === 'recordDeleted') deleted.push(rkeyOf(line.uri)!)
    if (typeOf(line) !== 'repoComplete') continue
    const { did } = line.receipt as { did: string }
    found.set(did, { records, deleted, ...(line.since !== undefined && { since: line.since }) })
    ;[records, deleted] = [[], []]
  }
  return found
}

test('changes: creates, updates and deletes since then, whoever has read them meanwhile', async () => {
  const dids = await world.populate(pds, posts(4), posts(4), posts(4), posts(2))
  const [still, changed, emptied, between] = dids as [string, string, string, string]
  const wish = { repos: dids, collections: ['network.example.*'], method: 'get-repo' }
  const first = await run(create(wish))
  const [sinceStill, sinceChanged] = [pds.revOf(still), pds.revOf(changed)]
  const sinceBetween = pds.revOf(between)
  await pds.edit(changed, {
    [pathOf(1)]: { $type: POST, n: 'changed' },
    [pathOf(2)]: null,
    [pathOf(9)]: { $type: POST, n: 'new' },
    [pathOf(0, LIKE)]: { $type: LIKE, n: 0 },
  })
  await pds.edit(emptied, Object.fromEntries(Object.keys(posts(4)).map((path) => [path, null])))
  await pds.edit(between, { [pathOf(5)]: { $type: POST, n: 5 } })
  // Another job is the first to see it: for the refreshed one it is new all the same.
  await run(create({ ...wish, repos: [between] }))
  const second = await run(refresh(first.id))
  expect((await repoOf(bench.backfill, second.id, between)).receipt?.method).toBe('unchanged')
  const found = await changesOf(second.id)
  expect(found.get(still)).toEqual({ records: [], deleted: [], since: sinceStill })
  expect(found.get(changed)).toEqual({
    records: ['r000000', 'r000001', 'r000009'],
    deleted: ['r000002'],
    since: sinceChanged,
  })
  expect(found.get(emptied)).toMatchObject({
    records: [],
    deleted: ['r000000', 'r000001', 'r000002', 'r000003'],
  })
  expect(found.get(between)).toEqual({ records: ['r000005'], deleted: [], since: sinceBetween })
  // Without asking, all there is.
  await expectRecords(bench, second.id, pds.recordsOf(...dids))
  const { status } = await requestExport(bench.api, world.standIns.caller, { job: first.id, changes: 'true' })
  expect(status).toBe(400)
})

test('changes: where nobody knows what there was, a repo comes whole', async () => {
  const [did] = (await world.populate(pds, posts(3))) as [string]
  const first = await run(create({ repos: [did], collections: [POST], method: 'list-records' }))
  expect((await repoOf(bench.backfill, first.id, did)).receipt?.rev).toBeUndefined()
  await pds.edit(did, { [pathOf(1)]: null })
  const second = await run(refresh(first.id))
  expect((await changesOf(second.id)).get(did)).toEqual({ records: ['r000000', 'r000002'], deleted: [] })
})

test('changes: who was told that an account is gone gets all of it when it is back', async () => {
  const [did] = (await world.populate(pds, posts(3))) as [string]
  const first = await run(create({ repos: [did], collections: [POST], method: 'get-repo' }))
  const body = { error: 'RepoTakendown', message: 'taken down' }
  const takedown = pds.faults.plan({ kind: 'answer', status: 400, body }, { did })
  expect(await run(refresh(first.id))).toMatchObject({ unavailableRepos: 1 })
  takedown.cancel()
  const again = await run(refresh(first.id))
  const all = { records: ['r000000', 'r000001', 'r000002'], deleted: [] }
  expect((await changesOf(again.id)).get(did)).toEqual(all)
})

test('changes: what a listing has read while the repo moved on is among them', async () => {
  const [did] = (await world.populate(pds, posts(250))) as [string]
  const first = await run(create({ repos: [did], collections: [POST], method: 'list-records' }))
  const before = pds.revOf(did)
  let pages = 0
  const moves = pds.faults.plan(
    {
      kind: 'after',
      what: async () => {
        pages += 1
        if (pages === 2) await pds.edit(did, { [pathOf(100)]: { $type: POST, n: 'changed' } })
      },
    },
    { did, method: 'listRecords' },
  )
  // A wider job has read it since.
  await run(create({ repos: [did], collections: ['network.example.*'], method: 'list-records' }))
  moves.cancel()
  const { since, records = [] } = (await changesOf((await run(refresh(first.id))).id)).get(did) ?? {}
  expect(since).toBe(before)
  expect(records).toContain('r000100')
})

test('changes: where another listing was given up, a repo comes whole', async () => {
  const [did] = (await world.populate(pds, posts(3))) as [string]
  const wish = { repos: [did], collections: [POST, LIKE], method: 'list-records' }
  const first = await run(create(wish))
  const other = await run(
    create({ repos: [did], collections: ['network.example.*'], method: 'list-records' }),
  )
  const { pool } = bench.api.service.store
  await pool.query(
    `update job_repo r set status = 'failed', failure = 'timeout' from job where job.key = r.job and job.id = $1`,
    [other.id],
  )
  await pds.edit(did, { [pathOf(1)]: { $type: POST, n: 'changed' } })
  const second = await run(refresh(first.id))
  expect((await changesOf(second.id)).get(did)?.records).toEqual(['r000000', 'r000001', 'r000002'])
})

test('changes come over a stream, too, deletes in messages of their own', async () => {
  const [did] = (await world.populate(pds, posts(3))) as [string]
  const first = await run(create({ repos: [did], collections: [POST], method: 'get-repo' }))
  const since = pds.revOf(did)
  await pds.edit(did, { [pathOf(1)]: null, [pathOf(7)]: { $type: POST, n: 7 } })
  const second = await run(refresh(first.id))
  await using stream = await openRecords(bench.api, world.standIns.caller, {
    job: second.id,
    changes: 'true',
  })
  await stream.until('#jobCompleted')
  const uri = `at://${did}/${pathOf(1)}`
  expect(stream.messages).toMatchObject([
    { type: '#records', part: 0, records: [{ uri: `at://${did}/${pathOf(7)}` }] },
    { type: '#recordsDeleted', part: 1, did, records: [{ uri, rev: pds.revOf(did) }] },
    { type: '#repoComplete', since, receipt: { did } },
    { type: '#jobCompleted' },
  ])
})
