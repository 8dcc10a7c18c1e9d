import { randomBytes } from 'node:crypto'
import { AtpAgent } from '@atproto/api'
import { XRPCError } from '@atproto/xrpc'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import WebSocket from 'ws'
import { AtpBaseClient } from '../../codegen/client/index.js'
import { schemas } from '../../codegen/client/lexicons.js'
import { withOAuthSession } from '../../src/cli/oauth.js'
import { BackfillClient, PdsSession } from '../../src/client/index.js'
import { Closers } from '../../src/closers.js'
import { isRecord, linesIn, postsOf, typeOf } from '../api/delivery-support.js'
import { Stream } from '../api/subscribeJob-support.js'
import { exchange, nsid, refusal } from '../api/support.js'
import { addJob, completeJob, completion, didsOf, drive, POST, writeSteps } from '../support/fixtures.js'
import { collectRecords, collectRepos, finished } from '../support/jobs.js'
import { createAccount, putRecords, type StoredRecord } from '../support/network/accounts.js'
import { TestBrowser } from '../support/network/browser.js'
import { createServiceDid } from '../support/network/caller.js'
import { findFreePort } from '../support/network/loopback.js'
import { type Network, startNetwork } from '../support/network/network.js'
import type { TestPds } from '../support/network/pds.js'
import { type Backfill, startTestService, type TestService } from '../support/service.js'

/**
 * Accounts that call by way of their own PDS, the reference one, which signs for them (`atproto-proxy`); and what does
 * not go that way and is called directly with a token from the same PDS (`getServiceAuth`).
 */

const NOTE = 'com.example.note'
const PASSWORD = 'correct horse battery staple'
const NO_JOB = '3l3qo2vuowo2b'
/** What the PDS lets through of one answer. */
const PDS_ANSWER_BYTES = 10 * 1024 * 1024

const closers = new Closers()
let network: Network
let pds: TestPds
/** A service with a did:plc that works on its jobs. */
let service: TestService
/** A service with a did:web whose jobs stay as they are. */
let idle: TestService
/** May create jobs and read them. */
let user: AtpAgent
let admin: AtpAgent
let owner: string
let notes: StoredRecord[]

beforeAll(async () => {
  network = closers.use(await startNetwork({ pdsCount: 1 }))
  pds = network.pdses[0]!
  const account = await createAccount(pds, 'owner-1')
  owner = account.did
  notes = await putRecords(
    account,
    NOTE,
    Array.from({ length: 7 }, (_, n) => ({ n })),
  )
  user = await logInAs('user-1')
  admin = await logInAs('admin-1')
  const callers = {
    BACKFILL_ACCESS: 'allowlist',
    BACKFILL_ALLOW: user.assertDid,
    BACKFILL_ADMINS: admin.assertDid,
  }
  const port = await findFreePort()
  const did = await createServiceDid(network.plc, `http://localhost:${port}`)
  const environment = { ...callers, PORT: String(port), SERVICE_DID: did }
  service = closers.use(await startTestService({ network, environment }))
  idle = closers.use(await startTestService({ network, environment: callers, engine: false }))
})
afterAll(() => closers.close())

/** A new account, logged in as other programs are: with an app password. */
async function logInAs(name: string): Promise<AtpAgent> {
  const handle = `${name}${pds.handleDomain}`
  const owner = new AtpAgent({ service: pds.url })
  await owner.createAccount({ handle, email: `${name}@mail.test`, password: PASSWORD })
  const { data } = await owner.com.atproto.server.createAppPassword({ name: 'aquifer' })
  const agent = new AtpAgent({ service: pds.url })
  await agent.login({ identifier: handle, password: data.password })
  return agent
}

/** The generated client, by way of the account's PDS. */
function proxied(agent: AtpAgent, on: TestService): Backfill {
  const { fetchHandler } = agent.withProxy('atproto_backfill', on.did)
  return new AtpBaseClient(fetchHandler).network.example.backfill
}

