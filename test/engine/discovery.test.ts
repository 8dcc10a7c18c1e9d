import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { LoopbackServer, methodOf, sendError, sendJson } from '../support/network/loopback.js'
import { startRelay, type TestRelay } from '../support/network/relay.js'
import type { StandInPds } from '../support/network/stand-in-pds.js'
import type { Backfill, TestService } from '../support/service.js'
import { eventually } from '../support/wait.js'
import {
  expectCounters,
  expectRecords,
  finished,
  LIKE,
  newDids,
  outcomes,
  POST,
  StandIns,
} from './support.js'

const LIST = 'com.atproto.sync.listReposByCollection'

/** A relay that answers as a function says. */
async function scriptedRelay(answer: (cursor: string | null, collection: string) => object) {
  const server = await LoopbackServer.start((url, _request, response) => {
    sendJson(response, 200, answer(url.searchParams.get('cursor'), url.searchParams.get('collection')!))
  })
  return server
}

let standIns: StandIns
let pds: StandInPds
/** What the relay lists for POST, all of which the PDS has. */
let dids: string[]

beforeAll(async () => {
  standIns = await StandIns.start({ relayPageSize: 5 })
  pds = await standIns.pds()
  dids = standIns.populate(pds, 23, 1)
})

afterAll(async () => {
  await standIns?.[Symbol.asyncDispose]()
})

/** Of a listing. */
const ATTEMPTS = 2

const start = (relays: readonly string[], environment: Record<string, string> = {}) =>
  standIns.service({
    environment: { RELAYS: relays.join(','), ...environment },
    overrides: { retry: { listing: { attempts: ATTEMPTS, firstDelayMs: 20, maxDelayMs: 100 } } },
  })

const discover = async (backfill: Backfill, collections = [POST]) => {
  const { data } = await backfill.createJob({ collections })
  return data.id
}

const COMPLETE = { status: 'completed', discoveryComplete: true, totalRepos: 23, completedRepos: 23 }

describe('a relay that fails and recovers', () => {
  let service: TestService
  let backfill: Backfill
  let relay: TestRelay

  beforeAll(async () => {
    relay = standIns.relay
    service = await start([relay.url])
    backfill = service.as(standIns.caller)
  })

  beforeEach(() => relay.requests.reset())

  afterEach(async () => {
    relay.faults.clear()
    await expectCounters(service)
  })

  afterAll(async () => {
    await service?.[Symbol.asyncDispose]()
  })

  test('gives every repo once, has its attempts anew after each page, and none is asked for twice', async () => {
    // Two failures in a row would end the job; a page that came is between them.
    relay.faults.add({ kind: 'empty-page' })
    relay.faults.add({ kind: 'status', status: 502 })
    relay.faults.add({ kind: 'empty-page' })
    relay.faults.add({ kind: 'reset' })
    const job = await discover(backfill)
    expect(await finished(backfill, job)).toMatchObject(COMPLETE)
    await expectRecords({ backfill, api: service }, job, pds.world.values())
    const kinds = ['empty-page', 'status', 'reset'] as const
    expect(kinds.map((kind) => relay.faults.fired(kind))).toEqual([2, 1, 1])
    // Five pages of 23 repos, and the four requests that were spoiled.
    expect(relay.requests.of(LIST)).toBe(5 + 4)
  })

  test('asking to wait costs no attempt and is obeyed', async () => {
    relay.faults.add({ kind: 'status', status: 429, headers: { 'retry-after': '1' } }, ATTEMPTS)
    const began = Date.now()
    const job = await discover(backfill)
    expect(await finished(backfill, job)).toMatchObject(COMPLETE)
    expect(Date.now() - began).toBeGreaterThanOrEqual(ATTEMPTS * 1_000)
    expect(relay.requests.of(LIST)).toBe(5 + ATTEMPTS)
  })

  test('and that asks for one pause after the other is given up after a day, until somebody tries again', async () => {
    const since = async (hours: number) => {
      const { rowCount } = await service.service.store.pool.query(
        `update host set unanswered_since = now() - make_interval(hours => $1)
         where origin like '%#relay' and unanswered_since is not null`,
        [hours],
      )
      return rowCount
    }
    relay.faults.add(
      { kind: 'status', status: 429, headers: { 'retry-after': '1' } },
      Number.POSITIVE_INFINITY,
    )
    const job = await discover(backfill)
    await eventually(
      () => since(25),
      (count) => count === 1,
    )
    const ended = await finished(backfill, job)
    expect(ended).toMatchObject({ status: 'failed', discoveryComplete: false })
    expect(ended.error).toContain('host-unavailable')
    relay.faults.clear()
    await backfill.retryJob({ job })
    expect(await finished(backfill, job)).toMatchObject(COMPLETE)
    // It has answered since.
    expect(await since(25)).toBe(0)
  })

  test('with a cursor that leads to itself ends the job with the reason', async () => {
    relay.faults.add({ kind: 'repeated-cursor' })
    const job = await discover(backfill)
    const ended = await finished(backfill, job)
    expect(ended).toMatchObject({ status: 'failed', stage: 'failed', discoveryComplete: false })
    expect(ended.error).toContain(relay.url)
    expect(ended.error).toContain(POST)
    expect(ended.error).toContain('cursor-loop')
  })
})

