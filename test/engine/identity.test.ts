import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { pause } from '../../src/pause.js'
import { saveIdentity } from '../../src/store/identities.js'
import { collectRepos, repoOf } from '../support/jobs.js'
import { type DidWeb, startDidWeb } from '../support/network/did-web.js'
import { LoopbackServer } from '../support/network/loopback.js'
import { documentOf } from '../support/network/stand-in-directory.js'
import { answer, type Plan } from '../support/network/stand-in-faults.js'
import type { StandInPds } from '../support/network/stand-in-pds.js'
import type { Backfill, TestService } from '../support/service.js'
import { eventually } from '../support/wait.js'
import { expectCounters, expectRecords, finished, newDid, outcomes, POST, StandIns } from './support.js'

/** Nothing is signed here. */
const ANY_KEY = 'did:key:zQ3shXjHeiBuRCKmM36cuYnm7YEMzhGnCmCyW92sRJ9pribSF'

let standIns: StandIns
let pds: StandInPds

beforeAll(async () => {
  standIns = await StandIns.start()
  pds = await standIns.pds()
})

afterAll(async () => {
  await standIns?.[Symbol.asyncDispose]()
})

/** An account on the PDS, with one record. */
function account(did = newDid()): string {
  pds.host(did, POST, 1)
  standIns.directory.register(did, pds.url)
  return did
}

