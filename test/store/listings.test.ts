import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { hostIds } from '../../src/store/hosts.js'
import { findJob, finishDiscovery, openRepoCount } from '../../src/store/jobs.js'
import {
  deferListing,
  dueHostListings,
  giveUpListing,
  hostsToList,
  jobsToDiscover,
  openListings,
  PAGES_MAX,
  saveHostsPage,
  saveListingPage,
  strandedListings,
} from '../../src/store/listings.js'
import { settleCursor } from '../../src/store/start-cursors.js'
import { createStore } from '../support/database.js'
import {
  addJob,
  assertCountersEqualRows,
  didOf,
  didsOf,
  drive,
  empty,
  failJob,
  findTestJob,
  LIKE,
  POST,
  randomOf,
  step,
  type TestJob,
  writeSteps,
} from '../support/fixtures.js'

let store: Awaited<ReturnType<typeof createStore>>

beforeAll(async () => {
  store = await createStore()
})

afterAll(() => store[Symbol.asyncDispose]())

afterEach(async () => {
  await assertCountersEqualRows(store)
  await empty(store)
})

const RELAYS = ['https://one.example', 'https://two.example']
const discovering = (collections = [POST]) => addJob(store, { relays: RELAYS, collections })

async function didsIn(job: TestJob): Promise<string[]> {
  return [...(await findTestJob(store.db, job.id)).repos.keys()].sort()
}

const save = (
  job: TestJob,
  relay: string,
  cursor: string | null,
  page: { dids: string[]; cursor: string | null },
) => saveListingPage(store.db, job.key, { origin: relay, lists: POST, cursor }, page)

const cursorsOf = async (job: TestJob) =>
  (await openListings(store.db, job.key)).map(({ origin, cursor }) => [origin, cursor])

describe('a page of discovery', () => {
  test('is saved with its cursor, and the listing goes on from there', async () => {
    const job = await discovering()
    expect(await save(job, RELAYS[0]!, null, { dids: didsOf(3), cursor: 'next' })).toBe('saved')
    expect(await didsIn(job)).toEqual(didsOf(3))
    expect(await cursorsOf(job)).toEqual([
      [RELAYS[0], 'next'],
      [RELAYS[1], null],
    ])
    expect(await save(job, RELAYS[0]!, 'next', { dids: didsOf(1, 3), cursor: null })).toBe('saved')
    expect(await cursorsOf(job)).toEqual([[RELAYS[1], null]])
  })

  test('ends its listing by the missing cursor alone, not by being empty', async () => {
    const job = await discovering()
    expect(await save(job, RELAYS[0]!, null, { dids: [], cursor: 'next' })).toBe('saved')
    expect(await cursorsOf(job)).toContainEqual([RELAYS[0], 'next'])
    expect(await didsIn(job)).toEqual([])
  })

  test('writes nothing when its cursor is stale', async () => {
    const job = await discovering()
    const [one, two] = RELAYS as [string, string]
    await save(job, one, null, { dids: didsOf(1), cursor: 'next' })
    await save(job, two, null, { dids: [], cursor: null })
    const late = { dids: didsOf(5, 10), cursor: 'later' }
    expect(await save(job, one, null, late)).toBe('moved-on')
    expect(await save(job, one, 'other', late)).toBe('moved-on')
    expect(await save(job, two, null, late)).toBe('moved-on')
    expect(await save(job, 'https://unknown.example', null, late)).toBe('moved-on')
    expect(await didsIn(job)).toEqual(didsOf(1))
    expect(await cursorsOf(job)).toEqual([[one, 'next']])
    expect((await store.pool.query('select did from repo')).rows).toHaveLength(1)
  })

  test('is saved by one of two that read it at the same time', async () => {
    const job = await discovering()
    const saved = await Promise.all(
      [10, 20, 30, 40].map((from) => save(job, RELAYS[0]!, null, { dids: didsOf(2, from), cursor: 'next' })),
    )
    expect(saved.filter((became) => became === 'saved')).toHaveLength(1)
    expect(await didsIn(job)).toHaveLength(2)
  })

  test('adds an account once, whichever relay names it, how often, and whatever became of it', async () => {
    const job = await discovering()
    await save(job, RELAYS[0]!, null, { dids: [didOf(2), didOf(0), didOf(2)], cursor: 'next' })
    const host = await drive(store.db)
    const known = await findTestJob(store.db, job.id)
    await writeSteps(store, step(known, didOf(0), host, { status: 'failed', failure: 'timeout' }))
    await save(job, RELAYS[1]!, null, { dids: [didOf(1), didOf(0)], cursor: null })
    expect(await didsIn(job)).toEqual(didsOf(3))
    const { rows } = await store.pool.query('select status from job_repo where did = $1', [didOf(0)])
    expect(rows).toEqual([{ status: 'failed' }])
    expect(await openRepoCount(store.db, job.key)).toBe(2)
  })

  test('is not lost or counted twice when many with the same accounts come at once', async () => {
    const random = randomOf(6)
    const jobs = [await discovering(), await discovering()]
    const page = () =>
      didsOf(200)
        .filter(() => random() < 0.5)
        .sort(() => random() - 0.5)
    const read = async (job: TestJob, relay: string) => {
      for (let at = 0; at < 12; at += 1) {
        const cursor = at === 0 ? null : String(at)
        expect(await save(job, relay, cursor, { dids: page(), cursor: String(at + 1) })).toBe('saved')
      }
    }
    await Promise.all(jobs.flatMap((job) => RELAYS.map((relay) => read(job, relay))))
    for (const job of jobs) expect(await didsIn(job)).toEqual(didsOf(200))
    expect((await store.pool.query('select did from repo')).rows).toHaveLength(200)
  })
})

