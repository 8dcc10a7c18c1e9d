import { Kysely, PostgresDialect } from 'kysely'
import { afterAll, beforeAll, expect, test } from 'vitest'
import type { FeedEvent } from '../../src/jobs/feed-event.js'
import { JobFeeds } from '../../src/jobs/feed-follow.js'
import { movesOf } from '../../src/jobs/state.js'
import type { Store } from '../../src/store/database.js'
import { deleteDetails } from '../../src/store/details.js'
import { findJob, type JobRow } from '../../src/store/jobs.js'
import type { Database } from '../../src/store/schema.js'
import { moveDoneJob } from '../../src/store/transitions.js'
import { createStore } from '../support/database.js'
import { addJob, completion, didsOf, drive, type TestJob, writeSteps } from '../support/fixtures.js'
import { eventually } from '../support/wait.js'

let store: Store

beforeAll(async () => {
  store = await createStore()
})

afterAll(async () => {
  await store?.[Symbol.asyncDispose]()
})

/** Feeds that render an event as itself, on a database that counts what it is asked and can fail. */
function openFeeds(limits = { messages: 10_000, bytes: 1_000_000 }) {
  const asked: string[] = []
  const told: string[] = []
  const trouble = { on: false }
  const listeners = new Set<(job: number) => void>()
  const pool = {
    connect: () => (trouble.on ? Promise.reject(new Error('Connection terminated')) : store.pool.connect()),
    end: async () => {},
  } as unknown as Store['pool']
  const db = new Kysely<Database>({
    dialect: new PostgresDialect({ pool }),
    log: ({ query }) => void asked.push(query.sql),
  })
  const notices = {
    on(listener: (job: number) => void) {
      listeners.add(listener)
      return () => listeners.delete(listener)
    },
  }
  let rendered = 0
  const render = (event: FeedEvent) => {
    rendered += 1
    return { event, byteLength: 100 }
  }
  const feeds = new JobFeeds(notices, { db, tell: (name) => told.push(name), render, limits })
  return {
    feeds,
    asked,
    told,
    trouble,
    listeners,
    rendered: () => rendered,
    tell: (job: TestJob) => {
      for (const listener of listeners) listener(job.key)
    },
  }
}

/** Follows a job, with everything that has come so far. */
async function follow(open: ReturnType<typeof openFeeds>, job: TestJob, cursor?: number) {
  return followRow(open, (await findJob(store.db, job.id))!, cursor)
}

function followRow(open: ReturnType<typeof openFeeds>, row: JobRow, cursor?: number) {
  const stop = new AbortController()
  const events: FeedEvent[] = []
  const done = (async () => {
    for await (const { event } of open.feeds.follow(row, cursor, stop.signal)) events.push(event)
  })()
  const leave = async () => {
    stop.abort()
    await done
  }
  return { events, done, leave, kinds: () => events.map(({ kind }) => kind) }
}

async function startJob(repos: number) {
  const dids = didsOf(repos)
  const job = await addJob(store, { repos: dids })
  const host = await drive(store.db, `https://pds-${job.key}.example`)
  const complete = (...some: string[]) =>
    writeSteps(store, ...some.map((did) => completion(job, did, host, [], { movedTo: host.host })))
  return { job, dids, complete }
}

const began = (follower: Awaited<ReturnType<typeof follow>>) =>
  eventually(
    () => follower.events.length,
    (count) => count > 0,
  )

test('200 followers of a job cost the database no more than one', async () => {
  const REPOS = 30
  const costOf = async (followers: number) => {
    const open = openFeeds()
    const { job, dids, complete } = await startJob(REPOS)
    const all = await Promise.all(Array.from({ length: followers }, () => follow(open, job)))
    for (const one of all) await began(one)
    open.asked.length = 0
    const rendered = open.rendered()
    const from = performance.now()
    for (const did of dids) {
      await complete(did)
      open.tell(job)
    }
    for (const one of all)
      await eventually(
        () => one.kinds().filter((kind) => kind === 'repo').length,
        (count) => count === dids.length,
      )
    await eventually(
      () => performance.now() - from,
      (passed) => passed > 2_000,
    )
    const cost = {
      queries: open.asked.length,
      looks: open.asked.filter((sql) => sql.includes('"job"."id" = $1')).length,
      rendered: open.rendered() - rendered,
      seconds: (performance.now() - from) / 1_000,
    }
    for (const one of all) await one.leave()
    expect(open.feeds.size).toBe(0)
    expect(open.listeners.size).toBe(0)
    return cost
  }
  const one = await costOf(1)
  const many = await costOf(200)
  // Looks are made once a second and after a notice, of which several may be one: how many there are comes from how
  // long the test itself takes.
  for (const { looks, seconds } of [one, many]) {
    expect(looks).toBeGreaterThan(2)
    expect(looks).toBeLessThan(REPOS + seconds + 5)
  }
  const more = Math.max(0, many.looks - one.looks)
  expect(many.queries).toBeLessThan(one.queries + 12 + 3 * more)
  expect(many.rendered).toBeLessThan(one.rendered + 12 + more)
}, 60_000)