describe('what the directory says of an account', () => {
  let service: TestService
  let backfill: Backfill

  let webs: DidWeb[]
  let failingHost: LoopbackServer

  beforeAll(async () => {
    webs = [await startDidWeb(), await startDidWeb()]
    await webs[1]!.server.stop()
    failingHost = await LoopbackServer.start((_url, _request, response) => void response.writeHead(500).end())
    service = await standIns.service({ environment: { BLOCKED_HOSTS: 'blocked.test' } })
    backfill = service.as(standIns.caller)
  })

  afterAll(async () => {
    await service?.[Symbol.asyncDispose]()
    for (const host of [...webs, failingHost]) await host[Symbol.asyncDispose]()
  })

  const published = (document: (did: string) => object) => () => {
    const did = newDid()
    standIns.directory.publish(did, document(did))
    return did
  }
  const plans: Plan[] = []
  const failing = (status: number, body?: unknown) => () => {
    const did = account()
    plans.push(standIns.directory.faults.plan(answer(status, {}, body), { did }))
    return did
  }

  /** The account, what becomes of it, and the attempts. */
  const CASES: Record<string, [account: () => string, outcome: string, attempts: number]> = {
    'it does not know': [newDid, 'failed did-not-found', 1],
    'has a tombstone': [failing(410), 'unavailable tombstoned', 0],
    'names no PDS': [published((did) => ({ ...documentOf(did, ''), service: [] })), 'failed did-invalid', 1],
    'is another one': [published(() => documentOf(newDid(), pds.url)), 'failed did-invalid', 1],
    'has a PDS with a path': [published((did) => documentOf(did, `${pds.url}/pds`)), 'failed did-invalid', 1],
    'has a PDS that is no URL': [published((did) => documentOf(did, 'my computer')), 'failed did-invalid', 1],
    'has a PDS in the form of an object': [
      published((did) => documentOf(did, { origin: pds.url })),
      'failed did-invalid',
      1,
    ],
    'has a PDS that is asked by ftp': [
      published((did) => documentOf(did, 'ftp://pds.test')),
      'failed did-invalid',
      1,
    ],
    'has a PDS that our operator blocks': [
      published((did) => documentOf(did, 'https://blocked.test')),
      'failed host-blocked',
      1,
    ],
    'has no document but an empty object': [published(() => ({})), 'failed did-invalid', 1],
    'it fails for': [failing(500), 'failed directory-unavailable', 3],
    'it has a page for humans for': [failing(200, '<html>Hello</html>'), 'failed directory-unavailable', 3],
    'it does not let us ask for': [failing(403, '<html>Forbidden</html>'), 'failed directory-unavailable', 3],
    'it finds malformed': [failing(400), 'failed did-invalid', 1],
    'is a did:web without a document': [() => webs[0]!.did, 'failed did-not-found', 1],
    'is a did:web whose host fails': [
      () => `did:web:localhost%3A${failingHost.port}`,
      'failed host-error',
      3,
    ],
    'is a did:web whose host is down': [() => webs[1]!.did, 'failed connection-failed', 3],
  }

  test('an account that …', async () => {
    const good = [account(), account()]
    const dids = Object.entries(CASES).map(([name, [make]]) => [name, make()] as const)
    const { data } = await backfill.createJob({
      collections: [POST],
      repos: [good[0]!, ...dids.map(([, did]) => did), good[1]!],
    })
    const job = await finished(backfill, data.id)
    const repos = new Map((await collectRepos(backfill, job.id)).map((repo) => [repo.did, repo]))
    const found = await outcomes(backfill, job.id)
    const ended = dids.map(([name, did]) => [name, [found.get(did), repos.get(did)?.attempts]])
    const expected = Object.entries(CASES).map(([name, [, outcome, attempts]]) => [name, [outcome, attempts]])
    expect(Object.fromEntries(ended)).toEqual(Object.fromEntries(expected))
    for (const plan of plans) expect(plan.fired).toBeGreaterThan(0)
    expect(job).toMatchObject({ status: 'completed', completedRepos: 2, totalRepos: dids.length + 2 })
    await expectRecords(
      { backfill, api: service },
      job.id,
      [...pds.world.values()].filter(({ uri }) => good.some((did) => uri.includes(did))),
    )
  })

  test('an account of which an old document names no host is looked up again', async () => {
    const did = account()
    const document = { ...documentOf(did, ''), service: [] }
    const updatedAt = new Date(Date.now() - 2 * 3_600_000)
    await saveIdentity(service.service.store.db, { did, document, handle: null, updatedAt })
    const { data } = await backfill.createJob({ collections: [POST], repos: [did] })
    expect(await finished(backfill, data.id)).toMatchObject({ status: 'completed', completedRepos: 1 })
  })

  test('an account that has left a host which is not there any more is found where it lives', async () => {
    const gone = await standIns.pds()
    await gone.stop()
    const did = account()
    const document = documentOf(did, gone.url)
    await saveIdentity(service.service.store.db, { did, document, handle: null, updatedAt: new Date() })
    const { data } = await backfill.createJob({ collections: [POST], repos: [did] })
    expect(await finished(backfill, data.id)).toMatchObject({ status: 'completed', completedRepos: 1 })
  })

  test('a did:web whose host asks for one pause after the other is given up after a day', async () => {
    await using limited = await LoopbackServer.start((_url, _request, response) => {
      response.writeHead(429, { 'retry-after': '1' }).end()
    })
    const did = `did:web:localhost%3A${limited.port}`
    const { data } = await backfill.createJob({ collections: [POST], repos: [did] })
    const held = await eventually(
      () => repoOf(backfill, data.id, did),
      ({ retryAt }) => retryAt !== undefined,
    )
    expect(held).toMatchObject({ status: 'waiting', attempts: 0 })
    await service.service.store.pool.query(
      `update job_repo set changed_at = now() - interval '25 hours' where did = $1`,
      [did],
    )
    await finished(backfill, data.id)
    expect(await outcomes(backfill, data.id)).toEqual(new Map([[did, 'failed host-unavailable']]))
  })

  test('a directory that asks to wait is not asked until then, and costs no attempt', async () => {
    const dids = Array.from({ length: 100 }, () => account())
    const { arrivals } = standIns.directory
    const before = arrivals.length
    const plan = standIns.directory.faults.plan(answer(429, { 'retry-after': '2' }), { did: dids[0]! }, 1)
    // The others are answered later, so that none is asked for in their places before that is known.
    const others = standIns.directory.faults.plan(
      { kind: 'after', what: () => sleep(200) },
      ({ did }) => did !== dids[0],
    )
    const { data } = await backfill.createJob({ collections: [POST], repos: dids })
    const job = await finished(backfill, data.id)
    others.cancel()
    expect(plan.fired).toBe(1)
    expect(job).toMatchObject({ status: 'completed', completedRepos: dids.length })
    expect((await repoOf(backfill, job.id, dids[0]!)).attempts).toBe(0)
    const since = arrivals.slice(before).map(({ at }) => at - arrivals[before]!.at)
    // What was in flight when it said so still arrives.
    expect(since.filter((at) => at < 2_000).length).toBeLessThan(90)
    expect(since.at(-1)).toBeGreaterThanOrEqual(2_000)
  })

  test('and so when it is asked again for an account that its PDS has forgotten', async () => {
    const elsewhere = await standIns.pds()
    const did = account()
    const wish = { collections: [POST], repos: [did] }
    await finished(backfill, (await backfill.createJob(wish)).data.id)
    pds.forget(did)
    elsewhere.host(did, POST, 2)
    standIns.directory.register(did, elsewhere.url)
    const { arrivals, faults } = standIns.directory
    const plan = faults.plan(answer(429, { 'retry-after': '2' }), { did }, 1)
    const before = arrivals.length
    const { data } = await backfill.createJob(wish)
    // Nobody else asks meanwhile either.
    await eventually(
      () => plan.fired,
      (fired) => fired === 1,
    )
    const other = await backfill.createJob({ collections: [POST], repos: [account()] })
    for (const { id } of [data, other.data]) {
      expect(await finished(backfill, id)).toMatchObject({ status: 'completed', completedRepos: 1 })
    }
    expect(arrivals.slice(before)).toHaveLength(3)
    expect(arrivals[before + 1]!.at - arrivals[before]!.at).toBeGreaterThanOrEqual(2_000)
    await expectRecords({ backfill, api: service }, data.id, elsewhere.world.values())
  })

  test('a directory that is down is left alone, and accounts are none the worse for it', async () => {
    await using engine = await standIns.service({ overrides: { parkMs: 6_000 } })
    const backfill = engine.as(standIns.caller)
    const dids = Array.from({ length: 40 }, () => account())
    const { arrivals, faults } = standIns.directory
    const down = faults.plan(answer(503))
    const before = arrivals.length
    const { data } = await backfill.createJob({ collections: [POST], repos: dids })
    await eventually(
      () => arrivals.length - before,
      (count) => count >= 5,
    )
    await pause(1_000)
    // What was under way together, once.
    expect(arrivals.length - before).toBeLessThanOrEqual(36)
    down.cancel()
    const job = await finished(backfill, data.id)
    expect(job).toMatchObject({ status: 'completed', completedRepos: dids.length })
    await expectCounters(engine)
  })

  test('a directory and a did:web that are down for a while cost an account nothing but time', async () => {
    const retry = { repo: { attempts: 30, firstDelayMs: 20, maxDelayMs: 100 } }
    await using patient = await standIns.service({ overrides: { retry } })
    const backfill = patient.as(standIns.caller)
    await using web = await startDidWeb()
    pds.host(web.did, POST, 2)
    const services = { atproto_pds: { type: 'AtprotoPersonalDataServer', endpoint: pds.url } }
    web.publish({ signingKey: ANY_KEY, services })
    const did = account()
    await Promise.all([standIns.directory.stop(), web.server.stop()])
    const { data } = await backfill.createJob({ collections: [POST], repos: [did, web.did] })
    for (const [account, failure] of [
      [did, 'directory-unavailable'],
      [web.did, 'connection-failed'],
    ] as const) {
      const repo = await eventually(
        () => repoOf(backfill, data.id, account),
        ({ attempts }) => attempts > 0,
      )
      expect(repo).toMatchObject({ status: 'waiting', failure: { class: failure, retryable: true } })
    }
    await Promise.all([standIns.directory.restart(), web.server.restart()])
    expect(await finished(backfill, data.id)).toMatchObject({ status: 'completed', completedRepos: 2 })
    await expectCounters(patient)
  })
})