describe('a listing', () => {
  /** Reads a listing whose cursors are these until it ends, and says how, after how many pages. */
  const read = async (job: TestJob, cursorAt: (page: number) => string | null, pagesMax: number) => {
    let cursor: string | null = null
    for (let page = 1; page <= pagesMax; page += 1) {
      const next = cursorAt(page)
      const became = await save(job, RELAYS[0]!, cursor, { dids: [didOf(page)], cursor: next })
      if (became !== 'saved' || next === null) return { became, page }
      cursor = next
    }
    return null
  }

  test.each([
    [1, 0],
    [2, 0],
    [3, 0],
    [7, 0],
    [2, 5],
    [3, 20],
  ])('that goes in a circle of %i pages after %i others is noticed', async (length, before) => {
    const job = await discovering()
    const cursorAt = (page: number) =>
      page <= before ? `before ${page}` : `circle ${(page - before) % length}`
    const end = await read(job, cursorAt, 500)
    expect(end?.became).toBe('loop')
    expect(end!.page).toBeLessThanOrEqual(3 * (before + length))
    // The page that closed it left nothing.
    expect(await didsIn(job)).toHaveLength(end!.page - 1)
    expect((await openListings(store.db, job.key))[0]).toMatchObject({ cursor: cursorAt(end!.page - 1) })
  })

  test('of ever new cursors is noticed, too, though late; its last page counts', async () => {
    const job = await discovering()
    const at = (pages: number) =>
      store.db.updateTable('listing').set({ pages }).where('job', '=', job.key).execute()
    await at(PAGES_MAX.relay - 1)
    const page = (number: number) => ({ dids: didsOf(1, number), cursor: `cursor ${number}` })
    expect(await save(job, RELAYS[0]!, null, page(1))).toBe('saved')
    expect(await save(job, RELAYS[0]!, 'cursor 1', page(2))).toBe('endless')
    expect(await didsIn(job)).toEqual(didsOf(1, 1))
    expect(await save(job, RELAYS[0]!, 'cursor 1', { ...page(2), cursor: null })).toBe('saved')
  })

  test('of many pages that ends is none', async () => {
    const job = await discovering()
    const end = await read(job, (page) => (page < 200 ? `cursor ${page}` : null), 500)
    expect(end).toEqual({ became: 'saved', page: 200 })
    expect(await didsIn(job)).toHaveLength(200)
  })
})

test('a listing that could not be read keeps its place and its time to try again', async () => {
  const job = await discovering([POST, LIKE])
  await save(job, RELAYS[1]!, null, { dids: didsOf(1), cursor: 'next' })
  const retryAt = new Date('2031-01-01T00:00:00.250Z')
  await deferListing(store.db, job.key, { origin: RELAYS[1]!, lists: POST }, { attempts: 3, retryAt })
  const untouched = { cursor: null, attempts: 0, retryAt: null }
  expect(await openListings(store.db, job.key)).toEqual([
    { origin: RELAYS[0], lists: LIKE, ...untouched },
    { origin: RELAYS[0], lists: POST, ...untouched },
    { origin: RELAYS[1], lists: LIKE, ...untouched },
    { origin: RELAYS[1], lists: POST, cursor: 'next', attempts: 3, retryAt },
  ])
  await save(job, RELAYS[1]!, 'next', { dids: [], cursor: 'more' })
  expect((await openListings(store.db, job.key))[3]).toMatchObject({ attempts: 0, retryAt: null })
})

