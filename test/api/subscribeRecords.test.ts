import { setTimeout as sleep } from 'node:timers/promises'
import { decodeFirst } from '@atcute/cbor'
import { CID } from 'multiformats/cid'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { takenInTime } from '../../src/jobs/delivery.js'
import { tellAccounts } from '../../src/store/accounts.js'
import { deleteDetails } from '../../src/store/details.js'
import { addJob, completion, POST, record, step, writeSteps } from '../support/fixtures.js'
import { type Caller, createPlcCaller } from '../support/network/caller.js'
import { startTestService, type TestService } from '../support/service.js'
import { eventually } from '../support/wait.js'
import { forgetJobs, openRecords, postsOf, replaceRepo, valued } from './delivery-support.js'
import {
  countQueries,
  endOf,
  openStream,
  type Stream,
  type StreamMessage,
  startJob,
} from './subscribeJob-support.js'
import { type Directory, startDirectory } from './support.js'

const CID_TEXT = 'bafyreidfayvfuwqa7qlnopdjiqrxzs6blmoeu4rujcjtnci5beludirz2a'

let network: Directory
let on: TestService
let caller: Caller
let admin: Caller

beforeAll(async () => {
  network = await startDirectory()
  caller = await createPlcCaller(network.plc)
  admin = await createPlcCaller(network.plc)
  on = await startTestService({
    network,
    engine: false,
    environment: { BACKFILL_ADMINS: admin.did, QUOTA_REQUESTS_PER_MINUTE: '0', QUOTA_STREAMS: '0' },
  })
})

afterAll(async () => {
  await on?.[Symbol.asyncDispose]()
  await network?.[Symbol.asyncDispose]()
})

beforeEach(() => forgetJobs(on))

type Job = Awaited<ReturnType<typeof startJob>>

const open = (job: string, wish: Readonly<Record<string, string | number>> = {}) =>
  openRecords(on, caller, { job, ...wish })

const complete = (job: Job, did: string, count: number, fields: object = {}) =>
  writeSteps(on.service.store, completion(job, did, job.host, postsOf(job, count, fields)))

interface Records {
  readonly seq: number
  readonly part: number
  readonly did: string
  readonly records: readonly {
    readonly uri: string
    readonly value?: { readonly [field: string]: unknown }
  }[]
}

const recordsIn = (stream: Stream) => stream.of('#records') as unknown as Records[]

const brief = ({ type, did, receipt, part }: StreamMessage) =>
  [type, did ?? (receipt as { did: string } | undefined)?.did, part]
    .filter((each) => each !== undefined)
    .join(' ')

