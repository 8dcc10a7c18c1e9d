import { afterAll, beforeAll, expect, test } from 'vitest'
import { openStore, type Store } from '../../src/store/database.js'
import { JobNotices } from '../../src/store/notices.js'
import { DatabaseProxy } from '../api/database-proxy.js'
import { createStore } from '../support/database.js'
import { eventually } from '../support/wait.js'

let store: Store & { url: string }

beforeAll(async () => {
  store = await createStore()
})

afterAll(async () => {
  await store?.[Symbol.asyncDispose]()
})

const open = (url: string) =>
  openStore({ url, connections: 2, applicationName: 'aquifer-test', onError: () => {} })

/** The jobs that a listener has heard of, once it certainly listens. */
async function listen(notices: JobNotices, sender: JobNotices): Promise<number[]> {
  const heard: number[] = []
  notices.on((job) => heard.push(job))
  await reaches(sender, heard)
  return heard
}

/** Waits until word comes through, which is then forgotten. */
async function reaches(sender: JobNotices, heard: number[]): Promise<void> {
  const tell = () => {
    sender.tell([0])
    return heard.length
  }
  await eventually(tell, (count) => count > 0)
  await eventually(
    () => heard.splice(0).length,
    (count) => count === 0,
  )
}

/** Listening connections of this database. */
async function listeners(): Promise<number> {
  const { rows } = await store.pool.query<{ count: number }>(
    `select count(*) from pg_stat_activity where datname = current_database() and query like 'listen %'`,
  )
  return rows[0]!.count
}

test('what one process tells, another hears, and so does itself', async () => {
  await using elsewhere = open(store.url)
  await using sender = new JobNotices(elsewhere.pool)
  await using receiver = new JobNotices(store.pool)
  const heard = await listen(receiver, sender)
  const own = await listen(sender, sender)
  heard.splice(0)
  sender.tell([7, 8])
  sender.tell(new Set([7]))
  for (const jobs of [heard, own])
    await eventually(
      () => jobs,
      (all) => all.includes(7) && all.includes(8),
    )
})

test('the first is told at once, and all of the next quarter of a second together', async () => {
  let queries = 0
  const counting = {
    options: store.pool.options,
    query: (text: string, values: unknown[]) => {
      queries += 1
      return store.pool.query(text, values)
    },
  } as unknown as typeof store.pool
  await using receiver = new JobNotices(store.pool)
  await using sender = new JobNotices(counting)
  const heard = await listen(receiver, sender)
  // Whatever the last word was, its pause is over when this one has come.
  sender.tell([1])
  await eventually(
    () => heard,
    (jobs) => jobs.includes(1),
  )
  queries = 0
  const began = performance.now()
  for (let job = 2; job <= 500; job++) sender.tell([job, job])
  await eventually(
    () => heard,
    (jobs) => jobs.includes(500),
  )
  // Two, if the pause ended just before the first of them.
  expect(queries).toBeLessThanOrEqual(2)
  expect(heard.filter((job) => job > 1)).toHaveLength(499)
  expect(performance.now() - began).toBeLessThan(8_000)
})

test('one connection listens for any number of listeners, from the first one on, until all is closed', async () => {
  const before = await listeners()
  {
    await using notices = new JobNotices(store.pool)
    notices.tell([1])
    expect(await listeners()).toBe(before)
    const ends = Array.from({ length: 20 }, () => notices.on(() => {}))
    await eventually(listeners, (count) => count === before + 1)
    for (const end of ends) end()
  }
  await eventually(listeners, (count) => count === before)
})

test('a listener that has ended hears nothing any more', async () => {
  await using notices = new JobNotices(store.pool)
  const first: number[] = []
  const end = notices.on((job) => first.push(job))
  const second = await listen(notices, notices)
  end()
  const heard = first.length
  notices.tell([9])
  await eventually(
    () => second,
    (jobs) => jobs.includes(9),
  )
  expect(first).toHaveLength(heard)
})

test('listens again by itself when the connection breaks, wherever the server is then', async () => {
  await using here = await DatabaseProxy.start(store.url)
  await using elsewhere = open(here.url)
  await using receiver = new JobNotices(elsewhere.pool)
  await using sender = new JobNotices(store.pool)
  const heard = await listen(receiver, sender)
  await here.stop()
  await using there = await DatabaseProxy.start(store.url)
  expect(there.url).not.toBe(here.url)
  // As it is done when an embedded server comes back on another port.
  elsewhere.pool.options.connectionString = there.url
  await reaches(sender, heard)
  await there.stop()
  await there.restart()
  await reaches(sender, heard)
})

test('without a database nothing is thrown, and closing does not wait for one', async () => {
  await using nowhere = open('postgres://nobody:nothing@127.0.0.1:1/none')
  const notices = new JobNotices(nowhere.pool)
  notices.on(() => {})
  notices.tell([1])
  await new Promise((resolve) => setTimeout(resolve, 300))
  notices.tell([2])
  const began = performance.now()
  await notices[Symbol.asyncDispose]()
  expect(performance.now() - began).toBeLessThan(8_000)
  notices.tell([3])
  notices.on(() => {})
})

test('closing does not wait for a server that says nothing', async () => {
  await using silent = await DatabaseProxy.start(store.url)
  silent.setSilent(true)
  await using unheard = open(silent.url)
  const notices = new JobNotices(unheard.pool)
  notices.on(() => {})
  await new Promise((resolve) => setTimeout(resolve, 100))
  const began = performance.now()
  await notices[Symbol.asyncDispose]()
  expect(performance.now() - began).toBeLessThan(8_000)
})