/** One exchange with the PDS as it is on the wire, with the header as given. */
function askPds(method: string, proxy: string, init: RequestInit = {}, query = '') {
  const headers = new Headers(init.headers)
  headers.set('authorization', `Bearer ${user.session!.accessJwt}`)
  headers.set('atproto-proxy', proxy)
  return exchange(`${pds.url}/xrpc/${nsid(method)}${query}`, { ...init, headers })
}

async function tokenFor(audience: string, method: string | null, lifetimeS?: number): Promise<string> {
  const exp = lifetimeS === undefined ? undefined : Math.floor(Date.now() / 1_000) + lifetimeS
  const { data } = await user.com.atproto.server.getServiceAuth({
    aud: audience,
    ...(method !== null && { lxm: nsid(method) }),
    exp,
  })
  return data.token
}

/** A direct call with a token of the PDS. */
const callWith = (token: string, path: string, headers: Readonly<Record<string, string>> = {}) =>
  exchange(`${service.url}/xrpc/${nsid(path)}`, { headers: { authorization: `Bearer ${token}`, ...headers } })

describe('by way of the PDS of an account', () => {
  test('a job is created, followed and read by its user, whoever carries the request', async () => {
    const backfill = proxied(user, service)
    const { data: created } = await backfill.createJob({ collections: [NOTE], repos: [owner], name: 'notes' })
    expect(created).toMatchObject({ caller: user.assertDid, name: 'notes', status: 'running' })
    const job = await finished(backfill, created.id)
    expect(job).toMatchObject({ status: 'completed', completedRepos: 1, totalRecords: notes.length })
    const { data: listed } = await backfill.listJobs({})
    expect(listed.jobs).toMatchObject([{ id: job.id, caller: user.assertDid, name: 'notes' }])
    expect(await collectRepos(backfill, job.id)).toMatchObject([{ did: owner, pdsEndpoint: pds.url }])
    expect((await backfill.getPdsSummary({ job: job.id })).data.pdsEndpoints).toMatchObject([
      { pdsEndpoint: pds.url, completedRepos: 1 },
    ])
    const uris = notes.map(({ uri }) => uri).sort()
    const found = await collectRecords(backfill, { job: job.id, limit: 3 })
    expect(found.map(({ uri }) => uri)).toEqual(uris)

    const { data: again } = await backfill.refreshJob({ job: job.id })
    expect(await finished(backfill, again.id)).toMatchObject({ status: 'completed' })
    await backfill.deleteJobDetails({ job: again.id })
    expect(await refusal(backfill.listJobRepos({ job: again.id }))).toMatchObject({
      status: 400,
      error: 'DetailsDeleted',
    })
    await backfill.purgeJob({ job: job.id })
    await backfill.deleteAllJobDetails()
    expect((await backfill.getJobStatus({ job: job.id })).data.status).toBe('completed')
  })

  test('a job of a service with a did:web is paused, resumed and cancelled', async () => {
    const backfill = proxied(user, idle)
    expect(idle.did).toMatch(/^did:web:/)
    const { data } = await backfill.createJob({ collections: [NOTE], repos: [owner] })
    const job = data.id
    const status = async () => (await backfill.getJobStatus({ job })).data.status
    // Told as they were asked for; nothing is in flight that would have to end.
    expect((await backfill.pauseJob({ job })).data).toMatchObject({ id: job, status: 'pausing' })
    expect(await status()).toBe('paused')
    expect((await backfill.resumeJob({ job })).data.status).toBe('running')
    expect((await backfill.cancelJob({ job })).data.status).toBe('cancelling')
    expect(await status()).toBe('cancelled')
    expect(await refusal(backfill.retryJob({ job }))).toMatchObject({ status: 400, error: 'InvalidState' })
  })

  test('an admin says who may call', async () => {
    const backfill = proxied(admin, service)
    const guest = await logInAs('guest-1')
    const refused = { status: 403, error: 'NotPermitted' }
    expect(await refusal(proxied(guest, service).listJobs({}))).toMatchObject(refused)
    await backfill.putCaller({ did: guest.assertDid, permissions: ['read'] })
    expect((await proxied(guest, service).listJobs({})).data.jobs).toEqual([])
    const { data } = await backfill.listCallers({})
    expect(data.callers.map(({ did }) => did)).toContain(guest.assertDid)
    await backfill.deleteCaller({ did: guest.assertDid })
    expect(await refusal(proxied(guest, service).listJobs({}))).toMatchObject(refused)
    expect(await refusal(proxied(user, service).listCallers({}))).toMatchObject(refused)
  })

  test('errors keep their status, name and message', async () => {
    const backfill = proxied(user, service)
    expect(await refusal(backfill.getJobStatus({ job: NO_JOB }))).toEqual({
      status: 400,
      error: 'JobNotFound',
      message: expect.stringContaining(NO_JOB),
    })
    expect(
      await refusal(backfill.createJob({ collections: [NOTE], repos: [owner], hosts: ['a.example'] })),
    ).toEqual({
      status: 400,
      error: 'InvalidRequest',
      message: expect.stringContaining('hosts'),
    })
    expect(await refusal(backfill.createJob({ collections: ['nothing'], repos: [owner] }))).toMatchObject({
      status: 400,
      error: 'InvalidCollection',
    })
    // What the lexicon itself rules out, which the generated client would not send.
    expect(await askPds('listJobs', `${service.did}#atproto_backfill`, {}, '?limit=many')).toMatchObject({
      status: 400,
      json: { error: 'InvalidRequest', message: expect.stringContaining('limit') },
    })
  })

  test('a request that is too large is refused as it is elsewhere', async () => {
    const body = JSON.stringify({ collections: [NOTE], repos: [owner], name: 'x'.repeat(2 * 1024 * 1024) })
    const init = { method: 'POST', body, headers: { 'content-type': 'application/json' } }
    const { status, json } = await askPds('createJob', `${service.did}#atproto_backfill`, init)
    expect({ status, json }).toMatchObject({ status: 413, json: { error: 'PayloadTooLarge' } })
  })

  test('who asks too often is told by the message when to come back: headers do not get through', async () => {
    const eager = await logInAs('eager-1')
    const did = eager.assertDid
    await proxied(admin, service).putCaller({ did, permissions: ['read'], quotas: { requestsPerMinute: 1 } })
    const backfill = proxied(eager, service)
    // The minute may end in between.
    const calls = await Promise.allSettled(Array.from({ length: 3 }, () => backfill.listJobs({})))
    const refused = calls.flatMap((call) => (call.status === 'rejected' ? [call.reason as XRPCError] : []))
    expect(refused.length).toBeGreaterThan(0)
    for (const error of refused) {
      expect(error).toBeInstanceOf(XRPCError)
      expect(error).toMatchObject({ status: 429, error: 'RateLimitExceeded' })
      expect(error.message).toMatch(/try again in [1-9]\d* s$/)
      expect(Object.keys(error.headers!).filter(isOfLimits)).toEqual([])
    }
    const answer = await askPds('listJobs', `${service.did}#atproto_backfill`)
    expect(answer.status).toBe(200)
    expect([...answer.headers.keys()].filter(isOfLimits)).toEqual([])
  })

  const isOfLimits = (name: string) => /^ratelimit|^retry-after$/.test(name)

  test('describeService needs an account there, and none directly', async () => {
    expect((await proxied(user, service).describeService()).data.did).toBe(service.did)
    const headers = { 'atproto-proxy': `${service.did}#atproto_backfill` }
    const path = `/xrpc/${nsid('describeService')}`
    expect(await exchange(`${pds.url}${path}`, { headers })).toMatchObject({ status: 401 })
    expect(await exchange(`${service.url}${path}`)).toMatchObject({ status: 200 })
  })

  test('the header names the service with its fragment, and the PDS says so', async () => {
    expect(await askPds('listJobs', service.did)).toMatchObject({
      status: 400,
      json: { error: 'InvalidRequest', message: expect.stringContaining('service id') },
    })
    expect(await askPds('listJobs', `${service.did}#another`)).toMatchObject({
      status: 400,
      json: { error: 'InvalidRequest', message: expect.stringContaining('service url') },
    })
  })

  test('a small export comes through, compressed if wanted', async () => {
    const job = await storeJob(3, 10)
    const proxy = `${idle.did}#atproto_backfill`
    for (const coding of ['identity', 'gzip']) {
      const init = { headers: { 'accept-encoding': coding } }
      const { status, headers, text } = await askPds('exportRecords', proxy, init, `?job=${job}`)
      expect({ status, type: headers.get('content-type') }).toEqual({
        status: 200,
        type: 'application/jsonl; charset=utf-8',
      })
      expect(headers.get('content-encoding') ?? 'identity').toBe(coding)
      expect(linesIn(text).filter(isRecord)).toHaveLength(3)
      expect(typeOf(linesIn(text).at(-1)!)).toBe('trailer')
    }
  })

  test('a program with an OAuth session calls the methods that the account let it, and no others', async () => {
    const [did, signal] = [user.assertDid, new AbortController().signal]
    const account = { did, pds: pds.url }
    const aud = `${service.did}#atproto_backfill`
    const may = (method: string) => `rpc:${nsid(method)}?aud=${encodeURIComponent(aud)}`
    const show = async (page: URL) =>
      fetch(await new TestBrowser().allow(page, { did, identifier: did, password: PASSWORD }))
    const options = { account, signal, show, locate: async () => account }
    const scope = `atproto ${may('listJobs')} ${may('exportRecords')}` as const
    await withOAuthSession({ ...options, scope }, async (fetchAsUser) => {
      const ask = async (path: string, headers: Record<string, string> = {}) => {
        const response = await fetchAsUser(`${pds.url}/xrpc/${path}`, { headers })
        return { status: response.status, json: await response.json() }
      }
      const proxy = { 'atproto-proxy': aud }
      expect(await ask(nsid('listJobs'), proxy)).toMatchObject({
        status: 200,
        json: { jobs: expect.arrayContaining([expect.objectContaining({ caller: did, name: 'notes' })]) },
      })
      const refused = { status: 403, json: { error: 'ScopeMissingError' } }
      expect(await ask(`${nsid('getJobStatus')}?job=${NO_JOB}`, proxy)).toMatchObject(refused)
      // For a direct call the audience is the one of the scope.
      const tokenOf = (audience: string) =>
        ask(
          `com.atproto.server.getServiceAuth?aud=${encodeURIComponent(audience)}&lxm=${nsid('exportRecords')}`,
        )
      expect(await tokenOf(service.did)).toMatchObject(refused)
      const { token } = (await tokenOf(aud)).json as { token: string }
      expect(await callWith(token, `exportRecords?job=${NO_JOB}`)).toMatchObject({
        status: 400,
        json: { error: 'JobNotFound' },
      })
    })
  })

  test('every query and procedure went this way', () => {
    const methods = schemas.flatMap(({ id, defs }) =>
      'main' in defs && ['query', 'procedure'].includes(defs.main.type) ? [id] : [],
    )
    expect(methods.length).toBeGreaterThan(15)
    expect(methods.filter((id) => pds.requests.of(id) === 0)).toEqual([])
  })
})

