import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from 'vitest'
import { GOOD } from '../../src/engine/standing.js'
import type { Db } from '../../src/store/database.js'
import { claimHost, deferHost, type HostClaim, hostIds, saveHost } from '../../src/store/hosts.js'
import { StepBatch } from '../../src/store/steps.js'
import { createStore } from '../support/database.js'
import {
  addJob,
  assertCountersEqualRows,
  completion,
  didOf,
  didsOf,
  drive,
  empty,
  inTransaction,
  posts,
  resolution,
  step,
  storedRecords,
  type TestJob,
  waitingBackends,
  writeSteps,
} from '../support/fixtures.js'

let store: Awaited<ReturnType<typeof createStore>>
let job: TestJob
let host: HostClaim

beforeAll(async () => {
  store = await createStore()
})

afterAll(() => store[Symbol.asyncDispose]())

beforeEach(async () => {
  job = await addJob(store, { repos: didsOf(4) })
  host = await drive(store.db)
})

afterEach(async () => {
  await assertCountersEqualRows(store)
  await empty(store)
})

async function statuses(): Promise<string[]> {
  const { rows } = await store.pool.query<{ status: string }>('select status from job_repo order by job, did')
  return rows.map(({ status }) => status)
}

async function epochs(): Promise<number[]> {
  const { rows } = await store.pool.query<{ epoch: number }>('select epoch from host order by id')
  return rows.map(({ epoch }) => epoch)
}

test('a driver that lost its host writes nothing; the others in its batch do', async () => {
  const second = await drive(store.db, 'https://second.example')
  const successor = await drive(store.db)
  expect(successor).toMatchObject({ host: host.host, epoch: host.epoch + 1 })
  const applied = await writeSteps(
    store,
    completion(job, didOf(0), host, posts(job, 'a')),
    completion(job, didOf(1), second, posts(job, 'b')),
    step(job, didOf(2), host, { status: 'failed', failure: 'timeout' }),
    completion(job, didOf(3), successor, posts(job, 'c')),
  )
  expect(applied).toEqual([false, true, false, true])
  expect(await statuses()).toEqual(['waiting', 'completed', 'waiting', 'completed'])
  expect((await storedRecords(store)).map(({ uri }) => uri.split('/').at(-1))).toEqual(['b', 'c'])
  expect((await store.pool.query('select repo from receipt')).rows).toHaveLength(2)
})

test('an epoch that nobody has given out yet is as good as none', async () => {
  const early = { ...host, epoch: host.epoch + 1 }
  expect(await writeSteps(store, completion(job, didOf(0), early, posts(job, 'a')))).toEqual([false])
  const nowhere = { host: 999, epoch: 1 }
  expect(await writeSteps(store, completion(job, didOf(0), nowhere, posts(job, 'a')))).toEqual([false])
  expect(await storedRecords(store)).toEqual([])
})

test('whoever claims a host waits for the batch under way, and then finds it written', async () => {
  const { claimed } = await inTransaction(store, 'commit', async (client) => {
    const batch = new StepBatch()
    batch.add(completion(job, didOf(0), host, posts(job, 'a')))
    expect(await batch.write(client)).toEqual([true])
    const claimed = claimHost(store.db, host.host).then(async (claim) => [claim, await statuses()] as const)
    await waitingBackends(store)
    expect(await epochs()).toEqual([host.epoch])
    return { claimed }
  })
  const [claim, found] = await claimed
  expect(claim!.epoch).toBe(host.epoch + 1)
  expect(found[0]).toBe('completed')
  expect(await writeSteps(store, completion(job, didOf(1), host, posts(job, 'b')))).toEqual([false])
})

test.each(['commit', 'rollback'] as const)(
  'a batch waits for the claim under way: %s decides which of the two takes effect',
  async (end) => {
    const { written } = await inTransaction(store, end, async (claimer) => {
      await claimer.query('update host set epoch = epoch + 1 where id = $1', [host.host])
      const written = writeSteps(store, completion(job, didOf(0), host, posts(job, 'a')))
      await waitingBackends(store)
      return { written }
    })
    expect(await written).toEqual([end === 'rollback'])
    expect((await statuses())[0]).toBe(end === 'rollback' ? 'completed' : 'waiting')
    expect(await storedRecords(store)).toHaveLength(end === 'rollback' ? 1 : 0)
  },
)

