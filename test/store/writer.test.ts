import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test, vi } from 'vitest'
import { Writer } from '../../src/engine/writer.js'
import { openStore } from '../../src/store/database.js'
import type { HostClaim } from '../../src/store/hosts.js'
import type { RepoStep } from '../../src/store/steps.js'
import { createStore } from '../support/database.js'
import {
  addJob,
  assertCountersEqualRows,
  cidOf,
  completion,
  didOf,
  didsOf,
  drive,
  empty,
  inTransaction,
  POST,
  record,
  step,
  storedRecords,
  type TestJob,
  waitingBackends,
} from '../support/fixtures.js'

let store: Awaited<ReturnType<typeof createStore>>
let job: TestJob
let host: HostClaim
let writer: Writer
let written: string[]
/** Batches sent and ended so far. */
let sent: number
/** Connections taken from the pool since the writer was made, and the most at the same time. */
let taken: { total: number; most: number }

beforeAll(async () => {
  store = await createStore()
  let now = 0
  store.pool.on('acquire', () => {
    now += 1
    taken.total += 1
    taken.most = Math.max(taken.most, now)
  })
  store.pool.on('release', () => {
    now -= 1
  })
})

afterAll(() => store[Symbol.asyncDispose]())

beforeEach(async () => {
  taken = { total: 0, most: 0 }
  job = await addJob(store, { repos: didsOf(1_100) })
  host = await drive(store.db)
  written = []
  sent = 0
  writer = new Writer(
    store.pool,
    (steps) => written.push(...steps.map(({ did }) => did)),
    () => {
      sent += 1
    },
  )
  taken = { total: 0, most: 0 }
})

afterEach(async () => {
  vi.useRealTimers()
  await assertCountersEqualRows(store)
  await empty(store)
})

/** The end of a repo with this many records of this many bytes. */
function end(index: number, records = 1, bytes = 2): RepoStep {
  const value = JSON.stringify('x'.repeat(bytes - 2))
  const rows = Array.from({ length: records }, (_, row) =>
    record(job.collections.get(POST)!, `k${row}`, cidOf(`${row}`), value),
  )
  return completion(job, didOf(index), host, rows)
}

/** Lets everything happen that needs no time. */
const turn = () => new Promise<void>((resolve) => setImmediate(resolve))

describe('steps are gathered until', () => {
  beforeEach(() => {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] })
  })

  test('the first of them has waited for 40 ms', async () => {
    const first = [writer.write(end(0)), writer.write(end(1))]
    vi.advanceTimersByTime(25)
    first.push(writer.write(end(2)))
    vi.advanceTimersByTime(14)
    await turn()
    expect(taken.total).toBe(0)
    vi.advanceTimersByTime(1)
    expect(await Promise.all(first)).toEqual([true, true, true])
    expect(taken.total).toBe(1)
    const next = writer.write(end(3))
    vi.advanceTimersByTime(40)
    expect(await next).toBe(true)
    expect(taken.total).toBe(2)
  })

  test.each<[string, () => RepoStep[]]>([
    ['they hold 1,000 rows', () => [400, 400, 200].map((records, index) => end(index, records))],
    ['there are 1,000 of them', () => didsOf(1_000).map((_, index) => end(index, 0))],
    ['they hold 8 MiB', () => Array.from({ length: 8 }, (_, index) => end(index, 4, 256 * 1024))],
  ])('%s', async (_, make) => {
    const steps = make()
    const last = steps.pop()!
    const gathered = steps.map((each) => writer.write(each))
    await turn()
    expect(taken.total).toBe(0)
    gathered.push(writer.write(last))
    // No time has passed: the last one has sent them.
    expect(new Set(await Promise.all(gathered))).toEqual(new Set([true]))
    expect(taken.total).toBe(1)
    expect(written).toHaveLength(gathered.length)
  })

  test('one step holds more than that by itself', async () => {
    expect(await writer.write(end(0, 3_000))).toBe(true)
    expect(await storedRecords(store)).toHaveLength(3_000)
  })
})

test('each step is told whether it took effect, and only what did is passed on, once it is durable', async () => {
  const found: Promise<string>[] = []
  const statusOf = async (did: string) => {
    const { rows } = await store.pool.query('select status from job_repo where did = $1', [did])
    return rows[0].status as string
  }
  const telling = new Writer(store.pool, (steps) => {
    for (const { did } of steps) found.push(statusOf(did))
  })
  const stale = { ...end(1), fence: { ...host, epoch: host.epoch - 1 } }
  expect(await Promise.all([end(0), stale, end(2)].map((each) => telling.write(each)))).toEqual([
    true,
    false,
    true,
  ])
  expect(await Promise.all(found)).toEqual(['completed', 'completed'])
  expect(await telling.write(end(0))).toBe(false)
  expect(found).toHaveLength(2)
})

test('a batch that the database refuses fails each of its steps, and no other', async () => {
  const poison = { ...end(1), rows: [record(job.collections.get(POST)!, 'k', 'c', '{')] }
  const results = await Promise.allSettled([end(0), poison, end(2)].map((each) => writer.write(each)))
  expect(results.map(({ status }) => status)).toEqual(['rejected', 'rejected', 'rejected'])
  expect(written).toEqual([])
  expect(await storedRecords(store)).toEqual([])
  expect(await Promise.all([end(0), end(2)].map((each) => writer.write(each)))).toEqual([true, true])
})

