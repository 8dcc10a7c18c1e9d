import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { Overrides } from '../../src/service.js'
import { startRelay, type TestRelay } from '../support/network/relay.js'
import type { StandInPds } from '../support/network/stand-in-pds.js'
import { eventually } from '../support/wait.js'
import { finished, POST, StandIns } from './support.js'

const LIST = 'com.atproto.sync.listReposByCollection'

let standIns: StandIns
let pds: StandInPds
let dids: string[]

beforeAll(async () => {
  standIns = await StandIns.start()
  pds = await standIns.pds()
  dids = standIns.populate(pds, 3, 1)
})

afterAll(async () => {
  await standIns?.[Symbol.asyncDispose]()
})

const start = (...relays: string[]) => startWith({}, ...relays)

const startWith = (overrides: Overrides, ...relays: string[]) =>
  standIns.service({ environment: { RELAYS: relays.join(',') }, overrides })

/** Another relay with the same repos. */
async function anotherRelay(): Promise<TestRelay> {
  const relay = await startRelay()
  for (const did of dids) relay.add(did, [POST])
  return relay
}

describe('the positions that a job starts from', () => {
  test('are those of every relay, and everything that is read comes after them', async () => {
    const { relay } = standIns
    await using other = await anotherRelay()
    // Long ago already: these are not positions to start from.
    for (let n = 0; n < 50; n += 1) other.firehose.emit('#identity', { did: dids[0] })
    await using service = await start(relay.url, other.url)
    const backfill = service.as(standIns.caller)
    const before = [relay.firehose.seq, other.firehose.seq]
    const listed = Promise.withResolvers<void>()
    for (const each of [relay, other]) each.hold(listed.promise)
    const { data } = await backfill.createJob({ collections: [POST] })
    const first = await eventually(
      async () => (await backfill.getJobStatus({ job: data.id })).data.startCursors,
      (cursors) => cursors?.length === 2,
    )
    // Nothing was listed yet: whatever happens from now on has a greater number than its relay's position.
    const now = [relay.firehose.seq, other.firehose.seq]
    listed.resolve()
    const { startCursors, status } = await finished(backfill, data.id)
    expect(status).toBe('completed')
    expect(startCursors).toEqual(first)
    for (const [index, { url }] of [relay, other].entries()) {
      const cursor = startCursors?.find((each) => each.relay === url)
      expect(cursor?.seq).toBeGreaterThanOrEqual(before[index]!)
      expect(cursor?.seq).toBeLessThanOrEqual(now[index]!)
    }
  })

  test('are there for named repos too, before any of them is asked for', async () => {
    await using relay = await anotherRelay()
    await relay.stop()
    await using service = await start(relay.url)
    const backfill = service.as(standIns.caller)
    const asked = pds.count()
    const { data } = await backfill.createJob({ repos: dids, collections: [POST] })
    await service.service.store.db
      .updateTable('start_cursor')
      .set({ retry_at: new Date(Date.now() + 3_600_000) })
      .execute()
    await relay.restart()
    const events = relay.firehose.emit('#identity', { did: dids[0] })
    await new Promise((resolve) => setTimeout(resolve, 1_500))
    expect(pds.count()).toBe(asked)
    await service.service.store.db
      .updateTable('start_cursor')
      .set({ retry_at: null, failure: null })
      .execute()
    const job = await finished(backfill, data.id)
    expect(job).toMatchObject({ status: 'completed', completedRepos: 3 })
    expect(job.startCursors).toEqual([{ relay: relay.url, seq: expect.any(Number) }])
    expect(job.startCursors![0]!.seq).toBeGreaterThanOrEqual(events)
  })

  test('of a quiet relay are where its memory begins, or its very beginning', async () => {
    await using quiet = await anotherRelay()
    await using empty = await anotherRelay()
    for (const each of [quiet, empty]) each.firehose.quiet = true
    for (let n = 0; n < 5; n += 1) quiet.firehose.emit('#identity', { did: dids[0] })
    quiet.firehose.forget(3)
    await using service = await startWith({ quietMs: 500 }, quiet.url, empty.url)
    const backfill = service.as(standIns.caller)
    const { data } = await backfill.createJob({ collections: [POST] })
    const { startCursors } = await finished(backfill, data.id)
    expect(new Map(startCursors?.map(({ relay, seq }) => [relay, seq]))).toEqual(
      new Map([
        [quiet.url, 3],
        [empty.url, 0],
      ]),
    )
  })

  test('wait for a relay that is away for a moment, as the listing does', async () => {
    await using relay = await anotherRelay()
    await relay.stop()
    await using service = await standIns.service({
      environment: { RELAYS: relay.url },
      overrides: { retry: { listing: { attempts: 50, firstDelayMs: 200, maxDelayMs: 200 } } },
    })
    const backfill = service.as(standIns.caller)
    const { data } = await backfill.createJob({ collections: [POST] })
    await eventually(
      async () => (await service.service.store.db.selectFrom('start_cursor').select('attempts').execute())[0],
      (row) => (row?.attempts ?? 0) > 3,
      20_000,
    )
    await relay.restart()
    const job = await finished(backfill, data.id)
    expect(job).toMatchObject({ status: 'completed', completedRepos: 3 })
    expect(job.startCursors).toHaveLength(1)
  })

  test('are left out for a relay without a firehose; the job does without', async () => {
    await using other = await anotherRelay()
    await using deaf = await anotherRelay()
    // Answers a request for a WebSocket as if it were any other.
    deaf.firehose.refuse = { status: 404 }
    await using service = await start(other.url, deaf.url)
    const backfill = service.as(standIns.caller)
    const { data } = await backfill.createJob({ collections: [POST] })
    const job = await finished(backfill, data.id)
    expect(job).toMatchObject({ status: 'completed', completedRepos: 3 })
    expect(job.startCursors).toMatchObject([{ relay: other.url }])
    expect(deaf.requests.of(LIST)).toBe(1)
  })

  test('are asked for no sooner than a relay wants', async () => {
    await using relay = await anotherRelay()
    relay.firehose.refuse = { status: 429, headers: { 'retry-after': '2' } }
    await using service = await start(relay.url)
    const backfill = service.as(standIns.caller)
    const began = Date.now()
    const { data } = await backfill.createJob({ collections: [POST] })
    await eventually(
      () => relay.firehose.connections.length,
      (count) => count > 0,
    )
    relay.firehose.refuse = null
    const job = await finished(backfill, data.id)
    expect(job.startCursors).toHaveLength(1)
    expect(relay.firehose.connections).toHaveLength(2)
    expect(Date.now() - began).toBeGreaterThanOrEqual(2_000)
  })
})