describe('a job is to be discovered', () => {
  const now = new Date('2030-01-01')
  const later = new Date('2030-01-02')
  const toDiscover = (bound = 100) => jobsToDiscover(store.db, now, bound)
  const defer = (job: TestJob, relay: string, retryAt: Date) =>
    deferListing(store.db, job.key, { origin: relay, lists: POST }, { attempts: 1, retryAt })

  test('as long as one of its listings is open and due', async () => {
    const job = await discovering()
    expect(await toDiscover()).toEqual([job.key])
    await defer(job, RELAYS[0]!, later)
    expect(await toDiscover()).toEqual([job.key])
    await defer(job, RELAYS[1]!, later)
    expect(await toDiscover()).toEqual([])
    await defer(job, RELAYS[1]!, now)
    expect(await toDiscover()).toEqual([job.key])
    await save(job, RELAYS[1]!, null, { dids: [], cursor: null })
    expect(await toDiscover()).toEqual([])
  })

  test('once more when all its listings have ended, so that somebody closes it', async () => {
    const job = await discovering()
    for (const relay of RELAYS) await save(job, relay, null, { dids: [], cursor: null })
    expect(await toDiscover()).toEqual([job.key])
    await finishDiscovery(store.db, job.key)
    expect(await toDiscover()).toEqual([])
  })

  test('not while enough of its repos are open', async () => {
    const job = await discovering()
    await save(job, RELAYS[0]!, null, { dids: didsOf(4), cursor: 'next' })
    expect(await toDiscover(4)).toEqual([])
    expect(await toDiscover(5)).toEqual([job.key])
    const host = await drive(store.db)
    const known = await findTestJob(store.db, job.id)
    await writeSteps(store, step(known, didOf(0), host, { status: 'unavailable', reason: 'deleted' }))
    expect(await toDiscover(4)).toEqual([job.key])
  })

  test('not when it has ended, or was given its repos', async () => {
    const job = await discovering()
    await addJob(store, { repos: didsOf(3) })
    expect(await toDiscover()).toEqual([job.key])
    await failJob(store.db, job.key, 'the relay is gone', now)
    expect(await toDiscover()).toEqual([])
  })
})

describe('a listing that cannot be read to its end', () => {
  const listing = { origin: RELAYS[0]!, lists: POST }

  test('is not read any more, and the first one of a job says why', async () => {
    const job = await discovering()
    const open = (await openListings(store.db, job.key)).length
    expect(await giveUpListing(store.db, job.key, listing, 'the relay is gone')).toBe(true)
    expect(await giveUpListing(store.db, job.key, listing, 'again')).toBe(false)
    expect(await openListings(store.db, job.key)).toHaveLength(open - 1)
    expect(await findJob(store.db, job.id)).toMatchObject({ status: 'running', error: 'the relay is gone' })
  })

  test('may have failed with whatever a relay said', async () => {
    const job = await discovering()
    const failure = `the relay answered "a\u0000b" and ${'x'.repeat(2_000)}`
    expect(await giveUpListing(store.db, job.key, listing, failure)).toBe(true)
    const stored = (await findJob(store.db, job.id))!.error!
    expect(stored).toContain('answered "ab" and xxx')
    expect(stored.length).toBeLessThanOrEqual(1_000)
  })
})

