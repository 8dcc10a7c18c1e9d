import { afterAll, beforeAll, expect, test } from 'vitest'
import { collectRecords, repoOf } from '../support/jobs.js'
import type { SignedPds } from '../support/network/signed-pds.js'
import { cidOf, textOf } from '../support/repo/block.js'
import { head, map, text } from '../support/repo/cbor.js'
import { k256 } from '../support/repo/commit.js'
import { eventually } from '../support/wait.js'
import { type Bench, expectRecords, finished, outcomes, POST } from './support.js'
import { pathOf, posts, SignedWorld, storedOf } from './verified-support.js'

/** Hosts, accounts and records that are not as one would wish, read with proof. */

const CONCURRENCY = 2

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

/** A whole job by an engine of its own, whose drivers know what is in the database and nothing else. */
async function run(wish: { repos: string[]; method?: string; level?: string; collections?: string[] }) {
  const environment = { HOST_CONCURRENCY: String(CONCURRENCY) }
  await using _engine = await world.standIns.service({ database: bench.database, api: false, environment })
  const { data } = await bench.backfill.createJob({ collections: [POST], ...wish })
  return await finished(bench.backfill, data.id)
}

/** As if what is known had been found, and jobs created, so many hours before. */
async function age(hours: number, ...dids: string[]) {
  const { pool } = bench.api.service.store
  const ago = `${hours} hours`
  await pool.query('update identity set updated_at = updated_at - $1::interval where did = any($2)', [
    ago,
    dids,
  ])
  await pool.query(
    `update job set created_at = created_at - $1::interval
     where key in (select job from job_repo where did = any($2))`,
    [ago, dids],
  )
}

/** An account of which a PDS has two posts, and that lives on another one by now, with another key and four. */
async function movedAccount(meanwhile: (did: string, pds: SignedPds) => Promise<unknown>) {
  const [old, home] = [await world.pds(), await world.pds()]
  const [did] = (await world.populate(old, posts(2))) as [string]
  await meanwhile(did, old)
  await home.host(did, posts(4))
  await home.edit(did, { [pathOf(1)]: { $type: POST, n: 'at home' } })
  await home.rotate(did, 'a key of the new host')
  world.standIns.directory.publish(did, home.document(did))
  // The old host still has its key, and goes on with it.
  await old.edit(did, { [pathOf(8)]: { $type: POST, n: 'forged' } })
  return { did, old, home }
}

const askedFor = (did: string) =>
  world.standIns.directory.arrivals.filter((arrival) => arrival.did === did).length

const methodFor = async (job: string, did: string) => (await repoOf(bench.backfill, job, did)).receipt?.method

test('what a host does not offer it is asked for once, and not again by the next driver', async () => {
  const pds = await world.pds()
  for (const method of ['getRepo', 'getRecord', 'getBlocks']) pds.lacks.add(method)
  const dids = await world.populate(pds, ...Array.from({ length: 8 }, () => posts(3)))
  const first = await run({ repos: dids.slice(0, 6) })
  expect(first).toMatchObject({ completedRepos: 6, totalRecords: 18 })
  await expectRecords(bench, first.id, pds.recordsOf(...dids.slice(0, 6)))
  expect(await methodFor(first.id, dids[0]!)).toBe('list-records')
  const asked = () => ['getRepo', 'getRecord', 'getBlocks'].map((method) => pds.count(method))
  // By as many repos as are begun before the first answer is there.
  for (const count of asked()) expect(count).toBeLessThanOrEqual(CONCURRENCY)
  const before = asked()
  const second = await run({ repos: dids.slice(6, 7) })
  expect(second).toMatchObject({ completedRepos: 1 })
  const third = await run({ repos: [dids[0]!, dids[7]!], level: 'signed' })
  expect(await outcomes(bench.backfill, third.id)).toEqual(
    new Map([dids[0]!, dids[7]!].map((did) => [did, 'failed unverifiable'])),
  )
  expect(asked()).toEqual(before)
  await expectRecords(bench, first.id, pds.recordsOf(...dids.slice(0, 6)))
})

