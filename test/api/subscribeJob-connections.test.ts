import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { addRepos } from '../../src/store/listings.js'
import { createDatabase } from '../support/database.js'
import { type Caller, createPlcCaller } from '../support/network/caller.js'
import { startTestService, type TestService } from '../support/service.js'
import { eventually } from '../support/wait.js'
import { DatabaseProxy } from './database-proxy.js'
import { countQueries, endOf, METHOD, openStream, startJob } from './subscribeJob-support.js'
import { type Directory, startDirectory } from './support.js'

let network: Directory
let on: TestService
let caller: Caller

beforeAll(async () => {
  network = await startDirectory()
  caller = await createPlcCaller(network.plc)
  const environment = { QUOTA_REQUESTS_PER_MINUTE: '0', QUOTA_STREAMS: '0' }
  on = await startTestService({ network, engine: false, environment })
})

afterAll(async () => {
  await on?.[Symbol.asyncDispose]()
  await network?.[Symbol.asyncDispose]()
})

const pause = (milliseconds: number) => new Promise((resolve) => setTimeout(resolve, milliseconds))

describe('many connections', () => {
  test('200 on one job cost the database no more than one, and nothing once they have left', async () => {
    const job = await startJob(on, caller, 12)
    await job.resolve(...job.dids)
    const costOf = async (connections: number, dids: readonly string[]) => {
      const streams = await Promise.all(
        Array.from({ length: connections }, () => openStream(on, caller, { job: job.id })),
      )
      for (const stream of streams) await stream.until('#jobSnapshot')
      await pause(1_500)
      const began = performance.now()
      const queries = await countQueries(on, async () => {
        const over = pause(2_500)
        for (const did of dids) {
          await job.complete(did)
          await pause(300)
        }
        await over
      })
      for (const stream of streams) await stream.until('#repoFetched', dids.length)
      const seconds = (performance.now() - began) / 1_000
      for (const stream of streams) await stream[Symbol.asyncDispose]()
      return { queries, seconds }
    }
    const one = await costOf(1, job.dids.slice(0, 6))
    const many = await costOf(200, job.dids.slice(6))
    expect(one.queries).toBeGreaterThan(6)
    // Looks are made by the clock: on a busy machine the same takes longer.
    const later = Math.max(0, many.seconds - one.seconds)
    expect(many.queries).toBeLessThan(one.queries + 6 + 4 * later)
    // More than the pause between two looks.
    const idle = () => countQueries(on, async () => void (await pause(1_500)))
    await eventually(idle, (queries) => queries === 0)
  }, 60_000)

  test('one that reads nothing is ended as too slow, and can come back; another one misses nothing', async () => {
    const job = await startJob(on, caller, 1)
    await using stalled = await openStream(on, caller, { job: job.id })
    await using reader = await openStream(on, caller, { job: job.id })
    for (const stream of [stalled, reader]) await stream.until('#jobSnapshot')
    stalled.socket.pause()
    // Long names, so that what the system holds for a connection is full soon.
    const names = Array.from({ length: 12_000 }, (_, n) => `did:web:n${n}.example:${'x'.repeat(2_000)}`)
    const { db } = on.service.store
    for (let from = 0; from < names.length; from += 2_000) {
      const some = names.slice(from, from + 2_000)
      await db.transaction().execute((trx) => addRepos(trx, job.key, some))
    }
    await reader.until('#repoDiscovered', names.length, 40_000)
    expect(new Set(reader.of('#repoDiscovered').map(({ did }) => did)).size).toBe(names.length)
    expect(reader.ending).toBeNull()
    stalled.socket.resume()
    expect(await endOf(stalled)).toMatchObject({ error: 'ConsumerTooSlow', code: 1008 })
    const seen = stalled.of('#repoDiscovered').map(({ did }) => did)
    expect(seen.length).toBeLessThan(names.length)
    await using back = await openStream(on, caller, { job: job.id, cursor: stalled.lastSeq })
    await back.until('#repoDiscovered', names.length - seen.length, 40_000)
    expect(new Set([...seen, ...back.of('#repoDiscovered').map(({ did }) => did)]).size).toBe(names.length)
  }, 90_000)
})

