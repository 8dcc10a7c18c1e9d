import { TID } from '@atproto/common-web'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { RateLimited } from '../../src/atproto/outcome.js'
import type { Query } from '../../src/atproto/pds.js'
import type { XrpcAnswer } from '../../src/atproto/xrpc.js'
import { DatabaseClock } from '../../src/engine/database-clock.js'
import { type RevsContext, readAllHostRevs } from '../../src/engine/host-revs.js'
import { revsFor } from '../../src/store/host-revs.js'
import type { HostClaim } from '../../src/store/hosts.js'
import { jobsWanting } from '../../src/store/jobs.js'
import { createStore } from '../support/database.js'
import {
  addJob,
  didOf,
  didsOf,
  drive,
  empty,
  resolution,
  type TestJob,
  writeSteps,
} from '../support/fixtures.js'

const NOW = Date.UTC(2030, 4, 6, 7)
const MINUTE = 60_000
const rev = (ms: number) => TID.fromTime(ms * 1_000, 5).toString()
const REV = rev(NOW - MINUTE)

let store: Awaited<ReturnType<typeof createStore>>
let host: HostClaim
let job: TestJob
let now: number
let ctx: RevsContext

beforeAll(async () => {
  store = await createStore()
})

afterAll(() => store[Symbol.asyncDispose]())

beforeEach(async () => {
  host = await drive(store.db)
  job = await addJob(store, { repos: didsOf(60) })
  await writeSteps(store, ...didsOf(60).map((did) => resolution(job, did, host)))
  now = NOW
  const clock = new DatabaseClock(() => now)
  ctx = { db: store.db, clock, now: () => now, random: () => 1 }
})

afterEach(async () => {
  await empty(store)
  await store.pool.query('truncate repo_rev')
})

type Page = { repos: object[]; cursor?: string }

const entry = (number: number, more: object = {}) => ({ did: didOf(number), rev: REV, active: true, ...more })
const entries = (count: number, from = 0) => Array.from({ length: count }, (_, n) => entry(from + n))

/** A host that lists its repos so, by cursor; what else it is asked is an error. */
function listing(pages: Record<string, Page | Error | XrpcAnswer>): { query: Query; asked: string[] } {
  const asked: string[] = []
  const query: Query = async (nsid, { cursor = '', limit }) => {
    expect([nsid, limit]).toEqual(['com.atproto.sync.listRepos', 1000])
    asked.push(String(cursor))
    now += 100
    const page = pages[cursor]
    if (!page) throw new Error(`nobody should ask for ${cursor}`)
    if (page instanceof Error) throw page
    return 'ok' in page ? page : { ok: true, body: page }
  }
  return { query, asked }
}

const FAILING: XrpcAnswer = { ok: false, status: 500, error: 'InternalServerError', message: 'away' }

/** Reads as much as is due now. @returns the cursors asked for */
async function read(
  pages: Record<string, Page | Error | XrpcAnswer>,
  goesOn = () => true,
  onDoubt = () => {},
): Promise<string[]> {
  const { query, asked } = listing(pages)
  const jobs = await jobsWanting(store.db, host.host)
  await readAllHostRevs(ctx, host.host, jobs, query, goesOn, onDoubt)
  return asked
}

async function revs(...numbers: number[]) {
  const repos = numbers.map((number) => job.repos.get(didOf(number))!)
  const found = await revsFor(store.db, { host: host.host, job: job.key, repos })
  return repos.map((repo) => found.get(repo)?.rev ?? null)
}

