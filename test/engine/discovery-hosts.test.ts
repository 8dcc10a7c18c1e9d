import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { refusal } from '../api/support.js'
import { createWebCaller } from '../support/network/caller.js'
import type { StandInPds } from '../support/network/stand-in-pds.js'
import { eventually } from '../support/wait.js'
import {
  ALIVE_EVERY_MS,
  expectCounters,
  expectRecords,
  finished,
  LIKE,
  newDids,
  outcomes,
  POST,
  StandIns,
  told,
} from './support.js'

const LIST = 'com.atproto.sync.listRepos'
const RECORDS = 'com.atproto.repo.listRecords'

/** Of a listing. */
const ATTEMPTS = 2

let standIns: StandIns

beforeAll(async () => {
  standIns = await StandIns.start()
})

afterAll(async () => {
  await standIns?.[Symbol.asyncDispose]()
})

const start = (environment: Record<string, string> = {}) =>
  standIns.service({
    environment,
    overrides: { retry: { listing: { attempts: ATTEMPTS, firstDelayMs: 20, maxDelayMs: 100 } } },
  })

/** Accounts of a PDS that no relay has ever heard of. */
function populate(pds: StandInPds, accounts: number, records = 1, collection = POST): string[] {
  const dids = newDids(accounts)
  for (const did of dids) {
    pds.host(did, collection, records)
    standIns.directory.register(did, pds.url)
  }
  return dids
}

/** The cursors that a host's listing was asked with, in order. */
const pagesAsked = (pds: StandInPds) =>
  pds.arrivals.filter(({ method }) => method === LIST).map(({ cursor }) => cursor)