let stored = 0

/** A finished job of the user with one repo of its own. */
async function storeJob(count: number, textLength: number): Promise<string> {
  const { store } = idle.service
  stored += 1
  const repos = didsOf(1, stored)
  const job = await addJob(store, { caller: user.assertDid, collections: [POST], repos })
  const host = await drive(store.db, `https://pds-${stored}.example`)
  // Nothing that compression makes small.
  const rows = postsOf(job, count, { text: randomBytes(textLength / 2).toString('hex') })
  await writeSteps(store, completion(job, repos[0]!, host, rows))
  await completeJob(store.db, job.key)
  return job.id
}

describe('what a PDS does not carry', () => {
  test('an export beyond its limit is cut, and comes whole directly; pages fit', async () => {
    const count = 60
    const job = await storeJob(count, 200_000)
    const proxy = `${idle.did}#atproto_backfill`
    const cut = askPds('exportRecords', proxy, { headers: { 'accept-encoding': 'identity' } }, `?job=${job}`)
    await expect(cut).rejects.toThrow('terminated')

    const token = await tokenFor(idle.did, 'exportRecords')
    const headers = { authorization: `Bearer ${token}`, 'accept-encoding': 'identity' }
    const whole = await exchange(`${idle.url}/xrpc/${nsid('exportRecords')}?job=${job}`, { headers })
    expect(whole.text.length).toBeGreaterThan(PDS_ANSWER_BYTES)
    const lines = linesIn(whole.text)
    expect(lines.filter(isRecord)).toHaveLength(count)
    expect(lines.at(-1)).toMatchObject({ records: count, jobEnded: true })

    expect(await collectRecords(proxied(user, idle), { job, limit: 1_000 })).toHaveLength(count)
  })

  test('subscriptions: neither as a WebSocket nor as a request', async () => {
    const job = await storeJob(1, 10)
    const proxy = `${idle.did}#atproto_backfill`
    for (const method of ['subscribeJob', 'subscribeRecords']) {
      expect((await askPds(method, proxy, {}, `?job=${job}`)).status).toBe(426)
      const headers = { authorization: `Bearer ${user.session!.accessJwt}`, 'atproto-proxy': proxy }
      const url = `${pds.url.replace('http', 'ws')}/xrpc/${nsid(method)}?job=${job}`
      const stream = new Stream(new WebSocket(url, { headers }), nsid(method))
      expect(await stream.end()).toMatchObject({ code: 1006 })
      expect(stream.messages).toEqual([])
    }
  })
})

