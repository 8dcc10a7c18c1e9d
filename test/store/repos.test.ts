import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import type { HostClaim } from '../../src/store/hosts.js'
import { hostsWithWork } from '../../src/store/hosts.js'
import { saveIdentity } from '../../src/store/identities.js'
import { dueRepos, hasUnresolvedRepos, listRepos, unresolvedRepos, wakeRepos } from '../../src/store/repos.js'
import type { RepoStatus } from '../../src/verdict.js'
import { createStore } from '../support/database.js'
import {
  addJob,
  assertCountersEqualRows,
  completion,
  didOf,
  didsOf,
  drive,
  empty,
  failJob,
  POST,
  posts,
  resolution,
  step,
  type TestJob,
  writeSteps,
} from '../support/fixtures.js'

const NOW = new Date('2030-01-01T12:00:00Z')
const LATER = new Date('2030-01-01T12:00:00.001Z')

let store: Awaited<ReturnType<typeof createStore>>
let job: TestJob
let host: HostClaim
let second: HostClaim

beforeAll(async () => {
  store = await createStore()
})

afterAll(() => store[Symbol.asyncDispose]())

beforeEach(async () => {
  job = await addJob(store, { repos: didsOf(10) })
  host = await drive(store.db)
  second = await drive(store.db, 'https://second.example')
})

afterEach(async () => {
  await assertCountersEqualRows(store)
  await empty(store)
})

/** One repo in each state, in the order of their DIDs; the last two have been found on the second host. */
async function oneOfEach(): Promise<void> {
  const [, , resolved, fetching, deferred, completed, unavailable, failed] = didsOf(8) as [
    string,
    string,
    string,
    string,
    string,
    string,
    string,
    string,
  ]
  const found = [resolved, fetching, deferred, completed, failed].map((did) => resolution(job, did, host))
  await writeSteps(store, ...found, ...didsOf(2, 8).map((did) => resolution(job, did, second)))
  await writeSteps(
    store,
    step(job, didOf(1), host, { status: 'waiting', retryAt: LATER, failure: 'timeout', attempts: 1 }),
    step(job, fetching, host, { status: 'fetching', rows: posts(job, 'a'), records: 1, recordsAdded: 1 }),
    step(job, deferred, host, { status: 'fetching', retryAt: NOW, failure: 'host-error', attempts: 2 }),
    completion(job, completed, host, posts(job, 'a', 'b'), { rev: '3kaaa' }),
    step(job, unavailable, host, { status: 'unavailable', reason: 'suspended' }),
    step(job, failed, host, { status: 'failed', failure: 'bad-response', message: 'what?', attempts: 5 }),
  )
}

/** Reads pages of this size to the end, each after the last row of the one before. */
async function readAll<Row>(
  limit: number,
  read: (last: Row | undefined) => Promise<readonly Row[]>,
): Promise<Row[]> {
  const rows: Row[] = []
  for (;;) {
    const page = await read(rows.at(-1))
    expect(page.length).toBeLessThanOrEqual(limit)
    rows.push(...page)
    if (page.length < limit) return rows
  }
}