describe('hosts', () => {
  const HOSTNAMES = ['one', 'two', 'three'].map((name) => ({
    hostname: `${name}.acme.dev`,
    origin: `https://${name}.acme.dev`,
  }))
  const now = new Date('2026-01-01T00:00:00Z')
  const listingAt = async (origin: string) => (await hostIds(store.db, [origin])).get(origin)!
  const toList = () => hostsToList(store.db, { now, hostNow: now, queuedRepos: 100 })

  test('are found by a listing page by page, each with a listing of its own, however often it is named', async () => {
    const job = await addJob(store, {
      collections: null,
      from: { relays: RELAYS, wholeNetwork: true },
    })
    const [one, two, three] = HOSTNAMES.map(({ origin }) => origin) as [string, string, string]
    const at = (origin: string, cursor: string | null) => ({ origin, lists: 'hosts', cursor })
    const page = (origins: string[], cursor: string | null) => ({ origins, cursor })
    const saveHosts = (relay: string, from: string | null, found: string[], cursor: string | null) =>
      saveHostsPage(store.db, job.key, at(relay, from), page(found, cursor))
    expect(await saveHosts(RELAYS[0]!, null, [one, two], 'next')).toBe('saved')
    expect(await saveHosts(RELAYS[0]!, null, [three], 'next')).toBe('moved-on')
    expect(await saveHosts(RELAYS[0]!, 'next', [two, three], null)).toBe('saved')
    expect(await saveHosts(RELAYS[1]!, null, [one], null)).toBe('saved')
    const ids = await Promise.all([one, two, three].map(listingAt))
    expect((await toList()).sort()).toEqual(ids.sort())
    // What hosts list is no work for who reads the relays.
    expect(await openListings(store.db, job.key)).toEqual([])
    expect(await jobsToDiscover(store.db, now, 100)).toEqual([])
  })

  test('are to be listed only while their job runs, has begun, and has room for more repos', async () => {
    const job = await addJob(store, { from: { hosts: HOSTNAMES.slice(0, 1) }, cursorsOf: RELAYS })
    const due = async (queuedRepos = 100) =>
      (await dueHostListings(store.db, await listingAt(HOSTNAMES[0]!.origin), now, queuedRepos)).length
    expect(await due()).toBe(0)
    await settleCursor(store.db, job.key, RELAYS[0]!, { seq: 7 })
    expect(await due()).toBe(0)
    await settleCursor(store.db, job.key, RELAYS[1]!, { failure: 'it has none' })
    expect(await due()).toBe(1)
    expect(await toList()).toHaveLength(1)
    const listing = { origin: HOSTNAMES[0]!.origin, lists: 'repos', cursor: null }
    await saveListingPage(store.db, job.key, listing, { dids: didsOf(5), cursor: 'next' })
    expect([await due(5), await due(6)]).toEqual([0, 1])
    await store.db.updateTable('job').set({ status: 'paused' }).where('key', '=', job.key).execute()
    expect(await due()).toBe(0)
    expect((await findJob(store.db, job.id))?.start_cursors).toEqual([{ relay: RELAYS[0], seq: 7 }])
  })

  test('that cannot be listed are counted in what the caller is told', async () => {
    const job = await addJob(store, { from: { hosts: HOSTNAMES } })
    const fail = ({ origin }: { origin: string }, why: string) =>
      giveUpListing(store.db, job.key, { origin, lists: 'repos' }, why)
    const error = async () => (await findJob(store.db, job.id))?.error
    await fail(HOSTNAMES[0]!, 'the first is gone')
    expect(await error()).toBe('the first is gone')
    await fail(HOSTNAMES[2]!, 'the third is gone')
    expect(await error()).toContain('2 of 3 hosts')
    expect(await error()).toContain('the third is gone')
  })

  test('that have not answered for long are known by their listings, too', async () => {
    const job = await addJob(store, { from: { hosts: HOSTNAMES.slice(0, 2) } })
    const [since, later] = [new Date(now.getTime() - 1_000), new Date(now.getTime() + 1_000)]
    const host = await listingAt(HOSTNAMES[0]!.origin)
    const set = (values: { unanswered_since: Date | null; next_request_at: Date }) =>
      store.db.updateTable('host').set(values).where('id', '=', host).execute()
    const stranded = async () => (await strandedListings(store.db, since, now)).map(({ origin }) => origin)
    await set({ unanswered_since: now, next_request_at: later })
    expect(await stranded()).toEqual([])
    // It is to be tried just now: the answer may be a good one.
    await set({ unanswered_since: since, next_request_at: since })
    expect(await stranded()).toEqual([])
    await set({ unanswered_since: since, next_request_at: later })
    expect(await stranded()).toEqual([HOSTNAMES[0]!.origin])
    await giveUpListing(store.db, job.key, { origin: HOSTNAMES[0]!.origin, lists: 'repos' }, 'dead')
    expect(await stranded()).toEqual([])
  })
})

describe('a page of discovery that must not count', () => {
  test('is not taken for a job that does not run, and is read again when it does', async () => {
    const job = await discovering()
    await store.db.updateTable('job').set({ status: 'paused' }).where('key', '=', job.key).execute()
    expect(await save(job, RELAYS[0]!, null, { dids: didsOf(2), cursor: 'next' })).toBe('stopped')
    expect((await findTestJob(store.db, job.id)).repos.size).toBe(0)
    await store.db.updateTable('job').set({ status: 'running' }).where('key', '=', job.key).execute()
    expect(await save(job, RELAYS[0]!, null, { dids: didsOf(2), cursor: 'next' })).toBe('saved')
  })

  test('is not taken when the job would have more repos than it may have', async () => {
    const job = await discovering()
    await store.db.updateTable('job').set({ repo_limit: 3 }).where('key', '=', job.key).execute()
    expect(await save(job, RELAYS[0]!, null, { dids: didsOf(3), cursor: 'next' })).toBe('saved')
    expect(await save(job, RELAYS[0]!, 'next', { dids: didsOf(3), cursor: 'more' })).toBe('saved')
    expect(await save(job, RELAYS[0]!, 'more', { dids: didsOf(2, 2), cursor: null })).toBe('too-many-repos')
    expect((await findTestJob(store.db, job.id)).repos.size).toBe(3)
    await assertCountersEqualRows(store)
  })
})
