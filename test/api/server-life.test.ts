import { once } from 'node:events'
import { Agent, get } from 'node:http'
import { Secp256k1Keypair } from '@atproto/crypto'
import pg from 'pg'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { SetupError } from '../../src/errors.js'
import { VERSION } from '../../src/version.js'
import { createDatabase, type TestDatabase } from '../support/database.js'
import { type Caller, createPlcCaller } from '../support/network/caller.js'
import { LoopbackServer, sendJson } from '../support/network/loopback.js'
import { mintJwt } from '../support/network/service-jwt.js'
import { startTestService, type TestService } from '../support/service.js'
import { eventually } from '../support/wait.js'
import { DatabaseProxy } from './database-proxy.js'
import { callRaw, type Directory, exchange, nsid, startDirectory } from './support.js'

const LIST_JOBS = nsid('listJobs')
const COLLECTIONS = ['network.example.status']

let network: Directory
let caller: Caller

beforeAll(async () => {
  network = await startDirectory()
  caller = await createPlcCaller(network.plc)
})

afterAll(async () => {
  await network?.[Symbol.asyncDispose]()
})

const at = (path: string, on: TestService) => `${on.url}${path}`
const health = (on: TestService) => exchange(at('/xrpc/_health', on))

describe('health', () => {
  test('of a process without an engine, and of one with', async () => {
    await using idle = await startTestService({ network, engine: false })
    expect(await health(idle)).toMatchObject({
      status: 200,
      json: { version: VERSION, database: 'ok', engine: 'elsewhere' },
    })
    await using working = await startTestService({ network })
    expect(await health(working)).toMatchObject({ status: 200, json: { database: 'ok', engine: 'running' } })
  })
})

describe('a service whose database goes away', () => {
  let database: TestDatabase
  let proxy: DatabaseProxy
  let cut: TestService
  beforeAll(async () => {
    database = await createDatabase()
    proxy = await DatabaseProxy.start(database.url)
    cut = await startTestService({ network, engine: false, environment: { DATABASE_URL: proxy.url } })
  })
  afterAll(async () => {
    await cut?.[Symbol.asyncDispose]()
    await proxy?.[Symbol.asyncDispose]()
    await database?.[Symbol.asyncDispose]()
  })

  test('says so, answers without detail, and goes on when it is back', async () => {
    expect((await health(cut)).status).toBe(200)
    const { data: job } = await cut.as(caller).createJob({ collections: COLLECTIONS })
    await proxy.stop()
    expect(await health(cut)).toMatchObject({ status: 503, json: { database: 'unreachable' } })
    const failed = await callRaw(cut, caller, 'listJobs')
    expect(failed).toMatchObject({ status: 503, json: { error: 'DatabaseUnavailable' } })
    expect(failed.text).not.toMatch(/postgres|sql|connect|127\.0\.0\.1/i)
    expect((await exchange(at(`/xrpc/${nsid('describeService')}`, cut))).status).toBe(200)
    await proxy.restart()
    expect((await health(cut)).status).toBe(200)
    expect((await cut.as(caller).getJobStatus({ job: job.id })).data).toEqual(job)
  })

  test('says so soon when it does not answer either', async () => {
    proxy.setSilent(true)
    // The first may still learn from a connection that breaks; from then on there is only silence.
    for (const _ of ['broken', 'silent']) {
      const began = Date.now()
      expect(await health(cut)).toMatchObject({ status: 503, json: { database: 'unreachable' } })
      expect(Date.now() - began).toBeLessThan(8_000)
    }
    proxy.setSilent(false)
    await eventually(
      () => health(cut),
      ({ status }) => status === 200,
    )
  })
})

describe('stopping', () => {
  /** A caller whose key is not to be had before `release`: its request stays under way until then. */
  async function slowCaller() {
    const { promise: released, resolve: release } = Promise.withResolvers<void>()
    const { promise: asked, resolve: noticeRequest } = Promise.withResolvers<void>()
    const key = await Secp256k1Keypair.create()
    const server = await LoopbackServer.start(async (_url, _request, response) => {
      noticeRequest()
      await released
      const publicKeyMultibase = key.did().slice('did:key:'.length)
      const method = { id: `${did}#atproto`, type: 'Multikey', controller: did, publicKeyMultibase }
      sendJson(response, 200, { id: did, verificationMethod: [method] })
    })
    const did = `did:web:localhost%3A${server.port}`
    return {
      authorization: async (on: TestService) =>
        `Bearer ${await mintJwt(did, key, { aud: on.did, lxm: LIST_JOBS })}`,
      asked,
      release,
      [Symbol.asyncDispose]: () => server[Symbol.asyncDispose](),
    }
  }

  test('lets requests under way end, takes no new ones, and is quick about it', async () => {
    await using slow = await slowCaller()
    const stopping = await startTestService({ network, engine: false })
    const headers = { authorization: await slow.authorization(stopping) }
    const underWay = exchange(at(`/xrpc/${LIST_JOBS}`, stopping), { headers })
    await slow.asked
    let hasStopped = false
    const stopped = stopping[Symbol.asyncDispose]().then(() => {
      hasStopped = true
    })
    await expect(health(stopping)).rejects.toThrow()
    expect(hasStopped).toBe(false)
    const began = Date.now()
    slow.release()
    expect(await underWay).toMatchObject({ status: 200, json: { jobs: [] } })
    await stopped
    expect(Date.now() - began).toBeLessThan(6_000)
  })

  test('does not wait for connections that are kept open', async () => {
    const stopping = await startTestService({ network, engine: false })
    const agent = new Agent({ keepAlive: true })
    const [response] = await once(get(at('/xrpc/_health', stopping), { agent }), 'response')
    await response.toArray()
    expect(Object.keys(agent.freeSockets)).toHaveLength(1)
    const began = Date.now()
    await stopping[Symbol.asyncDispose]()
    expect(Date.now() - began).toBeLessThan(6_000)
    agent.destroy()
  })
})

describe('starting', () => {
  test('fails with a word on the port when somebody has it, and leaves nothing open', async () => {
    await using taken = await LoopbackServer.start(() => {})
    await using database = await createDatabase()
    const environment = { PORT: String(taken.port) }
    const failed = startTestService({ network, engine: false, database, environment })
    await expect(failed).rejects.toThrow(SetupError)
    await expect(failed).rejects.toThrow(`Cannot listen on 127.0.0.1:${taken.port}: listen EADDRINUSE`)
    const client = new pg.Client({ connectionString: database.url })
    await client.connect()
    const others = `select 1 from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid()`
    await eventually(
      async () => (await client.query(others)).rows.length,
      (count) => count === 0,
    )
    await client.end()
  })
})
