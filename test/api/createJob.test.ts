import { isValidTid } from '@atproto/syntax'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { collectRepos } from '../support/jobs.js'
import { type Account, createAccounts } from '../support/network/accounts.js'
import { LoopbackServer } from '../support/network/loopback.js'
import { type Network, startNetwork } from '../support/network/network.js'
import { startTestService, type TestService } from '../support/service.js'
import { newcomer, refusal, refusedWith } from './support.js'

const STATUS = 'network.example.status'
const LIKE = 'network.example.graph.like'

let network: Network
let service: TestService
let ada: Account
let ben: Account

beforeAll(async () => {
  network = await startNetwork({ pdsCount: 1 })
  ;[ada, ben] = (await createAccounts(network.pdses[0]!, ['ada-1', 'ben-1'])) as [Account, Account]
  // Nobody works on the jobs, so they stay as they were made.
  service = await startTestService({ network, engine: false })
})

afterAll(async () => {
  await service?.[Symbol.asyncDispose]()
  await network?.[Symbol.asyncDispose]()
})

/** `count` names that differ in their last segment. */
const many = (count: number, name: (index: number) => string) =>
  Array.from({ length: count }, (_, index) => name(index))

describe('a job', () => {
  test('for what the relays list', async () => {
    const { caller, backfill } = await newcomer(network, service)
    const before = Date.now()
    const { data: job } = await backfill.createJob({ collections: [LIKE, STATUS], name: 'all likes' })
    expect(job).toEqual({
      id: expect.toSatisfy(isValidTid),
      caller: caller.did,
      name: 'all likes',
      collections: [LIKE, STATUS],
      method: 'auto',
      level: 'content',
      status: 'running',
      stage: 'pending',
      discoveryComplete: false,
      totalRepos: 0,
      resolvedRepos: 0,
      processedRepos: 0,
      completedRepos: 0,
      unavailableRepos: 0,
      failedRepos: 0,
      totalRecords: 0,
      failures: [],
      createdAt: expect.any(String),
    })
    expect(Date.parse(job.createdAt)).toBeGreaterThanOrEqual(before)
    expect(Date.parse(job.createdAt)).toBeLessThanOrEqual(Date.now())
    expect((await backfill.getJobStatus({ job: job.id })).data).toEqual(job)
  })

  test('for repos by DID and by handle, in any case of letters', async () => {
    const { backfill } = await newcomer(network, service)
    const repos = [ada.did, ben.handle.toUpperCase()]
    const { data: job } = await backfill.createJob({ collections: [STATUS], repos })
    expect(job).toMatchObject({ repoCount: 2, totalRepos: 2, discoveryComplete: true })
    const listed = await collectRepos(backfill, job.id)
    expect(listed.map(({ did }) => did)).toEqual([ada.did, ben.did].sort())
  })

  test('for every collection of a repo, and for a prefix of them', async () => {
    const { backfill } = await newcomer(network, service)
    const { data: whole } = await backfill.createJob({ repos: [ada.did] })
    expect(whole).not.toHaveProperty('collections')
    const collections = ['network.example.graph.*', STATUS]
    const { data: part } = await backfill.createJob({ repos: [ada.did], collections })
    expect(part.collections).toEqual(collections)
  })

  test('with the method and the level asked for', async () => {
    const { backfill } = await newcomer(network, service)
    const input = { collections: [STATUS], method: 'list-records', level: 'none' }
    expect((await backfill.createJob(input)).data).toMatchObject({ method: 'list-records', level: 'none' })
  })

  test('takes an entry once, however often it is named', async () => {
    const { backfill } = await newcomer(network, service)
    const { data: job } = await backfill.createJob({
      collections: [STATUS, LIKE, STATUS],
      repos: [ada.did, ada.handle, ada.handle.toUpperCase(), ada.did, ben.did],
    })
    expect(job).toMatchObject({ collections: [STATUS, LIKE], repoCount: 2, totalRepos: 2 })
  })

  test('takes as many collections and repos as the service says', async () => {
    const { backfill } = await newcomer(network, service)
    const { limits } = (await backfill.describeService()).data
    const { data: job } = await backfill.createJob({
      collections: many(limits.maxCollections, (index) => `network.example.c${index}`),
      repos: many(limits.maxRepos, (index) => `did:web:host${index}.example`),
    })
    expect(job).toMatchObject({ repoCount: 1_000, totalRepos: 1_000 })
    expect(job.collections).toHaveLength(100)
  })

  test('ignores fields that it does not know', async () => {
    const { backfill } = await newcomer(network, service)
    const input = {
      collections: [STATUS],
      caller: ada.did,
      id: '3l3qo2vuowo2b',
      status: 'completed',
      x: { y: 1 },
    }
    const { data: job } = await backfill.createJob(input)
    expect(job).toMatchObject({ status: 'running', collections: [STATUS] })
    expect(job.caller).not.toBe(ada.did)
    expect(job).not.toHaveProperty('x')
  })

  test('may have a name of 128 characters as people count them', async () => {
    const { backfill } = await newcomer(network, service)
    const name = 'é'.repeat(100) + '🏳️‍🌈'.repeat(28)
    expect((await backfill.createJob({ collections: [STATUS], name })).data.name).toBe(name)
  })
})