describe('repos to be fetched', () => {
  const due = (from: HostClaim, of = job.key, limit = 100) =>
    readAll(limit, async (last: { id: number; did: string } | undefined) =>
      dueRepos(store.db, { host: from.host, job: of, after: last?.id ?? 0, limit }),
    ).then((rows) => rows.map(({ did }) => did))

  test('are those found on the host and not put off, in the order they were queued', async () => {
    await oneOfEach()
    for (const limit of [1, 2, 3, 100]) expect(await due(host, job.key, limit)).toEqual([didOf(2), didOf(3)])
    expect(await due(second, job.key, 1)).toEqual([didOf(8), didOf(9)])
  })

  test('are those of one job, with what is known of them', async () => {
    await oneOfEach()
    const other = await addJob(store, { repos: [didOf(3), didOf(5), didOf(11)] })
    await writeSteps(store, ...[...other.repos.keys()].map((did) => resolution(other, did, host)))
    const rows = await dueRepos(store.db, { host: host.host, job: other.key, after: 0, limit: 10 })
    const known = { status: 'resolved', attempts: 0, records: 0, progress: null }
    expect(rows).toMatchObject([
      { did: didOf(3), repo: job.repos.get(didOf(3)), ...known, stored: true },
      { did: didOf(5), repo: job.repos.get(didOf(5)), ...known, stored: true },
      { did: didOf(11), ...known, stored: false },
    ])
  })

  test('follow an account to its new host', async () => {
    await oneOfEach()
    await writeSteps(
      store,
      step(job, didOf(3), host, { status: 'resolved', movedTo: second.host, recordsAdded: -1 }),
    )
    expect(await due(host)).toEqual([didOf(2)])
    expect(await due(second)).toEqual([didOf(3), didOf(8), didOf(9)])
  })

  test('are due again when their time has come, not before', async () => {
    await oneOfEach()
    await wakeRepos(store.db, new Date(NOW.getTime() - 1))
    expect(await due(host)).toEqual([didOf(2), didOf(3)])
    await wakeRepos(store.db, NOW)
    expect(await due(host)).toEqual([didOf(2), didOf(3), didOf(4)])
  })
})

describe('repos whose PDS is to be found', () => {
  const unresolved = (limit = 100) =>
    readAll(limit, async (last: { id: number; did: string } | undefined) =>
      unresolvedRepos(store.db, { job: job.key, after: last?.id ?? 0, limit }),
    ).then((rows) => rows.map(({ did }) => did))

  test('are those without one that are not put off, and those whose time has come', async () => {
    await addJob(store, { repos: didsOf(5) })
    expect(await unresolved(3)).toEqual(didsOf(10))
    await oneOfEach()
    for (const limit of [1, 2]) expect(await unresolved(limit)).toEqual([didOf(0)])
    await wakeRepos(store.db, LATER)
    expect(await unresolved()).toEqual([didOf(0), didOf(1)])
  })

  test('are looked for in jobs that run', async () => {
    expect(await hasUnresolvedRepos(store.db)).toBe(true)
    await failJob(store.db, job.key, 'no', NOW)
    expect(await hasUnresolvedRepos(store.db)).toBe(false)
    const other = await addJob(store, { repos: [didOf(0)] })
    expect(await hasUnresolvedRepos(store.db)).toBe(true)
    const deferred = step(other, didOf(0), host, { status: 'waiting', retryAt: LATER })
    await writeSteps(store, deferred)
    expect(await hasUnresolvedRepos(store.db)).toBe(false)
    await wakeRepos(store.db, LATER)
    expect(await hasUnresolvedRepos(store.db)).toBe(true)
    await writeSteps(store, resolution(other, didOf(0), host))
    expect(await hasUnresolvedRepos(store.db)).toBe(false)
  })
})

describe('hosts with work', () => {
  const withWork = async (now = NOW) => (await hostsWithWork(store.db, now)).sort((a, b) => a - b)

  test('have a repo that is due', async () => {
    expect(await withWork()).toEqual([])
    await writeSteps(store, resolution(job, didOf(0), host))
    expect(await withWork()).toEqual([host.host])
    await writeSteps(store, resolution(job, didOf(1), second))
    expect(await withWork()).toEqual([host.host, second.host])
    await writeSteps(store, step(job, didOf(0), host, { status: 'resolved', retryAt: LATER }))
    await writeSteps(store, completion(job, didOf(1), second, []))
    expect(await withWork()).toEqual([])
    await wakeRepos(store.db, LATER)
    expect(await withWork()).toEqual([host.host])
  })

  test('are left alone until their cooldown is over', async () => {
    await writeSteps(store, resolution(job, didOf(0), host))
    await store.pool.query('update host set next_request_at = $1 where id = $2', [LATER, host.host])
    expect(await withWork()).toEqual([])
    expect(await withWork(LATER)).toEqual([host.host])
  })

  test('are not driven for a job that does not run', async () => {
    await writeSteps(store, resolution(job, didOf(0), host))
    await failJob(store.db, job.key, 'no', NOW)
    expect(await withWork()).toEqual([])
    const other = await addJob(store, { repos: [didOf(0)] })
    await writeSteps(store, resolution(other, didOf(0), host))
    expect(await withWork()).toEqual([host.host])
  })
})