test('a key that has changed since it was looked up is looked up again, once', async () => {
  const pds = await world.pds()
  const { directory } = world.standIns
  const [changed, wrong] = (await world.populate(pds, posts(3), posts(3))) as [string, string]
  const askedOf = (did: string) => directory.arrivals.filter((one) => one.did === did).length
  await run({ repos: [changed, wrong] })
  expect([askedOf(changed), askedOf(wrong)]).toEqual([1, 1])
  for (const did of [changed, wrong]) await pds.rotate(did, `another of ${did}`)
  await pds.edit(changed, { [pathOf(9)]: { n: 9 } })
  await pds.edit(wrong, { [pathOf(9)]: { n: 9 } })
  directory.publish(changed, pds.document(changed))
  directory.publish(wrong, pds.document(wrong, await k256('of nobody')))
  for (const method of ['sparse', 'get-repo']) {
    const before = [askedOf(changed), askedOf(wrong)]
    const job = await run({ repos: [changed, wrong], method })
    const expected = method === 'sparse' ? [1, 1] : [0, 1]
    expect([askedOf(changed), askedOf(wrong)]).toEqual(before.map((count, at) => count + expected[at]!))
    expect(await outcomes(bench.backfill, job.id)).toEqual(
      new Map([
        [changed, 'completed'],
        [wrong, 'failed bad-signature'],
      ]),
    )
    await expectRecords(bench, job.id, pds.recordsOf(changed))
  }
  expect((await storedOf(bench.api, wrong)).has(pathOf(9))).toBe(false)
})

test('an account that has moved, and whose old host goes on with what it had, is read where it lives', async () => {
  const [old, home] = [await world.pds(), await world.pds()]
  const [did] = (await world.populate(old, posts(2))) as [string]
  await run({ repos: [did] })
  await old.rotate(did, 'a key of the old host')
  await home.host(did, posts(4))
  await home.edit(did, { [pathOf(1)]: { $type: POST, n: 'at home' } })
  world.standIns.directory.publish(did, home.document(did))
  const job = await run({ repos: [did], level: 'signed' })
  expect(job).toMatchObject({ completedRepos: 1, totalRecords: 4 })
  expect((await repoOf(bench.backfill, job.id, did)).receipt).toMatchObject({
    pdsEndpoint: home.url,
    rev: home.revOf(did),
  })
  await expectRecords(bench, job.id, home.recordsOf(did))
})

test.each(['get-repo', 'sparse', 'auto'])(
  'what the old host of an account signs with the key that it had is not taken for proven by %s',
  async (method) => {
    const { did, old, home } = await movedAccount((account) => run({ repos: [account], method }))
    await age(2, did)
    const before = askedFor(did)
    const job = await run({ repos: [did], method, level: 'signed' })
    expect(job).toMatchObject({ completedRepos: 1, totalRecords: 4 })
    expect((await repoOf(bench.backfill, job.id, did)).receipt).toMatchObject({
      pdsEndpoint: home.url,
      rev: home.revOf(did),
      level: 'signed',
    })
    await expectRecords(bench, job.id, home.recordsOf(did))
    expect((await storedOf(bench.api, did)).has(pathOf(8))).toBe(false)
    expect(askedFor(did)).toBe(before + 1)
    // Within the hour nobody is asked again.
    await home.edit(did, { [pathOf(1)]: { $type: POST, n: 'once more' } })
    const next = await run({ repos: [did], method, level: 'signed' })
    await expectRecords(bench, next.id, home.recordsOf(did))
    expect(askedFor(did)).toBe(before + 1)
    expect(old.count('getRepo') + old.count('getRecord')).toBeGreaterThan(0)
  },
)

test('for a repo that has not changed nobody is looked up, hours later', async () => {
  const pds = await world.pds()
  const [did] = (await world.populate(pds, posts(3))) as [string]
  await run({ repos: [did], level: 'signed' })
  await age(5, did)
  const before = askedFor(did)
  const job = await run({ repos: [did], level: 'signed' })
  expect(await methodFor(job.id, did)).toBe('unchanged')
  expect(askedFor(did)).toBe(before)
})

test('a repo that is taken up days after its host was found is looked up again', async () => {
  const wish = { method: 'list-records', collections: [POST] }
  const held = Promise.withResolvers<void>()
  let job = ''
  const { did, home } = await movedAccount(async (account, pds) => {
    const plan = pds.faults.plan({ kind: 'after', what: () => held.promise }, { did: account }, 1)
    job = (await bench.backfill.createJob({ ...wish, repos: [account] })).data.id
    // It is stopped while the first answer is awaited.
    await using _engine = await world.standIns.service({ database: bench.database, api: false })
    await eventually(
      () => plan.fired,
      (fired) => fired === 1,
    )
  })
  held.resolve()
  expect(await repoOf(bench.backfill, job, did)).toMatchObject({ status: 'resolved' })
  await age(72, did)
  await using _engine = await world.standIns.service({ database: bench.database, api: false })
  expect(await finished(bench.backfill, job)).toMatchObject({ completedRepos: 1, totalRecords: 4 })
  expect((await repoOf(bench.backfill, job, did)).receipt).toMatchObject({ pdsEndpoint: home.url })
  await expectRecords(bench, job, home.recordsOf(did))
})