describe('several relays', () => {
  test('are united, each listing read to its end', async () => {
    const [common, mine, yours] = [newDids(4), newDids(3), newDids(3)]
    const host = await standIns.pds()
    for (const did of [...common, ...mine, ...yours]) {
      host.host(did, LIKE, 1)
      standIns.directory.register(did, host.url)
    }
    await using one = await startRelay({ pageSize: 2 })
    await using two = await startRelay({ pageSize: 3 })
    for (const did of [...common, ...mine]) one.add(did, [LIKE])
    for (const did of [...common, ...yours]) two.add(did, [LIKE])
    await using service = await start([one.url, two.url])
    const backfill = service.as(standIns.caller)
    const job = await discover(backfill, [LIKE])
    expect(await finished(backfill, job)).toMatchObject({
      status: 'completed',
      totalRepos: 10,
      completedRepos: 10,
    })
    await expectRecords({ backfill, api: service }, job, host.world.values())
  })

  test('one of which is gone for good: the job fails and says which, for which collection', async () => {
    await using dead = await startRelay()
    await dead.stop()
    await using service = await start([standIns.relay.url, dead.url])
    const backfill = service.as(standIns.caller)
    const job = await discover(backfill)
    const ended = await finished(backfill, job)
    expect(ended).toMatchObject({ status: 'failed', discoveryComplete: false })
    expect(ended.error).toContain(dead.url)
    expect(ended.error).toContain(POST)
    expect(ended.error).toContain('connection-failed')
    await expectCounters(service)
  })
})

test('a pause that a relay asks for holds for all its listings, for all jobs, and for an engine started meanwhile', async () => {
  const arrivals: number[] = []
  const relay = await LoopbackServer.start((url, _request, response) => {
    if (methodOf(url) !== LIST) return sendError(response, 404, 'NotFound', 'no firehose')
    arrivals.push(Date.now())
    if (arrivals.length === 1) sendError(response, 429, 'RateLimited', 'later', { 'retry-after': '4' })
    else sendJson(response, 200, { repos: [{ did: dids[0] }] })
  })
  await using bench = await standIns.bench()
  const environment = { RELAYS: relay.url }
  await using api = await standIns.service({ database: bench.database, engine: false, environment })
  const backfill = api.as(standIns.caller)
  const first = await discover(backfill, [POST, LIKE])
  {
    await using _engine = await standIns.service({ database: bench.database, api: false, environment })
    // An engine that is stopped before it has noted the refusal has learnt nothing.
    await eventually(
      () => bench.api.service.store.pool.query('select from listing where retry_at > now()'),
      ({ rowCount }) => (rowCount ?? 0) > 0,
    )
  }
  const second = await discover(backfill)
  await using _engine = await standIns.service({ database: bench.database, api: false, environment })
  for (const job of [first, second]) {
    expect(await finished(backfill, job)).toMatchObject({ status: 'completed', totalRepos: 1 })
  }
  expect(arrivals).toHaveLength(4)
  expect(arrivals[1]! - arrivals[0]!).toBeGreaterThanOrEqual(4_000)
  await relay[Symbol.asyncDispose]()
})