describe('a job of hosts', () => {
  test('has every repo that its hosts list, whatever they hold, and each is fetched where it lives', async () => {
    const [one, two, elsewhere] = [
      await standIns.pds({ pageSize: 4 }),
      await standIns.pds({ pageSize: 4 }),
      await standIns.pds(),
    ]
    populate(one, 9)
    populate(one, 3, 1, LIKE)
    populate(two, 5, 120)
    // Listed by the host it has left, and fetched from the one it is at.
    const [moved] = newDids(1) as [string]
    one.host(moved, POST, 2)
    elsewhere.host(moved, POST, 3)
    standIns.directory.register(moved, elsewhere.url)
    await using service = await start()
    const backfill = service.as(standIns.caller)
    const hosts = [two.hostname, one.hostname, one.hostname.toUpperCase()]
    const { data } = await backfill.createJob({ hosts, collections: [POST] })
    expect(data.hosts).toEqual([{ hostname: two.hostname }, { hostname: one.hostname }])
    expect(data.repoCount).toBeUndefined()
    expect(await finished(backfill, data.id)).toMatchObject({
      status: 'completed',
      discoveryComplete: true,
      totalRepos: 18,
      completedRepos: 18,
    })
    const posts = [one, two, elsewhere].flatMap((pds) => [...pds.world.values()])
    const wanted = posts.filter(
      ({ uri }) =>
        uri.includes(POST) && !(uri.includes(moved) && one.world.get(uri) && !elsewhere.world.get(uri)),
    )
    const byUri = new Map(wanted.map((record) => [record.uri, record]))
    await expectRecords({ backfill, api: service }, data.id, byUri.values())
    expect(one.count({ method: RECORDS, did: moved })).toBe(0)
    // Three pages are full, and a full page does not tell that it is the last.
    expect(pagesAsked(one)).toHaveLength(4)
    expect(standIns.relay.requests.of('com.atproto.sync.listReposByCollection')).toBe(0)
  })

  test('one of which is dead: the job fails and says which, keeps the rest, and completes by a retry', async () => {
    const [alive, dead] = [await standIns.pds(), await standIns.pds()]
    populate(alive, 3)
    populate(dead, 2)
    await dead.stop()
    await using service = await start()
    const backfill = service.as(standIns.caller)
    const { data } = await backfill.createJob({ hosts: [alive.hostname, dead.hostname] })
    const failed = await finished(backfill, data.id)
    expect(failed).toMatchObject({
      status: 'failed',
      discoveryComplete: false,
      totalRepos: 3,
      completedRepos: 3,
    })
    expect(failed.error).toContain(dead.url)
    expect(failed.error).toContain('connection-failed')
    await expectCounters(service)
    await dead.restart()
    await backfill.retryJob({ job: data.id })
    expect(await finished(backfill, data.id)).toMatchObject({ status: 'completed', completedRepos: 5 })
    expect((await backfill.getJobStatus({ job: data.id })).data.error).toBeUndefined()
    expect(pagesAsked(alive)).toHaveLength(1)
  })

  test('whose listing leads in a circle fails with the reason', async () => {
    const pds = await standIns.pds()
    populate(pds, 2)
    const circle = new Map([
      [null, 'a'],
      ['a', 'b'],
      ['b', 'a'],
    ])
    pds.faults.plan({ kind: 'change', change: (body) => ({ ...body, cursor: 'a' }) }, (asked) => {
      return asked.method === LIST && asked.cursor !== 'a'
    })
    pds.faults.plan(
      { kind: 'change', change: () => ({ repos: [], cursor: circle.get('a') }) },
      { method: LIST },
    )
    await using service = await start()
    const backfill = service.as(standIns.caller)
    const { data } = await backfill.createJob({ hosts: [pds.hostname] })
    const failed = await finished(backfill, data.id)
    expect(failed).toMatchObject({ status: 'failed', discoveryComplete: false, completedRepos: 2 })
    expect(failed.error).toContain('cursor-loop')
    expect(pagesAsked(pds).length).toBeLessThanOrEqual(9)
  })

  test('that is paused in the middle of a listing goes on at its page', async () => {
    const pds = await standIns.pds({ pageSize: 2 })
    populate(pds, 15)
    await using bench = await standIns.bench()
    const { backfill } = bench
    const gate = Promise.withResolvers<void>()
    const plan = pds.faults.plan(
      { kind: 'after', what: () => gate.promise },
      ({ method }) => method === LIST && pagesAsked(pds).length === 4,
      1,
    )
    const { data } = await backfill.createJob({ hosts: [pds.hostname] })
    const status = async () => (await backfill.getJobStatus({ job: data.id })).data
    {
      await using _engine = await standIns.service({
        database: bench.database,
        api: false,
        overrides: { aliveEveryMs: ALIVE_EVERY_MS },
      })
      await eventually(
        () => plan.fired,
        (fired) => fired === 1,
      )
      expect((await backfill.pauseJob({ job: data.id })).data.status).toBe('pausing')
      // Before that it may well list on.
      await told(bench)
      gate.resolve()
      await eventually(status, (job) => job.status === 'paused')
      const asked = pagesAsked(pds).length
      expect(asked).toBeLessThanOrEqual(5)
      expect((await status()).totalRepos).toBe(2 * asked)
      await sleep(500)
      expect(pagesAsked(pds)).toHaveLength(asked)
    }
    // Another process: nothing of where the listing was is in memory.
    await using _engine = await standIns.service({ database: bench.database, api: false })
    await backfill.resumeJob({ job: data.id })
    expect(await finished(backfill, data.id)).toMatchObject({ status: 'completed', completedRepos: 15 })
    const cursors = pagesAsked(pds)
    expect(cursors).toHaveLength(8)
    expect(new Set(cursors).size).toBe(8)
  })

  test('lists within the budget of the host, together with what it fetches there', async () => {
    const pds = await standIns.pds({ pageSize: 2 })
    populate(pds, 6)
    await using service = await start({ HOST_MAX_RPM: '300' })
    const backfill = service.as(standIns.caller)
    const jobs = [
      await backfill.createJob({ hosts: [pds.hostname] }),
      await backfill.createJob({ hosts: [pds.hostname], collections: [POST] }),
    ]
    for (const { data } of jobs)
      expect(await finished(backfill, data.id)).toMatchObject({ completedRepos: 6 })
    const times = pds.arrivals.map(({ at }) => at)
    // Five a second, and a second's worth at once after a quiet time. Three more, because some may arrive late.
    const inSecond = (from: number) => times.filter((at) => at >= from && at < from + 1_000).length
    expect(Math.max(...times.map(inSecond))).toBeLessThanOrEqual(13)
    // Each job has it listed; and the revs once more, for what one has read before the other.
    expect(pagesAsked(pds).length).toBeGreaterThanOrEqual(2 * 4)
    expect(pagesAsked(pds).length).toBeLessThanOrEqual(3 * 4)
  })

  test('is refused with each bad host by name', async () => {
    await using bench = await standIns.bench()
    const refused = await refusal(
      bench.backfill.createJob({ hosts: ['pds.acme.dev', 'https://x.dev', 'no host'] }),
    )
    expect(refused).toMatchObject({ error: 'InvalidHost' })
    expect(refused.message).toContain('"https://x.dev"')
    expect(refused.message).toContain('"no host"')
    expect(refused.message).not.toContain('"pds.acme.dev"')
  })
})

