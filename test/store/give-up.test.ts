import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { giveUpHost, hostsToGiveUp } from '../../src/store/give-up.js'
import { summarizeHosts } from '../../src/store/host-summary.js'
import { claimHost, type HostClaim, saveHost } from '../../src/store/hosts.js'
import { findJob } from '../../src/store/jobs.js'
import { createStore } from '../support/database.js'
import {
  addJob,
  assertCountersEqualRows,
  completion,
  didOf,
  didsOf,
  drive,
  empty,
  posts,
  resolution,
  step,
  type TestJob,
  writeSteps,
} from '../support/fixtures.js'

const NOW = new Date('2030-05-06T07:00:00Z')
const SINCE = new Date('2030-05-05T07:00:00Z')
const EARLIER = new Date('2030-05-05T06:59:59Z')
const LATER = new Date('2030-05-06T07:30:00Z')
const MESSAGE = 'the host is away'
const DOWN = { failures: 5, parked: true, parkings: 7, refusals: 0, unstated: 0 }
const GOOD = { failures: 0, parked: false, parkings: 0, refusals: 0, unstated: 0 }

let store: Awaited<ReturnType<typeof createStore>>
let host: HostClaim
let job: TestJob
let other: TestJob

beforeAll(async () => {
  store = await createStore()
})

afterAll(() => store[Symbol.asyncDispose]())

beforeEach(async () => {
  host = await drive(store.db)
  job = await addJob(store, { repos: didsOf(5) })
  other = await addJob(store, { repos: didsOf(2) })
  const elsewhere = await drive(store.db, 'https://other.example')
  await writeSteps(
    store,
    ...didsOf(4).map((did) => ({ ...resolution(job, did, host), movedTo: host.host })),
    ...didsOf(2).map((did) => ({ ...resolution(other, did, host), movedTo: host.host })),
    { ...resolution(job, didOf(4), host), movedTo: elsewhere.host },
  )
  await writeSteps(
    store,
    completion(job, didOf(0), host, posts(job, 'a')),
    step(job, didOf(1), host, { status: 'fetching', progress: '{"at":3}', attempts: 2, retryAt: LATER }),
  )
})

afterEach(async () => {
  await assertCountersEqualRows(store)
  await empty(store)
})

/** What its driver knows of it. */
const save = (standing = DOWN, now = EARLIER, nextRequestAt = LATER) =>
  saveHost(store.db, host, { standing, nextRequestAt, unanswered: standing !== GOOD, budget: { at: 1 } }, now)

const toGiveUp = () => hostsToGiveUp(store.db, SINCE, NOW)
const giveUp = () => giveUpHost(store.db, host.host, { since: SINCE, now: NOW, message: MESSAGE })

async function repos(of: TestJob) {
  const { rows } = await store.pool.query<{ what: string }>(
    `select status || coalesce(' ' || failure, '') as what from job_repo where job = $1 order by did`,
    [of.key],
  )
  return rows.map(({ what }) => what)
}

describe('giving up a host', () => {
  test('is not for what it failed at the last time that anybody asked it, unless it was given up then', async () => {
    await save(DOWN, EARLIER, EARLIER)
    await save(DOWN, NOW)
    expect(await toGiveUp()).toEqual([])
    await save(GOOD, EARLIER, EARLIER)
    await save(DOWN, EARLIER, EARLIER)
    await store.pool.query('update host set given_up = true')
    await save(DOWN, NOW)
    expect(await toGiveUp()).toEqual([host.host])
  })

  test('fails what waits for it in every job, and numbers each change', async () => {
    await save()
    const before = (await findJob(store.db, job.id))!.seq
    expect(await toGiveUp()).toEqual([host.host])
    expect(await giveUp()).toEqual([
      { job: job.key, repos: 3 },
      { job: other.key, repos: 2 },
    ])
    const failed = 'failed host-unavailable'
    expect(await repos(job)).toEqual(['completed', failed, failed, failed, 'resolved'])
    expect(await repos(other)).toEqual([failed, failed])
    const { rows } = await store.pool.query(
      `select seq, message, attempts, retry_at, progress from job_repo where job = $1 and status = 'failed' order by seq`,
      [job.key],
    )
    expect(rows.map(({ seq }) => seq)).toEqual([before + 1, before + 2, before + 3])
    expect(rows[0]).toMatchObject({ message: MESSAGE, attempts: 2, retry_at: null, progress: { at: 3 } })
    expect((await findJob(store.db, job.id))!.failures).toEqual([{ class: 'host-unavailable', count: 3 }])
  })

  test('happens once, and takes the host from whoever drives it', async () => {
    await save()
    const both = await Promise.all([giveUp(), giveUp()])
    expect(both.map((given) => given.length).sort()).toEqual([0, 2])
    expect(await toGiveUp()).toEqual([])
    expect(await writeSteps(store, completion(job, didOf(1), host, posts(job, 'b')))).toEqual([false])
  })

  test('lets it be tried at once for what comes later, and given up again when that fails', async () => {
    await save()
    await giveUp()
    host = (await claimHost(store.db, host.host))!
    expect(host).toMatchObject({ nextRequestAt: NOW, standing: DOWN, budget: { at: 1 } })
    const late = await addJob(store, { repos: [didOf(9)] })
    await writeSteps(store, { ...resolution(late, didOf(9), host), movedTo: host.host })
    expect(await toGiveUp()).toEqual([])
    await save(DOWN, NOW)
    expect(await toGiveUp()).toEqual([host.host])
    expect(await giveUp()).toEqual([{ job: late.key, repos: 1 }])
  })

  test('leaves a pause that it asked for as it is', async () => {
    await save({ ...GOOD, refusals: 90 })
    await giveUp()
    expect((await claimHost(store.db, host.host))!.nextRequestAt).toEqual(LATER)
  })

  test.each<[string, () => Promise<unknown>]>([
    ['has answered since', () => save(GOOD, NOW)],
    ['has been away for less', () => save(DOWN, NOW)],
    ['is to be tried now', () => save(DOWN, EARLIER, EARLIER)],
  ])('is not for one that %s', async (_, then) => {
    if (_ !== 'has been away for less') await save()
    await then()
    expect(await toGiveUp()).toEqual([])
    expect(await giveUp()).toEqual([])
  })

  test('is not for jobs that do not run', async () => {
    await save()
    await store.pool.query(`update job set status = 'paused'`)
    expect(await toGiveUp()).toEqual([])
    expect(await giveUp()).toEqual([])
    expect(await repos(other)).toEqual(['resolved', 'resolved'])
  })
})

test('the moment since when a host gives no good answer stays, until it gives one', async () => {
  const since = async () => {
    const { rows } = await store.pool.query('select unanswered_since from host where id = $1', [host.host])
    return rows[0].unanswered_since
  }
  await save(DOWN, EARLIER)
  await save(DOWN, NOW)
  expect(await since()).toEqual(EARLIER)
  await save(GOOD, NOW)
  expect(await since()).toBeNull()
})

test('a parked host is told as such', async () => {
  await save()
  const { hosts } = await summarizeHosts(store.db, job.key, 10)
  expect(hosts.map(({ origin, parked }) => [origin, parked])).toEqual([
    ['https://pds.example', true],
    ['https://other.example', false],
  ])
})