describe('the repos of a job', () => {
  type Filter = { statuses?: RepoStatus[]; resolvedOnly?: boolean; origin?: string }
  const list = async ({ statuses = [], resolvedOnly = false, origin }: Filter, limit: number) =>
    readAll(limit, async (last: { did: string } | undefined) =>
      listRepos(store.db, {
        job: job.key,
        scope: job.scope,
        statuses: statuses.length > 0 ? statuses : null,
        resolvedOnly,
        origin: origin ?? null,
        after: last?.did ?? '',
        limit,
      }),
    )

  const numbers = (...indices: number[]) => indices.map(didOf)
  test.each<[string, Filter, string[]]>([
    ['all of them', {}, didsOf(10)],
    ['by status', { statuses: ['waiting'] }, numbers(0, 1)],
    ['by several statuses', { statuses: ['completed', 'failed'] }, numbers(5, 7)],
    ['with a known PDS', { resolvedOnly: true }, numbers(2, 3, 4, 5, 7, 8, 9)],
    ['on one PDS', { origin: 'https://second.example' }, numbers(8, 9)],
    ['on a PDS nobody knows', { origin: 'https://third.example' }, []],
    [
      'by all of these',
      { statuses: ['fetching'], resolvedOnly: true, origin: 'https://pds.example' },
      numbers(3, 4),
    ],
  ])('are listed by DID: %s', async (_, filter, dids) => {
    await oneOfEach()
    // Another job with some of the same accounts, further on with them.
    const other = await addJob(store, { repos: didsOf(12) })
    await writeSteps(store, ...didsOf(12).map((did) => completion(other, did, host, posts(other, 'a'))))
    for (const limit of [1, 2, 3, dids.length, 100]) {
      expect((await list(filter, Math.max(1, limit))).map(({ did }) => did)).toEqual(dids)
    }
  })

  test('say what is known of each', async () => {
    await oneOfEach()
    const document = { id: didOf(5), note: '\u0000\ud800' }
    await saveIdentity(store.db, { did: didOf(5), document, handle: 'five.test', updatedAt: NOW })
    const rows = await list({}, 100)
    const none = { origin: null, handle: null, failure: null, reason: null, rev: null, counts: null }
    expect(rows[0]).toMatchObject({ status: 'waiting', records: 0, ...none })
    expect(rows[1]).toMatchObject({ status: 'waiting', failure: 'timeout', attempts: 1, retry_at: LATER })
    expect(rows[5]).toMatchObject({
      status: 'completed',
      method: 'list-records',
      origin: 'https://pds.example',
      handle: 'five.test',
      records: 2,
      rev: '3kaaa',
      data_cid: null,
      level: 'content',
      receipt_records: 2,
      receipt_origin: 'https://pds.example',
      counts: { [POST]: 2 },
    })
    expect(rows[6]).toMatchObject({ status: 'unavailable', ...none, reason: 'suspended' })
    expect(rows[7]).toMatchObject({
      status: 'failed',
      failure: 'bad-response',
      message: 'what?',
      attempts: 5,
      retry_at: null,
    })
  })

  test('show a receipt of another job only once they are completed in this one', async () => {
    const other = await addJob(store, { repos: didsOf(1) })
    await writeSteps(store, completion(other, didOf(0), second, posts(other, 'a'), { rev: '3kbbb' }))
    expect((await list({}, 1))[0]).toMatchObject({ status: 'waiting', rev: null, receipt_origin: null })
    await writeSteps(store, resolution(job, didOf(0), host))
    await writeSteps(store, completion(job, didOf(0), host, posts(job, 'a'), { rev: '3kaaa' }))
    expect((await list({}, 1))[0]).toMatchObject({
      origin: 'https://pds.example',
      rev: '3kbbb',
      receipt_origin: 'https://second.example',
    })
  })
})
