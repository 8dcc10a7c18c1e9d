import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import {
  AuthenticationFailed,
  BackfillClient,
  type BackfillClientOptions,
  BackfillError,
  ClientTokenConflict,
  callerDidDocument,
  DirectoryUnavailable,
  formatPrivateKey,
  generateKey,
  InvalidCollection,
  InvalidRepo,
  InvalidRequest,
  JobNotFound,
  type JobView,
  LevelNotOffered,
  NotPermitted,
  RateLimitExceeded,
  ScopeTooBroad,
} from '../../src/client/index.js'
import { type Account, createAccounts, putRecords, type StoredRecord } from '../support/network/accounts.js'
import { type Caller, createPlcCaller } from '../support/network/caller.js'
import { LoopbackServer, sendJson } from '../support/network/loopback.js'
import { type Network, startNetwork } from '../support/network/network.js'
import { startTestService, type TestService } from '../support/service.js'
import { collect, QUICK_RETRY } from './support.js'

const POST = 'com.example.post'

describe('calls to the real service', () => {
  let network: Network
  let service: TestService
  let caller: Caller
  let stranger: Caller
  let client: BackfillClient
  let accounts: Account[]
  let stored: StoredRecord[]
  let job: JobView
  /** A did:web on loopback, whose document a test writes. */
  let web: LoopbackServer
  let webDid: string
  let webDocument: unknown

  const clientOf = (identity: { did: string; key: Caller['key'] | string }, options = {}) =>
    new BackfillClient({ service: service.url, retry: QUICK_RETRY, ...identity, ...options })

  beforeAll(async () => {
    web = await LoopbackServer.start((_url, _request, response) => sendJson(response, 200, webDocument))
    webDid = `did:web:localhost%3A${web.port}`
    network = await startNetwork({ pdsCount: 1 })
    accounts = await createAccounts(network.pdses[0]!, ['writer-1', 'writer-2', 'writer-3'])
    stored = (
      await Promise.all(
        accounts.map((account, index) =>
          putRecords(
            account,
            POST,
            Array.from({ length: index + 1 }, (_, n) => ({ text: `post ${n}` })),
          ),
        ),
      )
    ).flat()
    await network.relay.crawl()
    caller = await createPlcCaller(network.plc)
    stranger = await createPlcCaller(network.plc)
    service = await startTestService({
      network,
      environment: { BACKFILL_ACCESS: 'allowlist', BACKFILL_ALLOW: `${caller.did}, ${webDid}` },
    })
    client = clientOf(caller)
  })

  afterAll(async () => {
    await service?.[Symbol.asyncDispose]()
    await web?.[Symbol.asyncDispose]()
    await network?.[Symbol.asyncDispose]()
  })

  test('describeService says what the service is', async () => {
    expect(await client.describeService()).toMatchObject({
      did: service.did,
      limits: { maxRepos: expect.any(Number) },
      methods: expect.arrayContaining([{ name: 'auto' }]),
    })
  })

  test('a job from its creation to its last record', async () => {
    const progress: JobView[] = []
    job = await client.createJob({ collections: [POST], name: 'posts' })
    expect(job).toMatchObject({ caller: caller.did, name: 'posts', status: 'running' })
    const ended = await client.waitForJob(job.id, {
      pollMs: 20,
      onProgress: (seen) => progress.push(seen),
    })
    expect(ended).toMatchObject({ status: 'completed', completedRepos: 3, totalRecords: stored.length })
    expect(progress.at(-1)).toEqual(ended)
    // Its manifest may have been made meanwhile, here and below.
    expect(await client.getJobStatus(job.id)).toMatchObject(ended)

    const repos = await client.listJobRepos(job.id, { phase: 'fetched', limit: 2 })
    expect(repos.repos).toHaveLength(2)
    expect(repos.cursor).toBe(repos.repos[1]!.did)
    const all = await collect(client.allRepos(job.id, { limit: 1 }))
    expect(all.map(({ did }) => did)).toEqual(accounts.map(({ did }) => did).sort())
    const rest = await collect(client.allRepos(job.id, { cursor: repos.cursor! }))
    expect(rest).toEqual(all.slice(2))

    const records = await collect(client.allRecords(job.id, { limit: 2 }))
    expect(byUri(records)).toEqual(byUri(stored))
    expect((await client.listRecords(job.id)).records).toEqual(records)
    const [first] = accounts
    const mine = await client.listRecords(job.id, { repo: `at://${first!.handle}/${POST}`, limit: 10 })
    expect(mine.records.map(({ uri }) => uri)).toEqual(stored.slice(0, 1).map(({ uri }) => uri))
  })

  test('repos may be handles, DIDs and at:// URIs', async () => {
    const [one, two, three] = accounts as [Account, Account, Account]
    const repos = [`@${one.handle}`, two.did, `at://${three.did}/${POST}/self`]
    const created = await client.createJob({ collections: [POST], repos })
    expect(created.repoCount).toBe(3)
    const ended = await client.waitForJob(created.id, { pollMs: 20 })
    expect(ended).toMatchObject({ status: 'completed', completedRepos: 3 })
  })

  test('jobs are listed, newest first', async () => {
    const jobs = await collect(client.allJobs({ limit: 1 }))
    expect(jobs.length).toBeGreaterThanOrEqual(2)
    expect(jobs.at(-1)?.id).toBe(job.id)
    expect((await client.listJobs({ limit: 1 })).jobs).toMatchObject([jobs[0]!])
    expect((await client.listJobs({ status: 'cancelled' })).jobs).toEqual([])
  })

  test('a client token makes one job of two calls', async () => {
    const input = { collections: [POST], clientToken: 'once' }
    const [one, two] = [await client.createJob(input), await client.createJob(input)]
    expect(two.id).toBe(one.id)
    await expect(client.createJob({ ...input, name: 'other' })).rejects.toBeInstanceOf(ClientTokenConflict)
  })

  test('a did:web service can call with the document and the key that the client makes for it', async () => {
    const key = await generateKey()
    webDocument = callerDidDocument({ hostname: `localhost:${web.port}`, key })
    const callable = clientOf({ did: webDid, key: await formatPrivateKey(key) })
    expect(await callable.createJob({ collections: [POST] })).toMatchObject({ caller: webDid })
  })

  test.each([
    ['InvalidRequest', InvalidRequest, () => client.createJob({ collections: [] })],
    ['InvalidRequest', InvalidRequest, () => client.listJobs({ limit: 1_000 })],
    ['InvalidCollection', InvalidCollection, () => client.createJob({ collections: ['nonsense'] })],
    ['InvalidRepo', InvalidRepo, () => client.createJob({ repos: ['no one'] })],
    ['ScopeTooBroad', ScopeTooBroad, () => client.createJob({})],
    [
      'LevelNotOffered',
      LevelNotOffered,
      () => client.createJob({ collections: [POST], method: 'list-records', level: 'signed' }),
    ],
    ['JobNotFound', JobNotFound, () => client.getJobStatus('3lzzzzzzzzzzz')],
    ['JobNotFound', JobNotFound, () => collect(client.allRecords('3lzzzzzzzzzzz'))],
  ] as const)('%s', async (name, type, call) => {
    const error = await call().then(
      () => null,
      (thrown: unknown) => thrown,
    )
    expect(error).toBeInstanceOf(type)
    expect(error).toBeInstanceOf(BackfillError)
    expect(error).toMatchObject({ name, status: 400, requestId: expect.stringMatching(/^[\w.-]+$/) })
    expect((error as Error).message.length).toBeGreaterThan(10)
  })

  test('NotPermitted: somebody who is not on the list', async () => {
    const error = await clientOf(stranger)
      .listJobs()
      .catch((thrown: unknown) => thrown)
    expect(error).toBeInstanceOf(NotPermitted)
    expect(error).toMatchObject({ status: 403, message: expect.stringContaining(stranger.did) })
  })

  test('DirectoryUnavailable: nobody can look up a handle', async () => {
    await network.handleResolver.stop()
    const repos = [`unheard-of${network.pdses[0]!.handleDomain}`]
    const error = await client.createJob({ repos }).catch((thrown: unknown) => thrown)
    await network.handleResolver.restart()
    expect(error).toBeInstanceOf(DirectoryUnavailable)
    expect(error).toMatchObject({ status: 503 })
  })

  test.each<[string, () => Partial<BackfillClientOptions>]>([
    ['BadJwtSignature', () => ({ did: caller.did, key: stranger.key })],
    ['UnknownIssuer', () => ({ did: `did:plc:${'a'.repeat(24)}`, key: caller.key })],
    ['BadJwtAudience', () => ({ audience: 'did:web:elsewhere.example.com' })],
    ['JwtExpired', () => ({ clock: { now: () => Date.now() - 120_000 } })],
    ['JwtNotYetValid', () => ({ clock: { now: () => Date.now() + 120_000 } })],
  ])('AuthenticationFailed: %s', async (name, options) => {
    const error = await clientOf(caller, options())
      .listJobs()
      .catch((thrown: unknown) => thrown)
    expect(error).toBeInstanceOf(AuthenticationFailed)
    expect(error).toMatchObject({ name, status: 401 })
  })

  // Last, because the service then wants to hear no more from this address.
  test('RateLimitExceeded: too many failures', async () => {
    const wrong = clientOf({ did: caller.did, key: stranger.key }, { retry: { retryAfterMaxMs: 0 } })
    const calls = await Promise.allSettled(Array.from({ length: 40 }, () => wrong.listJobs()))
    const errors = calls.map((call) => (call.status === 'rejected' ? (call.reason as unknown) : null))
    const limited = errors.find((error) => error instanceof RateLimitExceeded)
    expect(limited).toMatchObject({ status: 429, name: 'RateLimitExceeded' })
    expect(limited?.retryAfter).toBeGreaterThan(0)
    expect(limited?.retryAfter).toBeLessThanOrEqual(60)
  })
})

function byUri<T extends { readonly uri: string }>(records: readonly T[]): Map<string, T> {
  return new Map(records.map((record) => [record.uri, record]))
}
