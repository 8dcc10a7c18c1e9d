import { createHash } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import { gunzipSync, zstdDecompressSync } from 'node:zlib'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { preferredCoding } from '../../src/api/exportRecords.js'
import { tellAccounts } from '../../src/store/accounts.js'
import { CollectionIds } from '../../src/store/collections.js'
import { deleteDetails } from '../../src/store/details.js'
import {
  addJob,
  completion,
  inTransaction,
  LIKE,
  POST,
  record,
  step,
  writeSteps,
} from '../support/fixtures.js'
import { type Caller, createPlcCaller } from '../support/network/caller.js'
import { startTestService, type TestService } from '../support/service.js'
import { eventually } from '../support/wait.js'
import {
  exportLines,
  forgetJobs,
  isRecord,
  type Line,
  linesIn,
  openRecords,
  postsOf,
  replaceRepo,
  requestExport,
  typeOf,
  valued,
} from './delivery-support.js'
import { countQueries, endOf, startJob } from './subscribeJob-support.js'
import { type Directory, nsid, startDirectory } from './support.js'

let network: Directory
let on: TestService
let caller: Caller

beforeAll(async () => {
  network = await startDirectory()
  caller = await createPlcCaller(network.plc)
  on = await startTestService({ network, engine: false, environment: { QUOTA_REQUESTS_PER_MINUTE: '0' } })
})

afterAll(async () => {
  await on?.[Symbol.asyncDispose]()
  await network?.[Symbol.asyncDispose]()
})

beforeEach(() => forgetJobs(on))

const OTHER = 'network.example.other'
const FORMER = '3k22222222222'
const LATER = '3k22222222223'

const trailerOf = (lines: readonly Line[]) => lines.at(-1)!

/** A job whose repos have some posts each and a like. */
async function storedJob(counts: readonly number[]) {
  const job = await startJob(on, caller, counts.length)
  await job.resolve(...job.dids)
  for (const [index, count] of counts.entries()) {
    const like = valued(job.collections.get(LIKE)!, 'like', { index })
    await writeSteps(
      on.service.store,
      completion(job, job.dids[index]!, job.host, [...postsOf(job, count, { index }), like]),
    )
  }
  return job
}