test('many who come back with the same cursor are served by the same reading', async () => {
  const { job, dids, complete } = await startJob(1_200)
  await complete(...dids)
  const readings = async (followers: number) => {
    const open = openFeeds()
    const row = (await findJob(store.db, job.id))!
    const all = Array.from({ length: followers }, () => followRow(open, row, 0))
    for (const one of all)
      await eventually(
        () => one.kinds().filter((kind) => kind === 'repo').length,
        (count) => count === dids.length,
      )
    const count = open.asked.filter((sql) => sql.includes('job_repo.seq >')).length
    for (const one of all) await one.leave()
    return count
  }
  expect(await readings(1)).toBe(3)
  expect(await readings(50)).toBe(3)
})

test('nobody who leaves leaves anything behind, whenever it is', async () => {
  const open = openFeeds()
  const { job } = await startJob(5)
  for (const cursor of [undefined, 0]) {
    const gone = await follow(open, job, cursor)
    await gone.leave()
    const stays = await follow(open, job, cursor)
    await began(stays)
    expect(open.feeds.size).toBe(1)
    expect(open.listeners.size).toBe(1)
    await stays.leave()
    expect(open.feeds.size).toBe(0)
    expect(open.listeners.size).toBe(0)
  }
  await eventually(
    () => open.asked.splice(0).length,
    (count) => count === 0,
  )
  await new Promise((resolve) => setTimeout(resolve, 1_300))
  expect(open.asked).toEqual([])
})

test('with the database gone, those who come wait and those who are there stay; the operator is told once', async () => {
  const open = openFeeds()
  const { job, dids, complete } = await startJob(3)
  const before = await follow(open, job)
  await began(before)
  open.trouble.on = true
  await complete(...dids)
  open.tell(job)
  const during = await follow(open, job, 0)
  await eventually(
    () => open.told,
    (told) => told.length > 0,
  )
  await new Promise((resolve) => setTimeout(resolve, 2_300))
  expect(open.told).toEqual(['database.connection-lost'])
  expect(before.kinds()).toEqual(['snapshot'])
  const impatient = await follow(open, job, 0)
  await impatient.leave()
  open.trouble.on = false
  for (const one of [before, during]) {
    await eventually(
      () => one.kinds().filter((kind) => kind === 'repo').length,
      (count) => count === 3,
    )
    await one.leave()
  }
})

test('one who takes nothing is ended as too slow; the others get everything', async () => {
  const open = openFeeds({ messages: 2_500, bytes: 1_000_000 })
  const { job, dids, complete } = await startJob(5_000)
  const row = (await findJob(store.db, job.id))!
  const stop = new AbortController()
  const stalled = open.feeds.follow(row, undefined, stop.signal)
  await stalled.next()
  const others = await Promise.all([follow(open, job), follow(open, job)])
  for (const one of others) await began(one)
  for (let from = 0; from < dids.length; from += 1_000) await complete(...dids.slice(from, from + 1_000))
  for (const one of others) {
    await eventually(
      () => one.kinds().filter((kind) => kind === 'repo').length,
      (count) => count === dids.length,
    )
    await one.leave()
  }
  await expect(stalled.next()).rejects.toMatchObject({ code: 'ConsumerTooSlow' })
  expect(open.feeds.size).toBe(0)
})

test('a burst that is larger than a queue drowns nobody who keeps up', async () => {
  const open = openFeeds({ messages: 2_400, bytes: 1_000_000 })
  const { job, dids, complete } = await startJob(8_000)
  const row = (await findJob(store.db, job.id))!
  let repos = 0
  const stop = new AbortController()
  const slow = (async () => {
    for await (const { event } of open.feeds.follow(row, undefined, stop.signal)) {
      if (event.kind === 'repo') repos += 1
      // A connection's pace: less than what the database gives.
      if (repos % 20 === 1) await new Promise((resolve) => setTimeout(resolve, 1))
    }
  })()
  await eventually(
    () => open.rendered(),
    (count) => count > 0,
  )
  open.trouble.on = true
  for (let from = 0; from < dids.length; from += 1_000) await complete(...dids.slice(from, from + 1_000))
  open.trouble.on = false
  await eventually(
    () => repos,
    (count) => count === dids.length,
  )
  stop.abort()
  await slow
})

test('one who is there when the details go is told that, and the whole job', async () => {
  const open = openFeeds()
  const { job, dids, complete } = await startJob(3)
  const follower = await follow(open, job)
  await began(follower)
  open.trouble.on = true
  await complete(...dids)
  await moveDoneJob(store.db, job.key, movesOf('done'), new Date())
  await deleteDetails(store.db, { key: job.key }, ['completed'])
  open.trouble.on = false
  await follower.done
  expect(follower.kinds()).toEqual(['snapshot', 'outdated', 'snapshot', 'counters', 'completed'])
  expect(follower.events[2]?.job).toMatchObject({ status: 'completed', completed: 3 })
})

test('a job that is gone altogether ends what follows it', async () => {
  const open = openFeeds()
  const { job } = await startJob(2)
  const follower = await follow(open, job)
  await began(follower)
  await store.db.deleteFrom('job').where('key', '=', job.key).execute()
  await expect(follower.done).rejects.toMatchObject({ code: 'JobNotFound' })
  expect(open.feeds.size).toBe(0)
})