/** Runs something while whoever writes under the host has to wait. */
const whileHostIsHeld = <T>(run: () => Promise<T>) =>
  inTransaction(store, 'rollback', async (client) => {
    await client.query('update host set epoch = epoch where id = $1', [host.host])
    return run()
  })

const kill = (pid: number) => store.pool.query('select pg_terminate_backend($1, 5000)', [pid])

test('full batches wait while two others are being written, however many there are', async () => {
  const { batches } = await whileHostIsHeld(async () => {
    const batches = Array.from({ length: 12 }, (_, index) => writer.write(end(index, 1_000)))
    await waitingBackends(store, 2)
    // The holder, the two of the writer, and whoever looks on.
    expect(taken.most).toBeLessThanOrEqual(4)
    return { batches }
  })
  expect(new Set(await Promise.all(batches))).toEqual(new Set([true]))
  expect(written.sort()).toEqual(didsOf(12))
})

test('steps go on being gathered while two batches are being written', async () => {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] })
  const { steps } = await whileHostIsHeld(async () => {
    const steps = [end(0, 1_000), end(1, 2_000)].map((each) => writer.write(each))
    await waitingBackends(store, 2)
    for (const index of [2, 3, 4]) {
      steps.push(writer.write(end(index)))
      vi.advanceTimersByTime(40)
    }
    return { steps }
  })
  expect(new Set(await Promise.all(steps))).toEqual(new Set([true]))
  // The third one has all that came meanwhile.
  expect(sent).toBe(3)
  expect(written.sort()).toEqual(didsOf(5))
})

test('up to 2,000 rows are gathered while one batch is being written', async () => {
  const { steps } = await whileHostIsHeld(async () => {
    const steps = [writer.write(end(0, 1_000))]
    await waitingBackends(store)
    for (const index of [1, 2, 3, 4]) steps.push(writer.write(end(index, 500)))
    await waitingBackends(store, 2)
    return { steps }
  })
  expect(new Set(await Promise.all(steps))).toEqual(new Set([true]))
  expect(sent).toBe(2)
})

test('a connection that dies in the middle of a batch fails its steps; later ones are written', async () => {
  const settled = await whileHostIsHeld(async () => {
    const settled = Promise.allSettled([end(0), end(1)].map((each) => writer.write(each)))
    await kill((await waitingBackends(store))[0]!)
    return settled
  })
  expect(settled.map(({ status }) => status)).toEqual(['rejected', 'rejected'])
  expect(await storedRecords(store)).toEqual([])
  expect(await Promise.all([end(0), end(1)].map((each) => writer.write(each)))).toEqual([true, true])
})

test('a database that cannot be reached fails the steps, and nothing else', async () => {
  const away = openStore({
    url: 'postgres://nobody@127.0.0.1:1/nothing',
    connections: 2,
    applicationName: 'aquifer-test',
    onError: () => {},
  })
  const lost = new Writer(away.pool, () => {})
  const results = await Promise.allSettled([end(0), end(1)].map((each) => lost.write(each)))
  expect(results.map(({ status }) => status)).toEqual(['rejected', 'rejected'])
  await away[Symbol.asyncDispose]()
})

describe('a step written with something before it', () => {
  const note = (text: string) => async (client: { query: (text: string, values: string[]) => unknown }) => {
    await client.query('insert into repo (did) values ($1)', [text])
  }
  const notes = async () =>
    (await store.pool.query(`select did from repo where did like 'note%'`)).rows.map(({ did }) => did)

  test('takes effect together with it', async () => {
    expect(await writer.writeWith(end(0), note('note'))).toBe(true)
    expect(await notes()).toEqual(['note'])
    expect(written).toEqual([didOf(0)])
  })

  test('takes nothing of it when it is refused', async () => {
    const stale = { ...end(0), fence: { ...host, epoch: host.epoch - 1 } }
    expect(await writer.writeWith(stale, note('note'))).toBe(false)
    expect(await notes()).toEqual([])
    expect(written).toEqual([])
  })

  test('takes nothing of it when either fails', async () => {
    const poison = step(job, didOf(0), host, { status: 'failed' })
    await expect(writer.writeWith(poison, note('note'))).rejects.toThrow()
    const fails = async () => {
      throw new Error('no')
    }
    await expect(writer.writeWith(end(0), fails)).rejects.toThrow('no')
    expect(await notes()).toEqual([])
    expect(await writer.writeWith(end(0), note('note'))).toBe(true)
  })

  test('fails when its connection dies while it does nothing, and brings nobody down', async () => {
    const dying = writer.writeWith(end(0), async (client) => {
      const { rows } = await client.query<{ pid: number }>('select pg_backend_pid() as pid')
      const ended = new Promise((resolve) => client.once('end', resolve))
      await kill(rows[0]!.pid)
      await ended
    })
    await expect(dying).rejects.toThrow()
    expect(await writer.writeWith(end(0), async () => {})).toBe(true)
    expect(await storedRecords(store)).toHaveLength(1)
  })
})