describe('an export', () => {
  test('has the records of each repo, its receipt, and a trailer over all of it', async () => {
    const job = await storedJob([3, 0, 2])
    await job.finish()
    const response = await requestExport(on, caller, { job: job.id })
    expect(response.status).toBe(200)
    expect(response.headers.get('content-type')).toMatch(/^application\/jsonl\b/)
    expect(response.headers.get('content-disposition')).toBe(`attachment; filename="${job.id}.jsonl"`)
    const text = await response.text()
    const lines = linesIn(text)
    const [a, b, c] = job.dids
    expect(lines.map((line) => [typeOf(line), line.uri ?? (line.receipt as Line | undefined)?.did])).toEqual([
      ['record', `at://${a}/${LIKE}/like`],
      ['record', `at://${a}/${POST}/k000000`],
      ['record', `at://${a}/${POST}/k000001`],
      ['record', `at://${a}/${POST}/k000002`],
      ['repoComplete', a],
      ['record', `at://${b}/${LIKE}/like`],
      ['repoComplete', b],
      ['record', `at://${c}/${LIKE}/like`],
      ['record', `at://${c}/${POST}/k000000`],
      ['record', `at://${c}/${POST}/k000001`],
      ['repoComplete', c],
      ['trailer', undefined],
    ])
    const listed = await on.as(caller).listRecords({ job: job.id })
    expect(lines.filter(isRecord)).toEqual(listed.data.records)
    expect(lines.filter(isRecord).map((line) => Object.keys(line).join())).toEqual(
      Array(8).fill('uri,cid,value'),
    )
    const { data } = await on.as(caller).listJobRepos({ job: job.id })
    expect(lines[4]!.receipt).toEqual(data.repos.find(({ did }) => did === a)!.receipt)
    const before = text.slice(0, text.lastIndexOf('\n', text.length - 2) + 1)
    expect(trailerOf(lines)).toEqual({
      $type: `${nsid('exportRecords')}#trailer`,
      records: 8,
      sha256: createHash('sha256').update(before).digest('hex'),
      cursor: expect.any(Number),
      jobEnded: true,
      failedRepos: 0,
      unavailableRepos: 0,
    })
  })

  test('of a job that runs has what is completed so far, and the rest from its cursor', async () => {
    const job = await startJob(on, caller, 4)
    const [a, b, c, d] = job.dids as [string, string, string, string]
    await job.resolve(...job.dids)
    await job.complete(b, a)
    await job.fail(d)
    const sofar = await exportLines(on, caller, { job: job.id })
    expect(sofar.filter(isRecord)).toHaveLength(2)
    expect(trailerOf(sofar)).toMatchObject({ records: 2, jobEnded: false })
    await job.complete(c)
    await job.finish()
    const rest = await exportLines(on, caller, { job: job.id, cursor: Number(trailerOf(sofar).cursor) })
    expect(rest.map(typeOf)).toEqual(['record', 'repoComplete', 'trailer'])
    expect(rest[0]!.uri).toBe(`at://${c}/${POST}/a`)
    expect(trailerOf(rest)).toMatchObject({ records: 1, jobEnded: true })
    const afterFirst = sofar.find((line) => typeOf(line) === 'repoComplete')!.cursor as number
    const again = await exportLines(on, caller, { job: job.id, cursor: afterFirst })
    expect(again.filter(isRecord)).toHaveLength(2)
  })

  test('counts the repos that have no records in it', async () => {
    const job = await startJob(on, caller, 5)
    const [a, b, c, d, e] = job.dids as [string, string, string, string, string]
    await job.complete(a)
    await job.fail(b)
    await job.disappear(c)
    await job.fail(d)
    const countsOf = async (params: object) => {
      const { records, failedRepos, unavailableRepos } = trailerOf(
        await exportLines(on, caller, { job: job.id, ...params }),
      )
      return [records, failedRepos, unavailableRepos]
    }
    expect(await countsOf({})).toEqual([1, 2, 1])
    expect(await countsOf({ repo: d })).toEqual([0, 1, 0])
    const { cursor } = trailerOf(await exportLines(on, caller, { job: job.id }))
    await job.fail(e)
    expect(await countsOf({ cursor })).toEqual([0, 1, 0])
  })

  test('has the receipt that describes its records, when a job that wants more has moved them on', async () => {
    const job = await startJob(on, caller, 1)
    const did = job.dids[0]!
    await writeSteps(on.service.store, completion(job, did, job.host, postsOf(job, 2), { rev: FORMER }))
    await job.finish()
    const other = await addJob(on.service.store, { repos: [did], collections: null })
    const beside = valued((await new CollectionIds(on.service.store.db).of([OTHER])).get(OTHER)!, 'x', {})
    const rows = [...postsOf(job, 5, { version: 2 }), beside]
    const receipt = {
      ...{ scope: other.scope, rev: LATER, dataCid: null, counts: { [POST]: 5, [OTHER]: 1 } },
    }
    await writeSteps(on.service.store, completion(other, did, job.host, rows, { rev: LATER, receipt }))
    const lines = await exportLines(on, caller, { job: job.id })
    expect(lines.filter(isRecord).map(({ value }) => value!.version)).toEqual([2, 2, 2, 2, 2])
    const closing = lines.find((line) => typeOf(line) === 'repoComplete')!
    expect(closing.receipt).toMatchObject({
      rev: LATER,
      counts: [{ collection: POST, count: 5 }],
      totalRecords: 5,
    })
    const { data } = await on.as(caller).listJobRepos({ job: job.id })
    expect(data.repos[0]!.receipt).toEqual(closing.receipt)
    const listed = await on.as(caller).listRecords({ job: job.id })
    expect(listed.data.records).toEqual(lines.filter(isRecord))
  })

  test('is limited to a collection and to a repo', async () => {
    const job = await storedJob([2, 3])
    const likes = await exportLines(on, caller, { job: job.id, collection: LIKE })
    expect(likes.filter(isRecord).map(({ uri }) => uri)).toEqual(
      job.dids.map((did) => `at://${did}/${LIKE}/like`),
    )
    const one = await exportLines(on, caller, { job: job.id, repo: job.dids[1]! })
    expect(one.filter(isRecord)).toHaveLength(4)
    const both = await exportLines(on, caller, { job: job.id, repo: job.dids[1]!, collection: POST })
    expect(trailerOf(both)).toMatchObject({ records: 3 })
  })

  test('has values as they were stored', async () => {
    const job = await startJob(on, caller, 1)
    const value =
      '{"__proto__":{"x":1},"a":"\\u0000 \\ud800 é😀","b":{"$link":"no cid"},"n":12345678901234567890}'
    const row = { ...record(job.collections.get(POST)!, 'odd'), value }
    await writeSteps(on.service.store, completion(job, job.dids[0]!, job.host, [row]))
    const text = await (await requestExport(on, caller, { job: job.id })).text()
    expect(text.split('\n')[0]).toBe(
      `{"uri":"at://${job.dids[0]}/${POST}/odd","cid":"${row.cid}","value":${value}}`,
    )
  })

  test.each([
    ['gzip', gunzipSync],
    ['zstd', zstdDecompressSync],
  ] as const)('is compressed by %s where that is asked for', async (coding, decompress) => {
    const job = await storedJob([200])
    const plain = await requestExport(on, caller, { job: job.id })
    const text = await plain.text()
    // The client of Node unpacks by itself whatever it knows.
    const { request } = await import('node:http')
    const authorization = await caller.authorization({ aud: on.did, lxm: nsid('exportRecords') })
    const headers = { ...authorization, 'accept-encoding': `${coding};q=0.9, identity;q=0.1` }
    const { promise, resolve } = Promise.withResolvers<{ coding: unknown; bytes: Buffer }>()
    request(`${on.url}/xrpc/${nsid('exportRecords')}?job=${job.id}`, { headers }, async (response) => {
      const chunks: Buffer[] = []
      for await (const chunk of response) chunks.push(chunk as Buffer)
      resolve({ coding: response.headers['content-encoding'], bytes: Buffer.concat(chunks) })
    }).end()
    const answer = await promise
    expect(answer.coding).toBe(coding)
    expect(answer.bytes.length).toBeLessThan(text.length / 4)
    expect(decompress(answer.bytes).toString()).toBe(text)
  })

  test.each([
    [undefined, null],
    ['*', null],
    ['gzip', 'gzip'],
    ['gzip, deflate, br, zstd', 'zstd'],
    ['zstd;q=0.5, gzip;q=0.8', 'gzip'],
    ['gzip;q=0', null],
    ['gzip;q=0.5, identity', null],
    ['GZIP ; q=1', 'gzip'],
    ['br', null],
  ])('Accept-Encoding %j means %j', (header, coding) => {
    expect(preferredCoding(header)).toBe(coding)
  })
})