test('a record whose bytes are no data is delivered without a value, counted and named', async () => {
  const float = map([['n', Uint8Array.of(0xfb, 0x3f, 0xf8, 0, 0, 0, 0, 0, 0)]])
  const broken = map([['t', Buffer.concat([head(3, 2), Uint8Array.of(0xc3, 0x28)])]])
  const bad = {
    [pathOf(0.5)]: float,
    [pathOf(7)]: broken,
    'network.example.other/x': map([['t', text('x')]]),
  }
  const pds = await world.pds()
  const dids = await world.populate(pds, ...Array.from({ length: 3 }, () => ({ ...posts(3), ...bad })))
  for (const [index, method] of ['auto', 'get-repo', 'sparse'].entries()) {
    const did = dids[index]!
    const job = await run({ repos: [did], method, level: 'signed' })
    expect(job).toMatchObject({ completedRepos: 1, totalRecords: 5 })
    const unreadable = [
      { uri: `at://${did}/${pathOf(0.5)}`, cid: textOf(cidOf(float)) },
      { uri: `at://${did}/${pathOf(7)}`, cid: textOf(cidOf(broken)) },
    ]
    const { receipt } = await repoOf(bench.backfill, job.id, did)
    expect(receipt).toMatchObject({ totalRecords: 5, unreadableCount: 2, unreadable })
    const records = await collectRecords(bench.backfill, { job: job.id })
    const given = records.map(({ uri, cid, value }) => ({ uri, cid, ...(value && { value }) }))
    const expected = [...pds.recordsOf(did).filter(({ uri }) => uri.includes(POST)), ...unreadable]
    expect(given).toEqual(expected.sort((one, other) => (one.uri < other.uri ? -1 : 1)))
    // A second job takes over what the receipt says of it.
    const again = await run({ repos: [did], method })
    const unchanged = (await repoOf(bench.backfill, again.id, did)).receipt
    expect(unchanged).toMatchObject({ method: 'unchanged', totalRecords: 5, unreadableCount: 2, unreadable })
  }
})

test('a value that does not have its CID: the bytes decide, where they may', async () => {
  const pds = await world.pds()
  // So that a listing is the first choice.
  pds.lacks.add('getRecord')
  const spoil = pds.faults.plan(
    {
      kind: 'change',
      change: (page) => {
        for (const record of page.records) record.value = { ...record.value, n: -1 }
        return page
      },
    },
    { method: 'listRecords' },
  )
  const [auto, explicit, none] = (await world.populate(pds, posts(3), posts(3), posts(3))) as [
    string,
    string,
    string,
  ]
  // Not known yet to lack what it lacks: the first repo finds out.
  const learning = await run({ repos: [auto], level: 'content' })
  expect(learning).toMatchObject({ completedRepos: 1 })
  const listed = await run({ repos: [explicit], method: 'list-records' })
  expect(await outcomes(bench.backfill, listed.id)).toEqual(new Map([[explicit, 'failed cid-mismatch']]))
  expect(await collectRecords(bench.backfill, { job: listed.id })).toEqual([])
  const fired = spoil.fired
  const job = await run({ repos: [explicit] })
  expect(spoil.fired).toBeGreaterThan(fired)
  expect((await repoOf(bench.backfill, job.id, explicit)).receipt).toMatchObject({
    method: 'get-repo',
    level: 'signed',
    rev: pds.revOf(explicit),
    dataCid: pds.dataOf(explicit),
  })
  await expectRecords(bench, job.id, pds.recordsOf(explicit))
  const taken = await run({ repos: [none], method: 'list-records', level: 'none' })
  expect((await repoOf(bench.backfill, taken.id, none)).receipt).toMatchObject({ level: 'none' })
})

test('a repo that never holds still for a sparse reading is read whole', async () => {
  const pds = await world.pds()
  const [did] = (await world.populate(pds, { ...posts(300), ...posts(300, 'network.example.zzz') })) as [
    string,
  ]
  let edits = 0
  const what = () => {
    edits += 1
    return pds.edit(did, { [pathOf(edits % 300)]: { $type: POST, edits } })
  }
  const restless = pds.faults.plan({ kind: 'after', what }, { did, method: 'getBlocks' })
  const job = await run({ repos: [did], method: 'sparse' })
  expect(job).toMatchObject({ completedRepos: 1, totalRecords: 300 })
  expect(restless.fired).toBe(4)
  expect(pds.count('getRepo', did)).toBe(1)
  expect((await repoOf(bench.backfill, job.id, did)).receipt).toMatchObject({
    method: 'get-repo',
    level: 'signed',
    rev: pds.revOf(did),
  })
  await expectRecords(
    bench,
    job.id,
    pds.recordsOf(did).filter(({ uri }) => uri.includes(POST)),
  )
})