describe('the revs of a host', () => {
  test('are read page by page to the end, and once', async () => {
    const pages = {
      '': { repos: entries(30), cursor: 'b' },
      b: { repos: [], cursor: 'c' },
      c: { repos: entries(30, 30) },
    }
    expect(await read(pages)).toEqual(['', 'b', 'c'])
    expect(await revs(0, 29, 30, 59)).toEqual([REV, REV, REV, REV])
    expect(await read(pages)).toEqual([])
  })

  test('are gone on with where an earlier turn stopped', async () => {
    const pages = { '': { repos: entries(30), cursor: 'b' }, b: { repos: entries(30, 30) } }
    let turns = 1
    expect(await read(pages, () => turns-- > 0)).toEqual([''])
    expect(await read(pages)).toEqual(['b'])
    expect(await revs(0, 59)).toEqual([REV, REV])
  })

  test('are not those of accounts that have left, that have none, or that lie in the future', async () => {
    const odd = [
      entry(0, { active: false, status: 'deactivated' }),
      entry(1, { rev: '' }),
      entry(2, { rev: rev(NOW + 10 * MINUTE) }),
      entry(3, { rev: rev(NOW + 4 * MINUTE) }),
      entry(4, { active: undefined }),
      { did: 'not a did', rev: REV },
      null as unknown as object,
    ]
    await read({ '': { repos: odd } })
    expect(await revs(0, 1, 2, 3, 4)).toEqual([null, null, null, rev(NOW + 4 * MINUTE), REV])
  })

  test('are left alone where few of its accounts are wanted, as soon as that shows', async () => {
    const strangers = (page: number) => entries(960, 1_000 * page)
    const pages = {
      '': { repos: [...entries(40), ...strangers(1)], cursor: 'b' },
      b: { repos: [...entries(20, 40), ...strangers(2), ...entries(20, 9_000)], cursor: 'c' },
      c: { repos: strangers(3) },
    }
    expect(await read(pages)).toEqual(['', 'b'])
    expect(await read(pages)).toEqual([])
    expect(await revs(0, 59)).toEqual([REV, REV])
  })

  test('are read to the end where enough are', async () => {
    const wanted = didsOf(300, 1_000)
    job = await addJob(store, { repos: wanted })
    await writeSteps(store, ...wanted.map((did) => resolution(job, did, host)))
    const pages = {
      '': { repos: [...entries(50, 1_000), ...entries(950, 10_000)], cursor: 'b' },
      b: { repos: [...entries(50, 1_050), ...entries(950, 20_000)], cursor: 'c' },
      c: { repos: entries(200, 1_100) },
    }
    expect(await read(pages)).toEqual(['', 'b', 'c'])
    expect(await revs(1_000, 1_299)).toEqual([REV, REV])
  })

  test('are not waited for where the host cannot list them', async () => {
    const pages = { '': FAILING }
    for (const _ of [1, 2]) {
      expect(await read(pages)).toEqual([''])
      expect(await read(pages)).toEqual([])
      now += 10 * MINUTE
    }
    expect(await read(pages)).toEqual([''])
    now += 10 * MINUTE
    expect(await read(pages)).toEqual([])
    // Nor is it asked for a job that comes later, until it may have changed.
    const late = await addJob(store, { repos: didsOf(60) })
    await writeSteps(store, ...didsOf(60).map((did) => resolution(late, did, host)))
    expect(await read(pages)).toEqual([])
    now += 60 * MINUTE
    expect(await read({ '': { repos: entries(60) } })).toEqual([''])
  })

  test('are told to be doubtful where the host did not answer the last time', async () => {
    const doubts: boolean[] = []
    const pages: Parameters<typeof read>[0][] = [
      { '': FAILING },
      { '': { repos: entries(30), cursor: 'b' }, b: { repos: entries(30, 30) } },
    ]
    for (const each of pages) {
      let isDoubtful = false
      await read(
        each,
        () => true,
        () => {
          isDoubtful = true
        },
      )
      doubts.push(isDoubtful)
      now += 10 * MINUTE
    }
    expect(doubts).toEqual([false, true])
  })

  test('come after a failure that has passed', async () => {
    expect(await read({ '': { repos: entries(30), cursor: 'b' }, b: FAILING })).toEqual(['', 'b'])
    now += MINUTE
    expect(await read({ b: { repos: entries(30, 30) } })).toEqual(['b'])
    expect(await revs(0, 59)).toEqual([REV, REV])
  })

  test('end where the listing goes in circles, long or short', async () => {
    const long = {
      '': { repos: [], cursor: 'b' },
      b: { repos: [], cursor: 'c' },
      c: { repos: [], cursor: 'b' },
    }
    expect((await read(long)).length).toBeLessThan(10)
    await store.pool.query('delete from rev_listing')
    expect(await read({ '': { repos: [], cursor: 'b' }, b: { repos: [], cursor: 'b' } })).toEqual(['', 'b'])
    expect(await read({})).toEqual([])
  })

  test('stand where they did when the host asks for a pause', async () => {
    const paused = new RateLimited(new Date(NOW + MINUTE))
    const pages = { '': { repos: entries(30), cursor: 'b' }, b: paused }
    await expect(read(pages)).rejects.toBe(paused)
    expect(await read({ b: { repos: entries(30, 30) } })).toEqual(['b'])
  })
})
