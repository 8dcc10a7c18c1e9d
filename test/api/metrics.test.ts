import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { ids } from '../../codegen/server/lexicons.js'
import { createHttpClient } from '../../src/atproto/http.js'
import { LOUD_EVENTS } from '../../src/events.js'
import { HOST_CLASSES, hostClassOf } from '../../src/metrics/host-class.js'
import { Metrics } from '../../src/metrics.js'
import { FAILURE_CLASSES, LEVELS, METHODS, UNAVAILABLE_REASONS } from '../../src/verdict.js'
import { VERSION } from '../../src/version.js'
import { finished, newDid, POST, StandIns } from '../engine/support.js'
import { createDatabase } from '../support/database.js'
import { findFreePort, LoopbackServer } from '../support/network/loopback.js'
import { answer } from '../support/network/stand-in-faults.js'
import type { TestService } from '../support/service.js'
import { eventually } from '../support/wait.js'
import { DatabaseProxy } from './database-proxy.js'
import { openStream } from './subscribeJob-support.js'
import { exchange, nsid } from './support.js'

interface Sample {
  readonly name: string
  readonly labels: Readonly<Record<string, string>>
  readonly value: number
}

/** Every sample of the text format, and the metadata that must stand before it. */
function samplesOf(text: string): Sample[] {
  const samples: Sample[] = []
  for (const line of text.split('\n')) {
    if (line === '' || line.startsWith('#')) continue
    const [, name, labels = '', value] = /^([a-z_0-9]+)(?:\{(.*)\})? (\S+)$/i.exec(line) ?? []
    if (name === undefined) throw new Error(`not a sample: ${line}`)
    const pairs = [...labels.matchAll(/([a-z_]+)="((?:[^"\\]|\\.)*)"/g)].map(([, key, each]) => [key, each])
    samples.push({ name, labels: Object.fromEntries(pairs), value: Number(value) })
  }
  return samples
}

async function scrape(url: string): Promise<Sample[]> {
  const { status, headers, text } = await exchange(`${url}/metrics`)
  expect(status).toBe(200)
  expect(headers.get('content-type')).toBe('text/plain; version=0.0.4; charset=utf-8')
  return samplesOf(text)
}

/** The values of a metric by its labels, without those that are 0. */
function values(samples: readonly Sample[], name: string): Record<string, number> {
  const found = samples.filter((sample) => sample.name === name && sample.value !== 0)
  return Object.fromEntries(found.map(({ labels, value }) => [Object.values(labels).join(' '), value]))
}

let network: StandIns

beforeAll(async () => {
  network = await StandIns.start()
})

afterAll(() => network?.[Symbol.asyncDispose]())