describe('directly, with a token of the PDS', () => {
  test.each([
    ['the bare DID', () => service.did],
    ['the DID with our fragment', () => `${service.did}#atproto_backfill`],
  ])('%s is the audience', async (_, audience) => {
    expect(await callWith(await tokenFor(audience(), 'listJobs'), 'listJobs')).toMatchObject({ status: 200 })
    const forLong = await tokenFor(audience(), 'listJobs', 59 * 60)
    expect(await callWith(forLong, 'listJobs')).toMatchObject({ status: 200 })
    expect(await callWith(forLong, 'listJobs')).toMatchObject({ status: 401, json: { error: 'JwtReplayed' } })
  })

  test.each<[string, string, () => [audience: string, method: string | null]]>([
    ['another method', 'BadJwtLexiconMethod', () => [service.did, 'createJob']],
    ['any method', 'BadJwtLexiconMethod', () => [service.did, null]],
    ['another service', 'BadJwtAudience', () => [idle.did, 'listJobs']],
    ['another fragment', 'BadJwtAudience', () => [`${service.did}#bsky_appview`, 'listJobs']],
    ["another service's fragment", 'BadJwtAudience', () => [`${idle.did}#atproto_backfill`, 'listJobs']],
  ])('a token for %s is refused', async (_, error, parts) => {
    expect(await callWith(await tokenFor(...parts()), 'listJobs')).toMatchObject({
      status: 401,
      json: { error },
    })
  })

  describe('streams', () => {
    let job: string

    beforeEach(async () => {
      job = await storeJob(3, 10)
    })

    async function follow(method: string, audience: string): Promise<Stream> {
      const headers = { authorization: `Bearer ${await tokenFor(audience, method)}` }
      const url = `${idle.url.replace('http', 'ws')}/xrpc/${nsid(method)}?job=${job}`
      const socket = new WebSocket(url, { headers })
      closers.add(async () => socket.terminate())
      return new Stream(socket, nsid(method))
    }

    test.each(['', '#atproto_backfill'])(
      'subscribeJob and subscribeRecords (audience: DID%s)',
      async (fragment) => {
        const progress = await follow('subscribeJob', idle.did + fragment)
        await progress.until('#jobSnapshot')
        const records = await follow('subscribeRecords', idle.did + fragment)
        const [message] = await records.until('#records')
        expect(message!.records).toHaveLength(3)
        await records.until('#jobCompleted')
        expect(await records.end()).toMatchObject({ code: 1000 })
      },
    )

    test('the client asks its PDS for each token by itself', async () => {
      const { accessJwt, refreshJwt, did } = user.session!
      const session = PdsSession.resume({ pds: pds.url, did, accessJwt, refreshJwt })
      const client = new BackfillClient({ service: idle.url, session })
      const found = []
      for await (const record of client.allRecords(job)) found.push(record.uri)
      expect(found).toHaveLength(3)
      expect((await client.waitForJob(job)).status).toBe('completed')
    })
  })
})