describe('the whole network', () => {
  test('is for admins: every repo of every host that the relay knows, of every collection or of a prefix', async () => {
    const [one, two, banned] = [await standIns.pds(), await standIns.pds(), await standIns.pds()]
    populate(one, 4)
    populate(one, 2, 3, 'network.other.thing')
    populate(two, 3)
    populate(banned, 1)
    for (const { hostname } of [one, two]) standIns.relay.addHost(hostname)
    standIns.relay.addHost(banned.hostname, 'banned')
    // Nobody can be asked by this name; it must not keep the others from being asked.
    standIns.relay.addHost('not a host')
    const admin = await createWebCaller()
    await using service = await start({ BACKFILL_ADMINS: admin.did })
    const other = service.as(standIns.caller)
    for (const input of [{}, { collections: [POST, 'network.other.*'] }]) {
      expect(await refusal(other.createJob(input))).toMatchObject({ error: 'ScopeTooBroad' })
    }
    const backfill = service.as(admin)
    const whole = await backfill.createJob({})
    const prefix = await backfill.createJob({ collections: ['network.other.*'] })
    const all = [...one.world.values(), ...two.world.values()]
    const expected = [
      [whole.data.id, all],
      [prefix.data.id, all.filter(({ uri }) => uri.includes('network.other'))],
    ] as const
    for (const [job, records] of expected) {
      expect(await finished(backfill, job)).toMatchObject({
        status: 'completed',
        discoveryComplete: true,
        totalRepos: 9,
        completedRepos: 9,
      })
      await expectRecords({ backfill, api: service }, job, records)
    }
    expect(banned.arrivals).toEqual([])
    await admin[Symbol.asyncDispose]?.()
  })

  test('has dead hosts: the job says how many, and everything else is there', async () => {
    await using network = await StandIns.start()
    const hosts = [await network.pds(), await network.pds(), await network.pds(), await network.pds()]
    for (const pds of hosts) {
      network.populate(pds, 2, 1)
      network.relay.addHost(pds.hostname)
    }
    await hosts[1]!.stop()
    await hosts[3]!.stop()
    const environment = { BACKFILL_ADMINS: network.caller.did }
    const overrides = { retry: { listing: { attempts: ATTEMPTS, firstDelayMs: 20, maxDelayMs: 100 } } }
    await using service = await network.service({ environment, overrides })
    const backfill = service.as(network.caller)
    const { data } = await backfill.createJob({})
    const failed = await finished(backfill, data.id)
    expect(failed).toMatchObject({ status: 'failed', discoveryComplete: false, completedRepos: 4 })
    expect(failed.error).toContain('2 of 4 hosts')
    expect((await outcomes(backfill, data.id)).size).toBe(4)
    for (const pds of hosts) await pds.restart()
    await backfill.retryJob({ job: data.id })
    expect(await finished(backfill, data.id)).toMatchObject({ status: 'completed', completedRepos: 8 })
  })
})
