import { afterAll, beforeAll, expect, test } from 'vitest'
import type { StandInPds } from '../support/network/stand-in-pds.js'
import { eventually } from '../support/wait.js'
import { type Bench, expectRecords, finished, LIKE, outcomes, POST, StandIns } from './support.js'

/** A repo is read again, of which records are stored; that reading is stopped, and goes on elsewhere. */

const LIST = 'com.atproto.repo.listRecords'
const LATEST = 'com.atproto.sync.getLatestCommit'
const RECORDS = 1_000
/** The last one is empty. */
const PAGES = RECORDS / 100 + 1
/** Asked for and not stored yet when a reading is stopped: the page held back until the next has come, and that. */
const PAGES_IN_HAND = 2

let standIns: StandIns
let pds: StandInPds
let bench: Bench

beforeAll(async () => {
  standIns = await StandIns.start()
  pds = await standIns.pds()
  bench = await standIns.bench()
})

afterAll(async () => {
  await bench?.[Symbol.asyncDispose]()
  await standIns?.[Symbol.asyncDispose]()
})

const rkeyOf = (index: number) => `r${String(index).padStart(6, '0')}`
const asked = (did: string) => pds.count({ method: LIST, did })
const fromItsStart = (did: string) =>
  pds.arrivals.filter((one) => one.method === LIST && one.did === did && one.cursor === null).length

const engineOn = ({ database }: Bench) => standIns.service({ database, api: false })

/** A repo that a job has read, and a second job that is to read it. */
async function readOnce(bench: Bench, collections = [POST]) {
  const [did] = standIns.populate(pds, 1, RECORDS) as [string]
  await using _engine = await engineOn(bench)
  const first = await bench.backfill.createJob({ collections, repos: [did], method: 'list-records' })
  expect(await finished(bench.backfill, first.data.id)).toMatchObject({ totalRecords: RECORDS })
  return did
}

const readAgain = async ({ backfill }: Bench, did: string, collections = [POST]) =>
  (await backfill.createJob({ collections, repos: [did], method: 'list-records' })).data.id

/** Lets an engine read until it waits for so many pages more, and stops it then. */
async function readPages(bench: Bench, did: string, pages: number): Promise<void> {
  const last = asked(did) + pages
  const held = Promise.withResolvers<void>()
  const what = () => held.promise
  const plan = pds.faults.plan(
    { kind: 'after', what },
    ({ method, did: of }) => method === LIST && of === did && asked(did) === last,
    1,
  )
  const engine = await engineOn(bench)
  await eventually(
    () => plan.fired,
    (fired) => fired === 1,
  )
  await engine[Symbol.asyncDispose]()
  held.resolve()
}

async function toTheEnd(bench: Bench, job: string) {
  await using _engine = await engineOn(bench)
  return await finished(bench.backfill, job)
}

/** The record keys of a repo that are known to be gone. */
async function gone({ api }: Bench, did: string): Promise<string[]> {
  const { rows } = await api.service.store.pool.query<{ rkey: string }>(
    `select rkey from record join repo on repo.id = record.repo
     where did = $1 and cid is null order by collection, rkey`,
    [did],
  )
  return rows.map(({ rkey }) => rkey)
}

async function keptKeys({ api }: Bench): Promise<number> {
  const { rows } = await api.service.store.pool.query<{ keys: number }>(
    'select coalesce(sum(cardinality(rkeys)), 0)::int as keys from reading_page',
  )
  return rows[0]!.keys
}

const recordsOf = (did: string) => [...pds.world.values()].filter(({ uri }) => uri.includes(did))

test('it goes on from its last page, wherever and however often it is stopped', async () => {
  const did = await readOnce(bench)
  // On the first page, in the middle, on the last one: what is listed first has the greatest key.
  const removed = [rkeyOf(3), rkeyOf(450), rkeyOf(451), rkeyOf(998)]
  const put = { [rkeyOf(1_005)]: { n: 'new' }, [rkeyOf(450.5)]: { n: 'new' }, [rkeyOf(100)]: { n: 'other' } }
  pds.edit(did, POST, { remove: removed, put })
  const job = await readAgain(bench, did)
  const before = { asked: asked(did), fromItsStart: fromItsStart(did) }
  const stops = [4, 1 + PAGES_IN_HAND, 1 + PAGES_IN_HAND]
  const kept: number[] = []
  for (const pages of stops) {
    await readPages(bench, did, pages)
    kept.push(await keptKeys(bench))
  }
  expect(kept).toEqual([200, 300, 400])
  expect(await gone(bench, did)).toEqual([])
  const total = RECORDS + 2 - removed.length
  expect(await toTheEnd(bench, job)).toMatchObject({ status: 'completed', totalRecords: total })
  expect(asked(did) - before.asked).toBe(PAGES + stops.length * PAGES_IN_HAND)
  expect(fromItsStart(did) - before.fromItsStart).toBe(1)
  await expectRecords(bench, job, recordsOf(did))
  expect(await gone(bench, did)).toEqual(removed)
  expect(await keptKeys(bench)).toBe(0)
})