test('a relay whose cursors lead in a circle is not asked forever: the job fails with the reason', async () => {
  const next = new Map([
    [null, 'a'],
    ['a', 'b'],
    ['b', 'c'],
    ['c', 'a'],
  ])
  const relay = await scriptedRelay((cursor) => ({ repos: [{ did: dids[0] }], cursor: next.get(cursor) }))
  await using service = await start([relay.url])
  const backfill = service.as(standIns.caller)
  const ended = await finished(backfill, await discover(backfill))
  expect(ended).toMatchObject({ status: 'failed', discoveryComplete: false })
  expect(ended.error).toContain(relay.url)
  expect(ended.error).toContain('cursor-loop')
  expect(relay.requests.of(LIST)).toBeLessThanOrEqual(9)
  await expectCounters(service)
  await relay[Symbol.asyncDispose]()
})

describe('what a relay lists', () => {
  test('may hold duplicates and what is no DID, on one page and over pages', async () => {
    const [one, two] = dids.slice(0, 2)
    const relay = await scriptedRelay((cursor) =>
      cursor === null
        ? { repos: [{ did: one }, { did: one }, { did: 'nobody' }, {}, null, 7, { did: two }], cursor: 'a' }
        : { repos: [{ did: two }, { did: 'did:plc:' }, { did: one }] },
    )
    await using service = await start([relay.url])
    const backfill = service.as(standIns.caller)
    const job = await discover(backfill)
    expect(await finished(backfill, job)).toMatchObject({
      status: 'completed',
      totalRepos: 2,
      completedRepos: 2,
    })
    await relay[Symbol.asyncDispose]()
  })

  test('may be DIDs of methods that atproto does not use: each has its verdict', async () => {
    const relay = await scriptedRelay(() => ({ repos: [{ did: 'did:example:abc' }, { did: dids[0] }] }))
    await using service = await start([relay.url])
    const backfill = service.as(standIns.caller)
    const job = await discover(backfill)
    expect(await finished(backfill, job)).toMatchObject({
      status: 'completed',
      completedRepos: 1,
      failedRepos: 1,
    })
    expect((await outcomes(backfill, job)).get('did:example:abc')).toBe('failed did-invalid')
    await relay[Symbol.asyncDispose]()
  })

  test('may be 10,000 repos at once, more than wait at a time', async () => {
    const pages: Record<string, { repos: object[]; cursor?: string }> = {
      first: { repos: newDids(10_000).map((did) => ({ did })), cursor: 'last' },
      last: { repos: newDids(100).map((did) => ({ did })) },
    }
    const relay = await scriptedRelay((cursor) => pages[cursor ?? 'first']!)
    await using service = await start([relay.url], { ENGINE_QUEUED_REPOS: '1000' })
    // Every document is at hand and names no PDS: all of the work is in the rows.
    const dids = Object.values(pages).flatMap(({ repos }) =>
      repos.map((repo) => (repo as { did: string }).did),
    )
    await service.service.store.pool.query(
      `insert into identity (did, document, updated_at) select did, json_build_object('id', did), now() from unnest($1::text[]) did`,
      [dids],
    )
    const backfill = service.as(standIns.caller)
    const job = await discover(backfill)
    expect(await finished(backfill, job, 100_000)).toMatchObject({
      status: 'completed',
      totalRepos: 10_100,
      failures: [{ class: 'did-invalid', count: 10_100, retryable: false }],
    })
    await expectCounters(service)
    await relay[Symbol.asyncDispose]()
  }, 120_000)
})