describe('a request that cannot be answered', () => {
  test.each([
    ['another caller', 'JobNotFound'],
    ['a cursor ahead of the job', 'FutureCursor'],
    ['no cursor of this method', 'InvalidRequest'],
    ['details that were deleted', 'DetailsDeleted'],
  ])('%s: %s', async (why, error) => {
    const job = await storedJob([1])
    await job.finish()
    if (error === 'DetailsDeleted') await deleteDetails(on.service.store.db, { key: job.key }, ['completed'])
    const stranger = await createPlcCaller(network.plc)
    const cursors: Record<string, string | number> = { FutureCursor: 1_000_000, InvalidRequest: 'x' }
    const cursor = cursors[error] ?? 0
    const asker = why === 'another caller' ? stranger : caller
    const response = await requestExport(on, asker, { job: job.id, cursor })
    expect([response.status, ((await response.json()) as { error: string }).error]).toEqual([400, error])
  })
})

describe('a slow reader', () => {
  const COUNT = 6_000
  const LONG = { text: 'x'.repeat(4_000) }

  /** Takes the beginning of an export, up to something in it, and then nothing. */
  async function stalled(job: string, upTo = '') {
    const response = await requestExport(on, caller, { job })
    const reader = response.body!.getReader()
    const chunks = [(await reader.read()).value!]
    while (!Buffer.concat(chunks).includes(upTo)) chunks.push((await reader.read()).value!)
    return {
      /** The rest of it; an export that is broken off rejects. */
      async rest(): Promise<string> {
        for (;;) {
          const { done, value } = await reader.read()
          if (done) return Buffer.concat(chunks).toString()
          chunks.push(value)
        }
      },
    }
  }

  test('holds no transaction open, and nothing is read ahead of it', async () => {
    const job = await startJob(on, caller, 1)
    await writeSteps(on.service.store, completion(job, job.dids[0]!, job.host, postsOf(job, COUNT, LONG)))
    const slow = await stalled(job.id)
    const idle = () => countQueries(on, () => sleep(300))
    await eventually(idle, (queries) => queries === 0)
    const { rows } = await on.service.store.pool.query(
      `select state from pg_stat_activity where datname = current_database() and state like 'idle in%'`,
    )
    expect(rows).toEqual([])
    expect(trailerOf(linesIn(await slow.rest()))).toMatchObject({ records: COUNT })
  })

  test('is told when a repo was replaced meanwhile, and gets what its receipt says', async () => {
    const job = await startJob(on, caller, 1)
    const [did] = job.dids as [string]
    // More than all buffers on the way may hold.
    const count = 2 * COUNT
    await replaceRepo(on, did, job.host, { version: 1, count, fields: LONG })
    const receipt = { scope: job.scope, rev: null, dataCid: null, counts: { [POST]: count } }
    await writeSteps(on.service.store, completion(job, did, job.host, [], { receipt }))
    const slow = await stalled(job.id)
    await replaceRepo(on, did, job.host, { version: 2, count, fields: LONG })
    const lines = linesIn(await slow.rest())
    const restart = lines.findIndex((line) => typeOf(line) === 'repoRestarted')
    expect(lines[restart]).toMatchObject({ did })
    const after = lines.slice(restart).filter(isRecord)
    expect(new Set(after.map(({ value }) => value!.version))).toEqual(new Set([2]))
    expect(after).toHaveLength(count)
    expect(trailerOf(lines)).toMatchObject({ records: restart + count })
  }, 40_000)

  test('gets each repo whose account changes meanwhile, and nothing half', async () => {
    const job = await startJob(on, caller, 3)
    const [first, half, last] = job.dids as [string, string, string]
    const complete = (did: string, count: number) =>
      writeSteps(on.service.store, completion(job, did, job.host, postsOf(job, count, LONG)))
    await complete(first, 1)
    await complete(half, 2 * COUNT)
    await complete(last, 2)
    await job.finish()
    const slow = await stalled(job.id, `at://${half}/`)
    // Until all buffers on the way are full.
    await eventually(
      () => countQueries(on, () => sleep(300)),
      (queries) => queries === 0,
    )
    for (const [did, isGone] of [
      [half, true],
      [last, true],
      [last, false],
    ] as const) {
      const other = await addJob(on.service.store, { repos: [did], collections: [POST] })
      const moved = isGone
        ? step(other, did, job.host, { status: 'unavailable', reason: 'takendown' })
        : completion(other, did, job.host, postsOf(other, 2, LONG))
      await writeSteps(on.service.store, moved)
      await tellAccounts(on.service.store.db)
    }
    const lines = linesIn(await slow.rest())
    const trailer = trailerOf(lines)
    expect(trailer).toMatchObject({ jobEnded: true, unavailableRepos: 1 })
    const others = lines.filter((line) => !isRecord(line))
    expect(others.map((line) => [typeOf(line), line.did ?? (line.receipt as Line | undefined)?.did])).toEqual(
      [
        ['repoComplete', first],
        ['repoRestarted', half],
        ['repoUnavailable', half],
        ['repoRestarted', last],
        ['repoComplete', last],
        ['trailer', undefined],
      ],
    )
    expect(lines.filter((line) => line.uri?.startsWith(`at://${last}/`))).toHaveLength(2)
    // Whoever goes on after any of them gets what comes next.
    const cursors = others.flatMap(({ cursor }) => (cursor === undefined ? [] : [Number(cursor)]))
    expect(Math.max(...cursors)).toBe(trailer.cursor)
  }, 40_000)

  test('gets a stream without a trailer when the service ends', async () => {
    const other = await startTestService({ network, engine: false })
    const job = await startJob(other, caller, 1)
    await writeSteps(other.service.store, completion(job, job.dids[0]!, job.host, postsOf(job, COUNT, LONG)))
    const response = await requestExport(other, caller, { job: job.id })
    const reader = response.body!.getReader()
    await reader.read()
    const began = performance.now()
    await other[Symbol.asyncDispose]()
    expect(performance.now() - began).toBeLessThan(8_000)
    const rest = async () => {
      for (;;) if ((await reader.read()).done) return
    }
    await expect(rest()).rejects.toThrow()
  })
})