describe('after a backfill', () => {
  let service: TestService
  let samples: Sample[]
  const dids: string[] = []
  const expected = { pds: 0, directory: 0, relay: 0 }

  beforeAll(async () => {
    const pds = await network.pds()
    dids.push(...network.populate(pds, 4, 3))
    const [limited, broken] = dids as [string, string]
    pds.faults.plan(answer(429, { 'retry-after': '1' }), { did: limited }, 1)
    pds.faults.plan(answer(503), { did: broken }, 1)
    const unknown = newDid()
    const tombstoned = newDid()
    const blocked = newDid()
    const strange = newDid()
    network.directory.register(blocked, 'http://blocked.example')
    network.directory.register(strange, pds.url)
    network.directory.faults.plan(answer(410, {}, { message: 'gone' }), { did: tombstoned })
    for (const did of [unknown, tombstoned, blocked, strange]) network.relay.add(did, [POST])
    dids.push(unknown, tombstoned, blocked, strange)

    service = await network.service({ environment: { BLOCKED_HOSTS: 'blocked.example' } })
    const backfill = service.as(network.caller)
    const { data } = await backfill.createJob({ collections: [POST], level: 'content' })
    const job = await finished(backfill, data.id)
    expect(job).toMatchObject({
      completedRepos: 4,
      failedRepos: 3,
      unavailableRepos: 1,
      totalRecords: 12,
    })
    for (const path of [
      '/xrpc/com.example.madeUp',
      '/made/up',
      `/xrpc/${nsid('getJobStatus')}/x`,
      '/xrpc/_health',
    ])
      await exchange(`${service.url}${path}`)
    const counted = (found: Sample[]) => values(found, 'aquifer_http_requests_total')['_health 200'] === 1
    samples = await eventually(() => scrape(service.url), counted)
    Object.assign(expected, {
      pds: pds.arrivals.length,
      directory: network.directory.arrivals.length,
      relay: network.relay.requests.total,
    })
  })

  afterAll(() => service?.[Symbol.asyncDispose]())

  test('requests to other hosts are counted by kind of host and by outcome', () => {
    const requests = values(samples, 'aquifer_outbound_requests_total')
    expect(requests).toEqual({
      'pds answered': expected.pds - 2,
      'pds refused': 1,
      'pds host-error': 1,
      'pds host-blocked': 1,
      'directory answered': expected.directory,
      // Its firehose was listened to, too.
      'relay answered': expected.relay + 1,
      'did-web answered': 1,
    })
    const bytes = values(samples, 'aquifer_outbound_received_bytes_total')
    expect(Object.keys(bytes).sort()).toEqual(['did-web', 'directory', 'pds', 'relay'])
  })

  test('repos are counted by what became of them, and their records', () => {
    expect(values(samples, 'aquifer_repos_completed_total')).toEqual({ 'list-records content': 4 })
    expect(values(samples, 'aquifer_repos_unavailable_total')).toEqual({ tombstoned: 1 })
    expect(values(samples, 'aquifer_repos_failed_total')).toEqual({
      'did-not-found': 1,
      'host-blocked': 1,
      'repo-not-found': 1,
    })
    expect(values(samples, 'aquifer_repo_retries_total')).toEqual({ 'host-error': 1 })
    expect(values(samples, 'aquifer_records_written_total')).toEqual({ '': 12 })
    const [batches] = Object.values(values(samples, 'aquifer_write_batch_duration_seconds_count'))
    expect(batches).toBeGreaterThan(0)
    expect(values(samples, 'aquifer_write_batch_duration_seconds_bucket')['+Inf written']).toBe(batches)
  })

  test('requests to us are counted by method and status, what is no method of ours as one', () => {
    const requests = values(samples, 'aquifer_http_requests_total')
    expect(requests).toMatchObject({
      [`${nsid('createJob')} 200`]: 1,
      '_health 200': 1,
      'other 404': 1,
      'other 501': 1,
    })
    const times = values(samples, 'aquifer_http_request_duration_seconds_count')
    expect(times.other).toBe(3)
    expect(times[nsid('createJob')]).toBe(1)
  })

  test('events are counted as they are told, the loud ones from zero', () => {
    const events = values(samples, 'aquifer_events_total')
    expect(events).toMatchObject({
      'job.created': 1,
      'job.completed': 1,
      'repo.completed': 4,
      'host.cooling': 1,
    })
    const named = samples
      .filter(({ name }) => name === 'aquifer_events_total')
      .map(({ labels }) => labels.event)
    expect(named).toEqual(expect.arrayContaining([...LOUD_EVENTS]))
  })

  test('nothing is left to do, and the process says how it is', () => {
    expect(values(samples, 'aquifer_queue_repos')).toEqual({})
    expect(values(samples, 'aquifer_jobs')).toEqual({})
    expect(values(samples, 'aquifer_database_up')).toEqual({ '': 1 })
    expect(values(samples, 'aquifer_engine_halted')).toEqual({})
    const names = new Set(samples.map(({ name }) => name))
    for (const name of [
      'process_resident_memory_bytes',
      'process_cpu_seconds_total',
      'nodejs_eventloop_lag_p99_seconds',
    ])
      expect(names).toContain(name)
  })

  test('values of labels come from closed lists', () => {
    const own = samples.filter(({ name }) => name.startsWith('aquifer_'))
    const outcomes = ['answered', 'refused', 'host-error', 'dropped', 'written', 'failed', ...FAILURE_CLASSES]
    const allowed: Record<string, (value: string) => boolean> = {
      host_class: among(HOST_CLASSES),
      outcome: among(outcomes),
      event: (value) => /^[a-z]+\.[a-z-]+$/.test(value),
      class: among(FAILURE_CLASSES),
      reason: among(UNAVAILABLE_REASONS),
      level: among(LEVELS),
      status: (value) => /^\d{3}$/.test(value) || among(STATUSES)(value),
      state: among(['cooling', 'parked']),
      stream: among(['subscribeJob', 'subscribeRecords']),
      method: among([...Object.values(ids), ...METHODS, '_health', 'did.json', 'metrics', 'other']),
      version: () => true,
      le: (value) => value === '+Inf' || Number(value) > 0,
    }
    for (const { name, labels } of own) {
      for (const [label, value] of Object.entries(labels))
        expect(allowed[label]?.(value), `${name} ${label}="${value}"`).toBe(true)
    }
    const text = JSON.stringify(own)
    for (const stranger of [...dids, POST, 'madeUp', 'localhost']) expect(text).not.toContain(stranger)
  })

  test('names are as Prometheus wants them', () => {
    const names = new Set(samples.map(({ name }) => name).filter((name) => name.startsWith('aquifer_')))
    for (const name of names) expect(name).toMatch(/^aquifer_[a-z]+(_[a-z]+)*$/)
    expect([...names].filter((name) => /_(ms|milliseconds|kib|minutes)\b/.test(name))).toEqual([])
  })

  test('a service counts for itself, whoever shares its process', async () => {
    await using other = await network.service({ engine: false })
    const found = await scrape(other.url)
    expect(values(found, 'aquifer_repos_completed_total')).toEqual({})
    expect(values(found, 'aquifer_outbound_requests_total')).toEqual({})
    expect(found.filter(({ name }) => name.startsWith('aquifer_engine'))).toEqual([])
  })
})

