import { readdir } from 'node:fs/promises'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { afterAll, expect, test } from 'vitest'
import { readConfig } from '../../src/config.js'
import { withLock } from '../../src/postgres/lock.js'
import type { Store } from '../../src/store/database.js'
import { openConfiguredStore } from '../../src/store/open.js'
import { isListening, killHard, Scratch, serverPid } from '../postgres/support.js'
import { eventually } from '../support/wait.js'

/** A server that starts again has files to sync; a busy machine takes its time. */
const PATIENCE_MS = 90_000

const scratch = new Scratch()
afterAll(() => scratch.clean())

/** A store with a server of its own in a new directory, and what it tells. */
async function open() {
  const root = await scratch.directory()
  const told: unknown[] = []
  const store = await openConfiguredStore(readConfig({ DATA_DIR: root }), (_name, detail) => {
    told.push(detail?.what)
  })
  const directory = join(root, 'postgres')
  return { store, told, directory, url: () => store.pool.options.connectionString! }
}

const numbersIn = (store: Store) =>
  store.pool.query<{ n: number }>('select n from kept').then(
    ({ rows }) => rows.map(({ n }) => n),
    () => null,
  )

// Side by side: each has a server of its own, and waits for it most of the time.
test.concurrent('an embedded server that is killed comes back by itself, time and again, with what was committed', async () => {
  const { store, told, directory, url } = await open()
  const before = url()
  await store.pool.query('create table kept (n int)')
  for (const n of [1, 2]) {
    await store.pool.query('insert into kept values ($1)', [n])
    const pid = await serverPid(directory)
    await killHard(pid)
    // Not from a connection that outlived its server for a moment.
    await eventually(
      () => serverPid(directory).catch(() => pid),
      (now) => now !== pid,
      PATIENCE_MS,
    )
    const numbers = await eventually(
      () => numbersIn(store),
      (seen) => seen !== null,
      PATIENCE_MS,
    )
    expect(numbers).toHaveLength(n)
  }
  expect(url()).toBe(before)
  expect(told).toContain('postgres.lost')
  await eventually(
    () => readdir(join(directory, 'users')),
    (users) => users.length === 1,
    PATIENCE_MS,
  )
  await store[Symbol.asyncDispose]()
  expect(await isListening(before)).toBe(false)
  expect(await readdir(join(directory, 'users'))).toEqual([])
})

test.concurrent('it comes back on another port when somebody took its own', async () => {
  const { store, directory, url } = await open()
  const before = url()
  await store.pool.query('create table kept (n int)')
  const squatter = createServer((socket) => socket.destroy())
  // Nobody starts it before its port is taken.
  await withLock(join(directory, 'lock'), async () => {
    await killHard(await serverPid(directory))
    await new Promise<void>((resolve, reject) => {
      squatter.once('error', reject)
      squatter.listen(Number(new URL(before).port), '127.0.0.1', resolve)
    })
  })
  const numbers = await eventually(
    () => numbersIn(store),
    (seen) => seen !== null,
    PATIENCE_MS,
  )
  expect(numbers).toEqual([])
  expect(url()).not.toBe(before)
  await store[Symbol.asyncDispose]()
  expect(await isListening(url())).toBe(false)
  squatter.close()
})

test.concurrent('closed just after its server died, it leaves none', async () => {
  const { store, directory, told, url } = await open()
  await killHard(await serverPid(directory))
  await eventually(
    () => told,
    (events) => events.includes('postgres.lost'),
    PATIENCE_MS,
  )
  await store[Symbol.asyncDispose]()
  expect(await isListening(url())).toBe(false)
  expect(await readdir(join(directory, 'users'))).toEqual([])
})