describe('a handle', () => {
  test('that nobody answers to is named, with each of its kind, and nothing is made of the good ones', async () => {
    const { backfill } = await newcomer(network, service)
    network.handleResolver.set('claims-to-be.test', ada.did)
    const repos = [ada.handle, 'nobody.one.test', ben.did, 'nowhere.example', 'claims-to-be.test']
    const refused = await refusal(backfill.createJob({ collections: [STATUS], repos }))
    expect(refused).toEqual(
      refusedWith('InvalidRepo', 'repos', '"nobody.one.test"', '"nowhere.example"', '"claims-to-be.test"'),
    )
    expect(refused.message).not.toContain(ada.handle)
    expect((await backfill.listJobs()).data.jobs).toEqual([])
  })

  test('whose DID the directory does not know is refused', async () => {
    const { backfill } = await newcomer(network, service)
    network.handleResolver.set('ghost.example', 'did:plc:aaaaaaaaaaaaaaaaaaaaaaaa')
    expect(await refusal(backfill.createJob({ repos: ['ghost.example'] }))).toEqual(
      refusedWith('InvalidRepo', '"ghost.example"'),
    )
  })
})

test('look-ups of handles keep to the pace at the directory, with those of callers', async () => {
  await using slow = await startTestService({ network, engine: false, environment: { PLC_RPM: '60' } })
  const { caller } = await newcomer(network, slow)
  const handles = ['b', 'c', 'd'].map(
    (letter) => [`${letter}.example`, `did:plc:${letter.repeat(24)}`] as const,
  )
  for (const [handle, did] of handles) network.handleResolver.set(handle, did)
  network.plc.requests.reset()
  const began = Date.now()
  const refused = await refusal(slow.as(caller).createJob({ repos: handles.map(([handle]) => handle) }))
  expect(refused).toMatchObject(refusedWith('InvalidRepo', 'b.example', 'd.example'))
  // The caller's document and those of three handles: one at once, and one a second from then on.
  expect(network.plc.requests.total).toBe(4)
  expect(Date.now() - began).toBeGreaterThanOrEqual(3_000)
})

describe('while handles cannot be looked up', () => {
  test.each([
    ['an error', 500, '{"error":"InternalServerError"}', 503, 'DirectoryUnavailable'],
    ['a request to wait', 429, '{"error":"RateLimitExceeded"}', 503, 'DirectoryUnavailable'],
    ['a page', 200, '<html>', 503, 'DirectoryUnavailable'],
    ['no DID', 200, '{}', 400, 'InvalidRepo'],
    ['what is no DID', 200, '{"did":"ada"}', 400, 'InvalidRepo'],
    ['that it does not know', 400, '{"error":"HandleNotFound"}', 400, 'InvalidRepo'],
  ])('a resolver that answers with %s', async (_, resolverStatus, body, status, error) => {
    await using resolver = await LoopbackServer.start((_url, _request, response) => {
      response.writeHead(resolverStatus, { 'content-type': 'application/json' }).end(body)
    })
    const environment = { HANDLE_RESOLVER_URL: resolver.url }
    await using other = await startTestService({ network, engine: false, environment })
    const { backfill } = await newcomer(network, other)
    expect(await refusal(backfill.createJob({ repos: [ada.handle] }))).toMatchObject({ status, error })
  })

  test('a job with a handle is refused for now, and one without is made', async () => {
    const { backfill } = await newcomer(network, service)
    await network.handleResolver.stop()
    try {
      const refused = await refusal(backfill.createJob({ repos: [ada.handle] }))
      expect(refused).toMatchObject({ status: 503, error: 'DirectoryUnavailable' })
      expect(refused.message).toContain(ada.handle)
      expect((await backfill.listJobs()).data.jobs).toEqual([])
      expect((await backfill.createJob({ repos: [ada.did] })).data.repoCount).toBe(1)
    } finally {
      await network.handleResolver.restart()
    }
    expect((await backfill.createJob({ repos: [ada.handle] })).data.repoCount).toBe(1)
  })

  test('a token that was used before still gives its job', async () => {
    const { backfill } = await newcomer(network, service)
    const input = { repos: [ben.handle], clientToken: 'once' }
    const { data: job } = await backfill.createJob(input)
    await network.handleResolver.stop()
    try {
      expect((await backfill.createJob(input)).data.id).toBe(job.id)
    } finally {
      await network.handleResolver.restart()
    }
  })
})