describe('a job', () => {
  test('is handed over as it goes, each repo closed, to the end of the job', async () => {
    const job = await startJob(on, caller, 5)
    const [a, b, c, d, e] = job.dids as [string, string, string, string, string]
    await job.resolve(...job.dids)
    await complete(job, b, 2)
    await using stream = await open(job.id)
    await stream.until('#repoComplete')
    await complete(job, a, 0)
    await job.fail(d)
    on.service.notices.tell([job.key])
    await stream.until('#repoFailed')
    await job.disappear(c)
    await complete(job, e, 1_100)
    await job.finish()
    expect((await stream.end()).code).toBe(1000)
    expect(stream.messages.map(brief)).toEqual([
      `#records ${b} 0`,
      `#repoComplete ${b}`,
      `#repoComplete ${a}`,
      `#repoFailed ${d}`,
      `#repoUnavailable ${c}`,
      `#records ${e} 0`,
      `#records ${e} 1`,
      `#records ${e} 2`,
      `#repoComplete ${e}`,
      '#jobCompleted',
    ])
    const parts = recordsIn(stream)
    expect(parts.map(({ records }) => records.length)).toEqual([2, 500, 500, 100])
    expect(new Set(parts.flatMap(({ records }) => records.map(({ uri }) => uri))).size).toBe(1_102)
    expect(stream.of('#repoFailed')).toMatchObject([
      { class: 'timeout', message: 'too late', retryable: true },
    ])
    expect(stream.of('#repoUnavailable')).toMatchObject([{ reason: 'takendown' }])
    expect(stream.of('#jobCompleted')).toEqual([{ type: '#jobCompleted', status: 'completed' }])
    const { data } = await on.as(caller).listJobRepos({ job: job.id })
    expect(stream.of('#repoComplete').map(({ receipt }) => receipt)).toEqual(
      [b, a, e].map((did) => data.repos.find((repo) => repo.did === did)!.receipt),
    )
  })

  test('goes on behind the repo that a cursor names, and repeats nothing that was closed', async () => {
    const job = await startJob(on, caller, 4)
    await job.resolve(...job.dids)
    for (const did of job.dids) await complete(job, did, 3)
    await job.finish()
    await using whole = await open(job.id, { cursor: 0 })
    expect((await whole.end()).code).toBe(1000)
    const closed = whole.of('#repoComplete')
    for (const [index, { seq }] of closed.entries()) {
      await using rest = await open(job.id, { cursor: seq! })
      expect((await rest.end()).code).toBe(1000)
      const later = whole.messages.filter((message) => (message.seq ?? Number.POSITIVE_INFINITY) > seq!)
      expect(rest.messages).toEqual(later)
      expect(rest.of('#repoComplete')).toHaveLength(3 - index)
    }
  })

  test('is limited to a collection and to a repo', async () => {
    const job = await startJob(on, caller, 2)
    const [a, b] = job.dids as [string, string]
    await complete(job, a, 2)
    await complete(job, b, 2)
    await job.resolve()
    await using one = await open(job.id, { repo: b })
    await one.until('#repoComplete')
    expect(recordsIn(one).map(({ did }) => did)).toEqual([b])
    await using none = await open(job.id, { collection: 'network.example.like' })
    await none.until('#repoComplete', 2)
    expect(recordsIn(none)).toEqual([])
  })

  test('messages stay small, unless a record is large', async () => {
    const job = await startJob(on, caller, 1)
    const large = Array.from({ length: 12 }, (_, n) =>
      valued(job.collections.get(POST)!, `z${10 + n}`, { text: 'x'.repeat(n === 5 ? 3_000_000 : 400_000) }),
    )
    const rows = [...postsOf(job, 300, { text: 'y'.repeat(5_000) }), ...large]
    await writeSteps(on.service.store, completion(job, job.dids[0]!, job.host, rows))
    const sizes: number[] = []
    await using stream = await open(job.id)
    stream.socket.on('message', (bytes: Buffer) => sizes.push(bytes.length))
    await stream.until('#repoComplete')
    const parts = recordsIn(stream)
    expect(parts.flatMap(({ records }) => records)).toHaveLength(312)
    expect(parts.map(({ part }) => part)).toEqual(parts.map((_, index) => index))
    expect(sizes.filter((size) => size > 1024 * 1024)).toHaveLength(1)
    expect(sizes.length).toBeLessThan(16)
  })
})

describe('values', () => {
  test('are atproto data: links, bytes, and every other thing that JSON can say', async () => {
    const job = await startJob(on, caller, 1)
    const collection = job.collections.get(POST)!
    const value = {
      link: { $link: CID_TEXT },
      bytes: { $bytes: 'AAECAwQ' },
      list: [{ $link: CID_TEXT }, null, true, -5, Number.MAX_SAFE_INTEGER],
      text: 'a\u0000b "é" 😀',
      z: {},
    }
    const rows = [
      valued(collection, 'a', value),
      { ...record(collection, 'b', CID_TEXT), value: '{"n":12345678901234567890}' },
      { ...record(collection, 'c', CID_TEXT), value: '{"surrogate":"\\ud800"}' },
      { ...record(collection, 'd', CID_TEXT), value: '{"float":1.5,"__proto__":1}' },
    ]
    await writeSteps(on.service.store, completion(job, job.dids[0]!, job.host, rows))
    await using stream = await open(job.id)
    await stream.until('#repoComplete')
    const [{ records }] = recordsIn(stream) as [Records]
    expect(records.map(({ value }) => value !== undefined)).toEqual([true, false, false, true])
    const given = records[0]!.value!
    expect(CID.asCID(given.link)?.toString()).toBe(CID_TEXT)
    expect(given.bytes).toEqual(new Uint8Array([0, 1, 2, 3, 4]))
    expect(given.text).toBe(value.text)
    const [, body] = decodeFirst(stream.first!)
    // This one refuses what is not in the order of DAG-CBOR.
    const again = decodeFirst(body)[0] as Records
    expect(JSON.parse(JSON.stringify(again.records[0]!.value))).toEqual(value)
    expect(JSON.stringify(again.records[3]!.value)).toBe('{"float":1.5,"__proto__":1}')
  })
})