test('a claim and a batch at the same moment never both take effect', async () => {
  const rounds = 120
  const dids = didsOf(rounds, 100)
  const many = await addJob(store, { repos: dids })
  let driver = host
  let applied = 0
  for (const did of dids) {
    const found = claimHost(store.db, host.host).then(async (claim) => ({
      claim: claim!,
      ended: await isEnded(store.db, many.key, did),
    }))
    const [wrote] = await writeSteps(store, completion(many, did, driver, posts(many, 'a')))
    const { claim, ended } = await found
    // The new driver looks once, right after its claim: what it found then is what stays.
    expect(ended).toBe(wrote)
    expect(await isEnded(store.db, many.key, did)).toBe(wrote)
    if (wrote) applied += 1
    driver = claim
  }
  expect(await storedRecords(store)).toHaveLength(applied)
})

async function isEnded(db: Db, key: number, did: string): Promise<boolean> {
  const row = await db
    .selectFrom('job_repo')
    .select('status')
    .where('job', '=', key)
    .where('did', '=', did)
    .executeTakeFirstOrThrow()
  return row.status === 'completed'
}

test('a host is claimed by one at a time, each time under a new epoch', async () => {
  const claims = await Promise.all(Array.from({ length: 8 }, () => claimHost(store.db, host.host)))
  const given = claims.map((claim) => claim!.epoch).sort((a, b) => a - b)
  expect(given).toEqual(Array.from({ length: 8 }, (_, index) => host.epoch + 1 + index))
  expect(await claimHost(store.db, 999)).toBeNull()
})

test('a cooldown outlives its driver, only grows, and is not set by one that lost the host', async () => {
  expect(host.nextRequestAt.getTime()).toBeLessThanOrEqual(0)
  const later = new Date('2031-01-01T00:00:00.123Z')
  await deferHost(store.db, host, later)
  await deferHost(store.db, host, new Date('2030-01-01'))
  const successor = (await claimHost(store.db, host.host))!
  expect(successor.nextRequestAt).toEqual(later)
  await deferHost(store.db, host, new Date('2032-01-01'))
  expect((await claimHost(store.db, host.host))!.nextRequestAt).toEqual(later)
})

test('a host gets one number, however many ask for it at once', async () => {
  const origins = Array.from({ length: 40 }, (_, index) => `https://host${index}.example`)
  const found = await Promise.all(
    [origins, [...origins].reverse(), origins.slice(10), origins.slice(0, 30)].map((some) =>
      hostIds(store.db, [...some, ...some]),
    ),
  )
  for (const ids of found) for (const [origin, id] of ids) expect(id).toBe(found[0]!.get(origin))
  expect(new Set(found[0]!.values()).size).toBe(40)
  expect(await hostIds(store.db, [])).toEqual(new Map())
  await writeSteps(store, resolution(job, didOf(0), { host: found[0]!.get(origins[0]!)!, epoch: 0 }))
  expect((await statuses())[0]).toBe('resolved')
})

test('a driver that lost its host still keeps the wish of the host to be left alone', async () => {
  const now = new Date('2030-01-01T00:00:00Z')
  const in60s = new Date(now.getTime() + 60_000)
  const told = (nextRequestAt: Date, claim = host) =>
    saveHost(store.db, claim, { nextRequestAt, standing: GOOD, unanswered: false, budget: null }, now)
  const successor = await drive(store.db)
  // The pace at which it would have gone on is no wish.
  await told(new Date(now.getTime() + 500))
  expect(await epochs()).toEqual([successor.epoch])
  await told(in60s)
  const next = await drive(store.db)
  expect(next).toMatchObject({ epoch: successor.epoch + 2, nextRequestAt: in60s })
  // Known by now: nobody loses a claim again.
  await told(in60s)
  await told(new Date(now.getTime() + 30_000))
  expect(await epochs()).toEqual([next.epoch])
})
