import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import {
  AuthenticationFailed,
  BackfillClient,
  FutureCursor,
  generateKey,
  JobNotFound,
  type JobView,
  type Reconnect,
} from '../../src/client/index.js'
import { Closers } from '../../src/closers.js'
import { createDatabase } from '../support/database.js'
import { createAccounts, putRecords } from '../support/network/accounts.js'
import { type Caller, createPlcCaller } from '../support/network/caller.js'
import { findFreePort } from '../support/network/loopback.js'
import { type Network, startNetwork } from '../support/network/network.js'
import { startTestService, type TestService } from '../support/service.js'
import { collect, QUICK_RETRY } from './support.js'

const POST = 'com.example.post'
const NOBODY = 'did:plc:aaaaaaaaaaaaaaaaaaaaaaaa'

describe('a stream of the real service', () => {
  const closers = new Closers()
  let network: Network
  let service: TestService
  let caller: Caller
  let client: BackfillClient
  let repos: string[]
  let job: JobView

  beforeAll(async () => {
    network = closers.use(await startNetwork({ pdsCount: 1 }))
    const names = Array.from({ length: 6 }, (_, index) => `streamed${index}`)
    const accounts = await createAccounts(network.pdses[0]!, names)
    for (const account of accounts) await putRecords(account, POST, [{ text: 'one' }, { text: 'two' }])
    repos = accounts.map(({ did }) => did)
    caller = await createPlcCaller(network.plc)
    service = closers.use(await startTestService({ network }))
    client = new BackfillClient({
      service: service.url,
      retry: QUICK_RETRY,
      did: caller.did,
      key: caller.key,
    })
    job = await client.createJob({ collections: [POST], repos: [...repos, NOBODY] })
  })
  afterAll(() => closers.close())

  test('begins with the whole job and ends with its end', async () => {
    const messages = await collect(client.watch(job.id))
    expect(messages[0]).toMatchObject({ type: 'jobSnapshot', job: job.id, view: { id: job.id } })
    expect(messages.at(-1)).toMatchObject({ type: 'jobCompleted', status: 'completed' })
  })

  test('given to a function ends with how the job ended, or with what the function throws', async () => {
    const types: string[] = []
    const end = await client.consumeEvents(job.id, async ({ type }) => void types.push(type), { cursor: 0 })
    expect(end).toMatchObject({ type: 'jobCompleted', status: 'completed' })
    expect(types.at(-1)).toBe('jobCompleted')
    const fail = () => Promise.reject(new Error('no room'))
    await expect(client.consumeEvents(job.id, fail)).rejects.toThrow('no room')
  })

  test('told again from the beginning has every repo in its latest state', async () => {
    const messages = await collect(client.watch(job.id, { cursor: 0 }))
    const fetched = messages.filter(({ type }) => type === 'repoFetched')
    expect(fetched.map((message) => 'did' in message && message.did).sort()).toEqual(repos.toSorted())
    expect(fetched[0]).toMatchObject({ recordsFetched: 2, level: 'signed' })
    expect(messages.find(({ type }) => type === 'repoFailed')).toMatchObject({
      did: NOBODY,
      class: 'did-not-found',
      retryable: false,
    })
    const places = messages.flatMap((message) => ('seq' in message ? [message.seq] : []))
    expect(places).toEqual(places.toSorted((one, other) => one - other))
  })

  test('is refused by name', async () => {
    const stranger = await createPlcCaller(network.plc)
    const refusalOf = (as: { did: string; key: Caller['key'] }, options = {}) => {
      const other = new BackfillClient({ service: service.url, retry: QUICK_RETRY, ...as })
      return collect(other.watch(job.id, options)).catch((error: unknown) => error)
    }
    expect(await refusalOf(stranger)).toBeInstanceOf(JobNotFound)
    expect(await refusalOf(caller, { cursor: 10 ** 12 })).toBeInstanceOf(FutureCursor)
    const forged = await refusalOf({ did: caller.did, key: await generateKey() })
    expect(forged).toBeInstanceOf(AuthenticationFailed)
    expect(forged).toMatchObject({ name: 'BadJwtSignature', status: 401 })
  })

  test('goes on when the service is started again', async () => {
    await using database = await createDatabase()
    const port = String(await findFreePort())
    const start = () =>
      // Some time between any two repos.
      startTestService({ network, database, environment: { PORT: port, HOST_MAX_RPM: '150' } })
    let running = await start()
    const patient = new BackfillClient({ service: running.url, did: caller.did, key: caller.key })
    const { id } = await patient.createJob({ collections: [POST], repos })
    const reconnects: Reconnect[] = []
    const fetched: string[] = []
    try {
      const onReconnect = (reconnect: Reconnect) => reconnects.push(reconnect)
      for await (const message of patient.watch(id, { cursor: 0, onReconnect })) {
        if (message.type === 'repoFetched') fetched.push(message.did)
        if (message.type !== 'repoFetched' || fetched.length !== 1) continue
        await running[Symbol.asyncDispose]()
        running = await start()
      }
    } finally {
      await running[Symbol.asyncDispose]()
    }
    expect(reconnects.length).toBeGreaterThan(0)
    expect(fetched.toSorted()).toEqual(repos.toSorted())
  })
})
