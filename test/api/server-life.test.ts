import { once } from 'node:events'
import { Agent, get } from 'node:http'
import pg from 'pg'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { SetupError } from '../../src/errors.js'
import { VERSION } from '../../src/version.js'
import { createDatabase, type TestDatabase } from '../support/database.js'
import { type Caller, createPlcCaller } from '../support/network/caller.js'
import { LoopbackServer } from '../support/network/loopback.js'
import { startTestService, type TestService } from '../support/service.js'
import { eventually } from '../support/wait.js'
import { DatabaseProxy } from './database-proxy.js'
import { callRaw, type Directory, exchange, nsid, startDirectory } from './support.js'

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
    expect([500, 503]).toContain(failed.status)
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
      expect(Date.now() - began).toBeLessThan(4_000)
    }
    proxy.setSilent(false)
    await eventually(
      () => health(cut),
      ({ status }) => status === 200,
    )
  })
})

describe('stopping', () => {
  /** Holds up every request that looks at jobs until it is disposed of. */
  async function holdJobs(database: TestDatabase): Promise<AsyncDisposable & { waiting(): Promise<number> }> {
    const client = new pg.Client({ connectionString: database.url })
    await client.connect()
    await client.query('begin; lock table job in access exclusive mode')
    return {
      async waiting() {
        const { rows } = await client.query('select 1 from pg_locks where not granted')
        return rows.length
      },
      [Symbol.asyncDispose]: () => client.end(),
    }
  }

  test('lets requests under way end, takes no new ones, and is quick about it', async () => {
    await using database = await createDatabase()
    const stopping = await startTestService({ network, engine: false, database })
    const { data: job } = await stopping.as(caller).createJob({ collections: COLLECTIONS })
    let underWay: Promise<unknown>
    let stopped: PromiseLike<void>
    {
      await using held = await holdJobs(database)
      underWay = stopping.as(caller).listJobs()
      await eventually(held.waiting, (count) => count === 1)
      stopped = stopping[Symbol.asyncDispose]()
      await eventually(
        () => health(stopping).catch((error: Error) => error),
        (answer) => answer instanceof Error,
      )
    }
    const began = Date.now()
    expect(await underWay).toMatchObject({ data: { jobs: [job] } })
    await stopped
    expect(Date.now() - began).toBeLessThan(2_000)
  })

  test('does not wait for connections that are kept open', async () => {
    const stopping = await startTestService({ network, engine: false })
    const agent = new Agent({ keepAlive: true })
    const [response] = await once(get(at('/xrpc/_health', stopping), { agent }), 'response')
    await response.toArray()
    expect(Object.keys(agent.freeSockets)).toHaveLength(1)
    const began = Date.now()
    await stopping[Symbol.asyncDispose]()
    expect(Date.now() - began).toBeLessThan(2_000)
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