describe('a repo that is replaced while it is handed over', () => {
  const COUNT = 6_000
  const LONG = { text: 'x'.repeat(4_000) }

  test('is begun again with part 0, and its receipt describes what comes then', async () => {
    const job = await startJob(on, caller, 1)
    const [did] = job.dids as [string]
    await replaceRepo(on, did, job.host, { version: 1, count: COUNT, fields: LONG })
    const receipt = { scope: job.scope, rev: null, dataCid: null, counts: { [POST]: COUNT } }
    await writeSteps(on.service.store, completion(job, did, job.host, [], { receipt }))
    await using stream = await open(job.id)
    await stream.until('#records')
    stream.socket.pause()
    await replaceRepo(on, did, job.host, { version: 2, count: COUNT, fields: LONG })
    stream.socket.resume()
    await stream.until('#repoComplete')
    const parts = recordsIn(stream)
    const start = parts.findLastIndex(({ part }) => part === 0)
    expect(start).toBeGreaterThan(0)
    const records = parts.slice(start).flatMap((part) => part.records)
    expect(new Set(records.map(({ value }) => value!.version))).toEqual(new Set([2]))
    expect(records).toHaveLength(COUNT)
    expect(parts.slice(start).map(({ part }) => part)).toEqual(parts.slice(start).map((_, index) => index))
  })

  test('is taken back when it has nothing left, and comes behind others by now', async () => {
    const job = await startJob(on, caller, 2)
    const [did, beside] = job.dids as [string, string]
    await replaceRepo(on, did, job.host, { version: 1, count: 2 * COUNT, fields: LONG })
    const counting = (count: number) => ({
      receipt: { scope: job.scope, rev: null, dataCid: null, counts: { [POST]: count } },
    })
    await writeSteps(on.service.store, completion(job, did, job.host, [], counting(2 * COUNT)))
    await writeSteps(on.service.store, completion(job, beside, job.host, postsOf(job, 1)))
    await using stream = await open(job.id)
    await stream.until('#records')
    stream.socket.pause()
    // Until all buffers on the way are full.
    const reads = () => countQueries(on, () => sleep(300))
    await eventually(reads, (queries) => queries === 0)
    for (const isGone of [true, false]) {
      const other = await addJob(on.service.store, { repos: [did] })
      const moved = isGone
        ? step(other, did, job.host, { status: 'unavailable', reason: 'takendown' })
        : completion(other, did, job.host, [], counting(0))
      await writeSteps(on.service.store, moved)
      await tellAccounts(on.service.store.db)
    }
    stream.socket.resume()
    await stream.until('#repoComplete', 2)
    const parts = recordsIn(stream)
    expect(parts.at(-2)).toMatchObject({ did: beside })
    expect(parts.at(-1)).toMatchObject({ did, part: 0, records: [] })
  }, 40_000)
})

describe('many subscribers', () => {
  test('50 of them, one of which takes nothing: the others miss nothing, and it goes on where it was', async () => {
    /** Of each repo: few and long, because each is looked at by each. */
    const RECORDS = 60
    const job = await startJob(on, caller, 4)
    for (const did of job.dids) await complete(job, did, RECORDS, { text: 'x'.repeat(30_000) })
    await using stalled = await open(job.id)
    await stalled.until('#records')
    stalled.socket.pause()
    const others = await Promise.all(Array.from({ length: 49 }, () => open(job.id)))
    for (const other of others) {
      await other.until('#repoComplete', 4, 60_000)
      const uris = recordsIn(other).flatMap(({ records }) => records.map(({ uri }) => uri))
      expect(new Set(uris).size).toBe(4 * RECORDS)
      expect(uris).toHaveLength(4 * RECORDS)
      await other[Symbol.asyncDispose]()
    }
    stalled.socket.resume()
    await stalled.until('#repoComplete', 4, 60_000)
    expect(recordsIn(stalled).flatMap(({ records }) => records)).toHaveLength(4 * RECORDS)
  }, 120_000)
})