test('it begins anew when the repo has changed meanwhile, and what it found before does not count', async () => {
  const did = await readOnce(bench)
  pds.edit(did, POST, { remove: [rkeyOf(10)] })
  const job = await readAgain(bench, did)
  await readPages(bench, did, 6)
  expect(await keptKeys(bench)).toBe(400)
  // One that it has found, and one that it has not come to.
  pds.edit(did, POST, { remove: [rkeyOf(20), rkeyOf(990)] })
  // Stopped once more in the reading that begins then.
  await readPages(bench, did, PAGES + 2)
  expect(await keptKeys(bench)).toBe(400)
  expect(await toTheEnd(bench, job)).toMatchObject({ status: 'completed', totalRecords: RECORDS - 3 })
  await expectRecords(bench, job, recordsOf(did))
  expect(await gone(bench, did)).toEqual([rkeyOf(10), rkeyOf(20), rkeyOf(990)])
  expect(await keptKeys(bench)).toBe(0)
})

test('it starts over where an older version began it, which kept its keys in memory', async () => {
  const did = await readOnce(bench)
  pds.edit(did, POST, { remove: [rkeyOf(500)] })
  const job = await readAgain(bench, did)
  const before = fromItsStart(did)
  await readPages(bench, did, 6)
  const { pool } = bench.api.service.store
  await pool.query(`update job_repo set progress = progress - 'reading' where progress is not null`)
  await pool.query('truncate reading_page')
  await toTheEnd(bench, job)
  expect(fromItsStart(did) - before).toBe(2)
  await expectRecords(bench, job, recordsOf(did))
  expect(await gone(bench, did)).toEqual([rkeyOf(500)])
})

test('what it found is kept when only an answer was missing, so that a retry goes on there', async () => {
  const did = await readOnce(bench)
  pds.edit(did, POST, { remove: [rkeyOf(500)] })
  const job = await readAgain(bench, did)
  const before = { asked: asked(did), fromItsStart: fromItsStart(did) }
  await readPages(bench, did, 6)
  const broken = pds.faults.plan({ kind: 'answer', status: 502 }, { did, method: LIST }, 3)
  expect(await toTheEnd(bench, job)).toMatchObject({ status: 'completed', failedRepos: 1 })
  expect(broken.fired).toBe(3)
  expect(await keptKeys(bench)).toBe(400)
  await bench.backfill.retryJob({ job })
  expect(await toTheEnd(bench, job)).toMatchObject({ status: 'completed', failedRepos: 0 })
  expect(asked(did) - before.asked).toBe(PAGES + PAGES_IN_HAND + broken.fired)
  expect(fromItsStart(did) - before.fromItsStart).toBe(1)
  await expectRecords(bench, job, recordsOf(did))
  expect(await gone(bench, did)).toEqual([rkeyOf(500)])
  expect(await keptKeys(bench)).toBe(0)
})

test('it begins anew where the repo never held still, which going on would only find again', async () => {
  const did = await readOnce(bench)
  const job = await readAgain(bench, did)
  const before = fromItsStart(did)
  let edits = 0
  const what = () => {
    edits += 1
    pds.edit(did, POST, { put: { [rkeyOf(0)]: { edits } } })
  }
  // Four readings are one try. Each asks for the rev before and after; and before all there is a look for changes.
  const restless = pds.faults.plan({ kind: 'after', what }, { did, method: LATEST }, 9)
  expect(await toTheEnd(bench, job)).toMatchObject({ status: 'completed', completedRepos: 1 })
  expect(restless.fired).toBe(9)
  expect(fromItsStart(did) - before).toBe(5)
  await expectRecords(bench, job, recordsOf(did))
  expect(await keptKeys(bench)).toBe(0)
})

test('it removes nothing, and leaves nothing behind, when the account is gone before its end', async () => {
  const did = await readOnce(bench)
  pds.edit(did, POST, { remove: [rkeyOf(500)] })
  const job = await readAgain(bench, did)
  await readPages(bench, did, 6)
  pds.forget(did)
  await toTheEnd(bench, job)
  expect(await outcomes(bench.backfill, job)).toEqual(new Map([[did, 'failed repo-not-found']]))
  expect(await gone(bench, did)).toEqual([])
  expect(await keptKeys(bench)).toBe(0)
})

test('it removes a collection of which nothing is left', async () => {
  const scope = ['network.example.*']
  const did = await readOnce(bench, scope)
  pds.edit(did, LIKE, { put: { a: { n: 1 }, b: { n: 2 } } })
  await toTheEnd(bench, await readAgain(bench, did, scope))
  pds.edit(did, LIKE, { remove: ['a', 'b'] })
  // A job for another collection has no word on these.
  await toTheEnd(bench, await readAgain(bench, did))
  expect(await gone(bench, did)).toEqual([])
  const job = await readAgain(bench, did, scope)
  expect(await toTheEnd(bench, job)).toMatchObject({ totalRecords: RECORDS })
  await expectRecords(bench, job, recordsOf(did))
  expect(await gone(bench, did)).toEqual(['a', 'b'])
})
