import { createHash } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import { gunzipSync, zstdDecompressSync } from 'node:zlib'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { preferredCoding } from '../../src/api/exportRecords.js'
import { deleteDetails } from '../../src/store/details.js'
import { completion, LIKE, POST, record, writeSteps } from '../support/fixtures.js'
import { type Caller, createPlcCaller } from '../support/network/caller.js'
import { startTestService, type TestService } from '../support/service.js'
import { eventually } from '../support/wait.js'
import {
  exportLines,
  forgetJobs,
  isRecord,
  type Line,
  linesIn,
  postsOf,
  replaceRepo,
  requestExport,
  typeOf,
  valued,
} from './delivery-support.js'
import { countQueries, startJob } from './subscribeJob-support.js'
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

  /** Takes the beginning of an export, and then nothing. */
  async function stalled(job: string) {
    const response = await requestExport(on, caller, { job })
    const reader = response.body!.getReader()
    const first = await reader.read()
    const chunks = [first.value!]
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

  test('gets a stream without a trailer when the service ends', async () => {
    const other = await startTestService({ network, engine: false })
    const job = await startJob(other, caller, 1)
    await writeSteps(other.service.store, completion(job, job.dids[0]!, job.host, postsOf(job, COUNT, LONG)))
    const response = await requestExport(other, caller, { job: job.id })
    const reader = response.body!.getReader()
    await reader.read()
    const began = performance.now()
    await other[Symbol.asyncDispose]()
    expect(performance.now() - began).toBeLessThan(5_000)
    const rest = async () => {
      for (;;) if ((await reader.read()).done) return
    }
    await expect(rest()).rejects.toThrow()
  })
})