describe('a consumer that is slow', () => {
  test('is not taken for gone as long as it takes what it gets', async () => {
    await using quick = await startTestService({ network, engine: false, overrides: { pingEveryMs: 700 } })
    const job = await startJob(quick, caller, 1)
    const rows = postsOf(job, 10_000, { text: 'x'.repeat(4_000) })
    await writeSteps(quick.service.store, completion(job, job.dids[0]!, job.host, rows))
    // Its answers to pings would come too late.
    const method = 'network.example.backfill.subscribeRecords'
    await using stream = await openStream(quick, caller, { job: job.id }, { autoPong: false }, method)
    const { socket } = stream
    let slow = 0
    socket.on('message', () => {
      slow += 1
      if (slow > 18) return
      socket.pause()
      setTimeout(() => socket.resume(), 150)
    })
    const began = performance.now()
    await stream.until('#repoComplete')
    expect(performance.now() - began).toBeGreaterThan(1_500)
    expect(recordsIn(stream).flatMap(({ records }) => records)).toHaveLength(10_000)
  }, 40_000)

  test('that takes nothing for too long is told so when it does', async () => {
    const sent: number[] = []
    const slowly = async () => {
      for await (const n of takenInTime(numbers(), 50)) {
        sent.push(n)
        if (n === 3) await new Promise((resolve) => setTimeout(resolve, 80))
      }
    }
    await expect(slowly()).rejects.toMatchObject({ code: 'ConsumerTooSlow' })
    expect(sent).toEqual([1, 2, 3])
  })
})

async function* numbers() {
  yield* [1, 2, 3, 4]
}

describe('a stream that is refused or ended', () => {
  test('nobody, a stranger, a wrong cursor, a future one, details that are gone', async () => {
    const job = await startJob(on, caller, 1)
    await complete(job, job.dids[0]!, 1)
    await job.resolve()
    const stranger = await createPlcCaller(network.plc)
    await using anonymous = await openRecords(on, null, { job: job.id })
    expect(await endOf(anonymous)).toMatchObject({
      code: 1008,
      error: expect.stringMatching(/^Auth|^BadJwt/),
    })
    await using strange = await openRecords(on, stranger, { job: job.id })
    expect(await endOf(strange)).toMatchObject({ code: 1008, error: 'JobNotFound' })
    await using wrong = await open(job.id, { cursor: 'x' })
    expect(await endOf(wrong)).toMatchObject({ code: 1008, error: 'InvalidRequest' })
    await using future = await open(job.id, { cursor: 1_000_000 })
    expect(await endOf(future)).toMatchObject({ code: 1008, error: 'FutureCursor' })
    await using stream = await open(job.id)
    await stream.until('#repoComplete')
    await on.as(caller).cancelJob({ job: job.id })
    await stream.end()
    await deleteDetails(on.service.store.db, { key: job.key }, ['cancelled', 'cancelling', 'running'])
    await using late = await open(job.id)
    expect(await endOf(late)).toMatchObject({ code: 1008, error: 'DetailsDeleted' })
  })

  test('rights that are taken away end it within seconds', async () => {
    let ahead = 0
    await using asTimeGoes = await startTestService({
      network,
      engine: false,
      environment: { BACKFILL_ADMINS: admin.did },
      overrides: { now: () => Date.now() + ahead },
    })
    const job = await startJob(asTimeGoes, caller, 3)
    const completeOf = (did: string) =>
      writeSteps(asTimeGoes.service.store, completion(job, did, job.host, postsOf(job, 1)))
    const [first, second, third] = job.dids as [string, string, string]
    await using stream = await openRecords(asTimeGoes, caller, { job: job.id })
    await completeOf(first)
    await stream.until('#repoComplete')
    // Looked at again, and still allowed.
    ahead += 10_000
    await completeOf(second)
    await stream.until('#repoComplete', 2)
    await asTimeGoes.as(admin).putCaller({ did: caller.did, permissions: [] })
    ahead += 10_000
    await completeOf(third)
    expect(await endOf(stream)).toMatchObject({ code: 1008, error: 'NotPermitted' })
    expect(stream.of('#repoComplete')).toHaveLength(2)
  })

  test('the end of the service ends it with 1012', async () => {
    const other = await startTestService({ network, engine: false })
    const job = await startJob(other, caller, 1)
    const stream = await openRecords(other, caller, { job: job.id })
    await eventually(
      () => stream.socket.readyState,
      (state) => state === 1,
    )
    await other[Symbol.asyncDispose]()
    expect((await stream.end()).code).toBe(1012)
  })
})