describe('the other end', () => {
  test('is asked whether it is there, and cut off when it does not answer', async () => {
    await using quick = await startTestService({ network, engine: false, overrides: { pingEveryMs: 200 } })
    const job = await startJob(quick, caller, 1)
    await using answers = await openStream(quick, caller, { job: job.id })
    await using silent = await openStream(quick, caller, { job: job.id }, { autoPong: false })
    let pings = 0
    answers.socket.on('ping', () => {
      pings += 1
    })
    expect((await silent.end()).code).toBe(1006)
    await eventually(
      () => pings,
      (count) => count > 4,
    )
    expect(answers.ending).toBeNull()
  })

  test('has nothing to say', async () => {
    const job = await startJob(on, caller, 1)
    await using chatty = await openStream(on, caller, { job: job.id })
    chatty.socket.send('hello')
    await chatty.until('#jobSnapshot')
    chatty.socket.send('x'.repeat(2_000))
    expect((await chatty.end()).code).toBe(1009)
  })

  test('is told when it asks without a WebSocket', async () => {
    const response = await fetch(`${on.url}/xrpc/${METHOD}?job=3l3qo2vuowo2b`)
    expect(response.status).toBe(426)
    expect(response.headers.get('upgrade')).toBe('websocket')
    expect(await response.json()).toMatchObject({ error: 'InvalidRequest' })
  })
})

describe('a service that stops', () => {
  test('ends its streams at once with 1012, whoever reads them or not; the next one goes on from a cursor', async () => {
    await using database = await createDatabase()
    const start = () => startTestService({ network, engine: false, database })
    const first = await start()
    const job = await startJob(first, caller, 4)
    const [a, b, c, d] = job.dids as [string, string, string, string]
    await job.resolve(a, b)
    const stream = await openStream(first, caller, { job: job.id, cursor: 0 })
    const silent = await openStream(first, caller, { job: job.id })
    await stream.until('#repoResolved', 2)
    await job.complete(a)
    await stream.until('#repoFetched')
    silent.socket.pause()
    const began = performance.now()
    await first[Symbol.asyncDispose]()
    // One that does not agree is cut off after a second.
    expect(performance.now() - began).toBeLessThan(8_000)
    expect(await stream.end()).toEqual({ code: 1012, reason: 'the service restarts' })
    await silent[Symbol.asyncDispose]()

    await using second = await start()
    const again = await startJob(second, caller, 0)
    expect(again.key).toBeGreaterThan(job.key)
    await using rest = await openStream(second, caller, { job: job.id, cursor: stream.lastSeq })
    await rest.until('#jobCounters')
    expect(rest.types).toEqual(['#jobCounters'])
    await using early = await openStream(second, caller, { job: job.id, cursor: 0 })
    await early.until('#jobCounters')
    const told = early.messages.map(({ type, did }) => [type, did])
    expect(told.slice(0, 4)).toEqual([
      ['#repoDiscovered', c],
      ['#repoDiscovered', d],
      ['#repoResolved', b],
      ['#repoFetched', a],
    ])
  })
})

describe('a database that goes away', () => {
  test('leaves the streams open, and they go on when it is back', async () => {
    await using database = await createDatabase()
    await using proxy = await DatabaseProxy.start(database.url)
    await using cut = await startTestService({
      network,
      engine: false,
      environment: { DATABASE_URL: proxy.url },
    })
    const job = await startJob(cut, caller, 3)
    await using stream = await openStream(cut, caller, { job: job.id })
    await stream.until('#jobSnapshot')
    await proxy.stop()
    await pause(1_500)
    await using refused = await openStream(cut, caller, { job: job.id })
    expect((await endOf(refused)).code).toBe(1008)
    expect(JSON.stringify(refused.errors)).not.toMatch(/connect|127\.0\.0\.1|terminated/i)
    expect(stream.ending).toBeNull()
    await proxy.restart()
    await job.resolve(...job.dids)
    await stream.until('#repoResolved', 3)
    cut.service.notices.tell([job.key])
  })
})