describe('many exports', () => {
  test('nothing more is read for a client that has left before the first byte', async () => {
    const job = await startJob(on, caller, 3_000)
    const failed = job.dids.map((did) =>
      step(job, did, job.host, { status: 'failed', failure: 'timeout', message: 'late' }),
    )
    await writeSteps(on.service.store, ...failed)
    await job.finish()
    const leaving = new AbortController()
    const authorization = await caller.authorization({ aud: on.did, lxm: nsid('exportRecords') })
    const asked = () =>
      fetch(`${on.url}/xrpc/${nsid('exportRecords')}?job=${job.id}`, {
        headers: authorization,
        signal: leaving.signal,
      })
    const { promise: isLeft, resolve: leave } = Promise.withResolvers<void>()
    let answer: Promise<Response> | undefined
    const after = await inTransaction(on.service.store, 'rollback', async (client) => {
      await client.query('lock table receipt in access exclusive mode')
      answer = asked()
      answer.catch(leave)
      await eventually(
        async () =>
          (await client.query(`select from pg_locks where relation = 'receipt'::regclass and not granted`))
            .rowCount,
        (waiting) => waiting === 1,
      )
      leaving.abort()
      await isLeft
      // The service is told by its socket.
      await sleep(200)
      return countQueries
    })
    await expect(answer).rejects.toThrow()
    expect(await after(on, () => sleep(500))).toBe(0)
  })

  test('leave connections to others, and a caller has so many and no more', async () => {
    const environment = { QUOTA_STREAMS: '6', DATABASE_CONNECTIONS: '4' }
    await using one = await startTestService({ network, engine: false, environment })
    const other = await createPlcCaller(network.plc)
    const job = await startJob(one, caller, 1)
    await writeSteps(one.service.store, completion(job, job.dids[0]!, job.host, postsOf(job, 3)))
    await job.finish()
    const { Client } = await import('pg').then((module) => module.default)
    const holder = new Client({ connectionString: one.service.config.database.url! })
    await holder.connect()
    await holder.query('begin')
    await holder.query('lock table record in access exclusive mode')
    const exports = Array.from({ length: 7 }, () => requestExport(one, caller, { job: job.id }))
    const refused = await Promise.race(exports)
    expect(refused.status).toBe(429)
    expect(await refused.json()).toMatchObject({
      error: 'QuotaExceeded',
      message: expect.stringContaining('6 streams'),
    })
    await using stream = await openRecords(one, caller, { job: job.id })
    expect(await endOf(stream)).toMatchObject({ error: 'QuotaExceeded' })
    const began = performance.now()
    expect((await one.as(other).listJobs({})).data.jobs).toEqual([])
    expect((await fetch(`${one.url}/xrpc/_health`)).status).toBe(200)
    expect(performance.now() - began).toBeLessThan(8_000)
    await holder.query('rollback')
    await holder.end()
    for (const answer of await Promise.all(exports)) {
      if (answer === refused) continue
      expect(trailerOf(linesIn(await answer.text()))).toMatchObject({ records: 3 })
    }
    expect(trailerOf(await exportLines(one, caller, { job: job.id }))).toMatchObject({ records: 3 })
  }, 30_000)
})