describe('while there is something to do', () => {
  test('what waits, and the hosts it waits for', async () => {
    await using own = await StandIns.start()
    const cooling = await own.pds()
    const silent = await own.pds()
    own.populate(cooling, 3, 1)
    own.populate(silent, 6, 1)
    cooling.faults.plan(answer(429, { 'retry-after': '600' }))
    silent.faults.plan({ kind: 'reset' })
    await using service = await own.service()
    const { data } = await service.as(own.caller).createJob({ collections: [POST], level: 'content' })
    const state = (found: Sample[]) => ({
      hosts: values(found, 'aquifer_hosts'),
      queue: values(found, 'aquifer_queue_repos'),
      jobs: values(found, 'aquifer_jobs'),
    })
    const known = ({ hosts }: ReturnType<typeof state>) => hosts.cooling === 1 && hosts.parked === 1
    const seen = await eventually(async () => state(await scrape(service.url)), known, 20_000)
    expect(seen).toEqual({ hosts: { cooling: 1, parked: 1 }, queue: { resolved: 9 }, jobs: { running: 1 } })

    await service.as(own.caller).pauseJob({ job: data.id })
    const paused = ({ jobs }: ReturnType<typeof state>) => jobs.paused === 1
    expect(await eventually(async () => state(await scrape(service.url)), paused)).toMatchObject({
      queue: {},
    })
  })

  test('repos that are given up together with their host', async () => {
    await using own = await StandIns.start()
    const silent = await own.pds()
    own.populate(silent, 6, 1)
    silent.faults.plan({ kind: 'reset' })
    let ahead = 0
    await using service = await own.service({
      environment: { HOST_GIVE_UP_HOURS: '1' },
      overrides: { now: () => Date.now() + ahead },
    })
    await service.as(own.caller).createJob({ collections: [POST], level: 'content' })
    const parked = (found: Sample[]) => values(found, 'aquifer_hosts').parked === 1
    await eventually(() => scrape(service.url), parked, 20_000)
    ahead = 61 * 60_000
    const failed = (found: Sample[]) => values(found, 'aquifer_repos_failed_total')['host-unavailable'] === 6
    const seen = await eventually(() => scrape(service.url), failed, 20_000)
    expect(values(seen, 'aquifer_events_total')['host.given-up']).toBe(1)
  })

  test('followers of a job, what they have taken, and what waits for them', async () => {
    await using own = await StandIns.start()
    own.directory.faults.plan(answer(500))
    await using service = await own.service({ engine: false })
    const backfill = service.as(own.caller)
    const { data } = await backfill.createJob({ repos: [newDid()], collections: [POST] })
    const stream = await openStream(service, own.caller, { job: data.id })
    await stream.until('#jobSnapshot')
    const followed = await eventually(
      () => scrape(service.url),
      (found) => values(found, 'aquifer_stream_messages_total').subscribeJob === 1,
    )
    expect(values(followed, 'aquifer_stream_subscribers')).toEqual({ subscribeJob: 1 })
    expect(values(followed, 'aquifer_stream_lag_seconds')).toEqual({})
    expect(values(followed, 'aquifer_stream_waiting_messages')).toEqual({})
    await stream[Symbol.asyncDispose]()
    const gone = (found: Sample[]) => values(found, 'aquifer_stream_subscribers').subscribeJob === undefined
    await eventually(() => scrape(service.url), gone)
  })

  test('a database that is away is told, and everything else is still there', async () => {
    await using database = await createDatabase()
    await using proxy = await DatabaseProxy.start(database.url)
    await using service = await network.service({
      engine: false,
      environment: { DATABASE_URL: proxy.url },
    })
    expect(values(await scrape(service.url), 'aquifer_database_up')).toEqual({ '': 1 })
    await proxy.stop()
    const found = await scrape(service.url)
    expect(found).toContainEqual({ name: 'aquifer_database_up', labels: {}, value: 0 })
    expect(found.filter(({ name }) => /^aquifer_(jobs|queue_repos|hosts)$/.test(name))).toEqual([])
    expect(found.some(({ name }) => name === 'aquifer_http_requests_total')).toBe(true)
    await proxy.restart()
    const back = (samples: Sample[]) => values(samples, 'aquifer_database_up')[''] === 1
    await eventually(() => scrape(service.url), back)
  })
})