describe('where only the public network may be asked', () => {
  test('an endpoint that is not https, or not public, is never connected to', async () => {
    const connections: string[] = []
    const inside = await LoopbackServer.start((url, _request, response) => {
      connections.push(url.href)
      response.end('{}')
    })
    const { port } = inside
    await using bench = await standIns.bench()
    await using engine = await standIns.service({
      database: bench.database,
      api: false,
      environment: {
        ALLOW_PRIVATE_NETWORK: 'false',
        // Nothing of these is asked: every document is at hand.
        RELAYS: 'https://relay.example.com',
        PLC_URL: 'https://plc.example.com',
        HANDLE_RESOLVER_URL: 'https://handles.example.com',
      },
      // A name of the public network that leads inside.
      overrides: {
        lookup: (_name, _options, callback) => callback(null, [{ address: '127.0.0.1', family: 4 }]),
      },
    })
    const endpoints: Record<string, string> = {
      [`http://localhost:${port}`]: 'failed did-invalid',
      [`https://localhost:${port}`]: 'failed did-invalid',
      [`https://127.0.0.1:${port}`]: 'failed did-invalid',
      [`https://[::ffff:127.0.0.1]:${port}`]: 'failed did-invalid',
      [`https://2130706433:${port}`]: 'failed did-invalid',
      [`https://pds.local:${port}`]: 'failed did-invalid',
      [`http://pds.example.com:${port}`]: 'failed did-invalid',
      [`https://pds.example.com:${port}`]: 'failed host-blocked',
    }
    const dids = Object.keys(endpoints).map((endpoint) => [newDid(), endpoint] as const)
    const web = `did:web:localhost%3A${port}`
    for (const [did, endpoint] of dids) {
      const document = documentOf(did, endpoint)
      await saveIdentity(engine.service.store.db, { did, document, handle: null, updatedAt: new Date() })
    }
    const repos = [web, ...dids.map(([did]) => did)]
    const { data } = await bench.backfill.createJob({ collections: [POST], repos })
    const job = await finished(bench.backfill, data.id)
    expect(job).toMatchObject({ status: 'completed', failedRepos: repos.length })
    const found = await outcomes(bench.backfill, job.id)
    expect(Object.fromEntries(dids.map(([did, endpoint]) => [endpoint, found.get(did)]))).toEqual(endpoints)
    expect(found.get(web)).toBe('failed host-blocked')
    expect(connections).toEqual([])
    await expectCounters(bench.api)
    await inside[Symbol.asyncDispose]()
  })
})