describe('a port of its own', () => {
  test('a worker answers there, for scrapes and for its health', async () => {
    const port = String(await findFreePort())
    await using _worker = await network.service({ api: false, environment: { METRICS_PORT: port } })
    const url = `http://127.0.0.1:${port}`
    expect(values(await scrape(url), 'aquifer_build_info')).toEqual({ [VERSION]: 1 })
    expect(await exchange(`${url}/xrpc/_health`)).toMatchObject({
      status: 200,
      json: { database: 'ok', engine: 'running' },
    })
    expect((await exchange(`${url}/xrpc/${nsid('describeService')}`)).status).toBe(404)
  })

  test('callers do not see the metrics then', async () => {
    const port = await findFreePort()
    await using service = await network.service({
      engine: false,
      environment: { METRICS_PORT: String(port) },
    })
    expect((await exchange(`${service.url}/metrics`)).status).toBe(404)
    expect((await exchange(`http://127.0.0.1:${port}/metrics`)).status).toBe(200)
  })
})

describe('what is counted', () => {
  const named = {
    relays: ['https://relay.example'],
    directoryUrl: 'https://plc.example',
    handleResolverUrl: 'https://resolver.example',
  }

  test.each([
    ['https://relay.example/xrpc/com.atproto.sync.listHosts', 'relay'],
    ['https://plc.example/did:plc:aaaaaaaaaaaaaaaaaaaaaaaa', 'directory'],
    ['https://account.example/.well-known/did.json', 'did-web'],
    ['https://resolver.example/xrpc/com.atproto.identity.resolveHandle?handle=a.example', 'handle'],
    ['https://alice.example/.well-known/atproto-did', 'handle'],
    ['https://pds.example/xrpc/com.atproto.sync.getRepo', 'pds'],
  ])('%s is asked of a %s', (url, hostClass) => {
    expect(hostClassOf(new URL(url), named)).toBe(hostClass)
  })

  test('bytes as they came, requests that found nobody, and ones that were given up', async () => {
    await using server = await LoopbackServer.start((url, _request, response) => {
      if (url.pathname === '/never') return
      if (url.pathname === '/away') response.writeHead(302, { location: '/here' }).end('moved')
      else response.writeHead(200).end('x'.repeat(100_000))
    })
    const metrics = new Metrics(named)
    const http = createHttpClient({
      userAgent: 'test',
      allowPrivateNetwork: true,
      onExchanged: (exchanged) => metrics.exchanged(exchanged),
      onReceived: (url, bytes) => metrics.received(url, bytes),
    })
    const get = (url: string, signal?: AbortSignal) =>
      http.get({ url, maxBytes: 200_000, timeoutMs: 5_000, maxRedirects: 1, ...(signal && { signal }) })
    try {
      await get(`${server.url}/away`)
      await expect(get(`http://localhost:${await findFreePort()}/`)).rejects.toThrow()
      await expect(get(`${server.url}/never`, AbortSignal.timeout(50))).rejects.toThrow()
      await expect(http.get({ url: server.url, maxBytes: 10, timeoutMs: 5_000 })).rejects.toMatchObject({
        failure: 'body-too-large',
      })
    } finally {
      await http.close()
    }
    const samples = samplesOf(await metrics.text({ load: null, engine: null }))
    expect(values(samples, 'aquifer_outbound_requests_total')).toEqual({
      'pds answered': 2,
      'pds connection-failed': 1,
      'pds dropped': 1,
      'pds body-too-large': 1,
    })
    const bytes = values(samples, 'aquifer_outbound_received_bytes_total').pds!
    expect(bytes).toBeGreaterThanOrEqual(100_005)
    // Of the one that was too large no more than a piece.
    expect(bytes).toBeLessThanOrEqual(100_005 + 65_536)
  })

  test('how long a message has been lying before its follower, and that it was let go', async () => {
    const metrics = new Metrics(named)
    async function* messages() {
      yield 1
      throw new Error('too slow')
    }
    const followed = metrics.followed('subscribeRecords', messages(), () => true)
    await followed.next()
    const lagging = async () => samplesOf(await metrics.text({ load: null, engine: null }))
    const lag = (found: Sample[]) =>
      (values(found, 'aquifer_stream_lag_seconds').subscribeRecords ?? 0) > 0.05
    await eventually(lagging, lag)
    await expect(followed.next()).rejects.toThrow('too slow')
    const found = await lagging()
    expect(values(found, 'aquifer_stream_lag_seconds')).toEqual({})
    expect(values(found, 'aquifer_stream_subscribers')).toEqual({})
    expect(values(found, 'aquifer_stream_messages_total')).toEqual({ subscribeRecords: 1 })
    expect(values(found, 'aquifer_stream_too_slow_total')).toEqual({ subscribeRecords: 1 })
  })
})

const STATUSES = ['running', 'pausing', 'paused', 'cancelling', 'waiting', 'resolved']

function among(list: readonly string[]): (value: string) => boolean {
  return (value) => list.includes(value)
}
