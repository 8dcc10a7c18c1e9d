import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { RateLimited } from '../../src/atproto/outcome.js'
import { DatabaseClock } from '../../src/engine/database-clock.js'
import type { Gate } from '../../src/engine/gate.js'
import { Relays } from '../../src/engine/relays.js'
import { SharedGate } from '../../src/engine/shared-gate.js'
import { openStore, type Store } from '../../src/store/database.js'
import { hostIds } from '../../src/store/hosts.js'
import { createStore } from '../support/database.js'

const RPM = 1_200
const INTERVAL_MS = 60_000 / RPM
const BURST = RPM / 60
/** How late a turn may be taken. */
const LATE_MS = 400
const never = new AbortController().signal

let store: Awaited<ReturnType<typeof createStore>>
let stores: Store[]
let host: number
let hosts = 0

beforeAll(async () => {
  store = await createStore()
  const open = (name: string) =>
    openStore({ url: store.url, connections: 2, applicationName: name, onError: () => {} })
  stores = [open('one'), open('two'), open('three')]
})

afterAll(async () => {
  for (const each of stores) await each[Symbol.asyncDispose]()
  await store[Symbol.asyncDispose]()
})

beforeEach(async () => {
  hosts += 1
  const origin = `https://relay-${hosts}.example#relay`
  host = (await hostIds(store.db, [origin])).get(origin)!
})

const gateOn = ({ db }: Store, rpm = RPM, now = Date.now) =>
  new SharedGate({ db, host, rpm: () => rpm, patienceMs: 5_000, now, random: () => 0 })

test('all processes together keep one rate, and waste little of it', async () => {
  const passed: number[] = []
  const began = Date.now()
  await Promise.all(
    stores.map(async (each, index) => {
      const gate = gateOn(each)
      // Each asks in its own way: all at once, one after the other, in groups.
      const groups = [30, 1, 5][index]!
      for (let left = 30; left > 0; left -= groups) {
        await Promise.all(
          Array.from({ length: groups }, async () => {
            await gate.pass(never)
            passed.push(Date.now())
          }),
        )
      }
    }),
  )
  passed.sort((a, b) => a - b)
  expect(passed).toHaveLength(90)
  for (const [first, from] of passed.entries()) {
    for (const [last, to] of passed.entries()) {
      // More, because a busy machine may be late with the first of them by so much.
      const allowed = BURST + (to - from + LATE_MS) / INTERVAL_MS
      if (last > first) expect(last - first + 1).toBeLessThanOrEqual(allowed)
    }
  }
  // Wasted portions would make it many times as long.
  const ideal = (90 - BURST) * INTERVAL_MS
  expect(Date.now() - began).toBeLessThanOrEqual(ideal + 5_000)
})

test('a slow rate lets each of those who wait through in turn', async () => {
  const gate = gateOn(stores[0]!, 240)
  const began = Date.now()
  await Promise.all(Array.from({ length: 10 }, () => gate.pass(AbortSignal.timeout(12_000))))
  // Four at once, and four a second.
  expect(Date.now() - began).toBeGreaterThanOrEqual(1_450)
  expect(Date.now() - began).toBeLessThanOrEqual(8_000)
})

test('what a process has in hand when it dies is a second at most', async () => {
  const dying = gateOn(stores[0]!)
  await dying.pass(never)
  const stop = new AbortController()
  const waiting = Array.from({ length: 500 }, () => dying.pass(stop.signal).catch(() => {}))
  await dying.pass(AbortSignal.timeout(100)).catch(() => {})
  stop.abort()
  await Promise.all(waiting)
  const began = Date.now()
  await gateOn(stores[1]!).pass(never)
  // All that were waiting are 25 seconds.
  expect(Date.now() - began).toBeLessThanOrEqual(8_000)
})

test('a pause holds every process, and is told to those who would wait for long', async () => {
  const clock = new DatabaseClock(Date.now)
  const relaysOf = (each: Store) =>
    new Relays({ db: each.db, limits: { startRpm: RPM, maxRpm: RPM }, clock, now: Date.now, random: () => 0 })
  const relay = `https://relay-${hosts}.example`
  const [one, two] = [relaysOf(stores[0]!), relaysOf(stores[1]!)]
  const gate = await two.gate(relay)
  await gate.pass(never)
  await one.pause(relay, new Date(Date.now() + 60_000))
  await expect(gate.pass(never)).rejects.toBeInstanceOf(RateLimited)
  expect(gate.heldUntil - Date.now()).toBeGreaterThan(55_000)

  const origin = `https://relay-${hosts}.example#relay`
  host = (await hostIds(store.db, [origin])).get(origin)!
  await store.pool.query(
    `update host set next_request_at = clock_timestamp() + interval '1 s' where id = $1`,
    [host],
  )
  const began = Date.now()
  await gateOn(stores[2]!).pass(never)
  expect(Date.now() - began).toBeGreaterThanOrEqual(950)
})

describe('a relay', () => {
  const METHOD = 'com.atproto.sync.listRepos'
  const START = 120

  async function relayGate(maxRpm: number) {
    const clock = new DatabaseClock(Date.now)
    const limits = { startRpm: START, maxRpm }
    const relays = new Relays({ db: stores[0]!.db, limits, clock, now: Date.now, random: () => 0 })
    return relays.gate(`https://relay-${hosts}.example`)
  }

  /** So many requests one after the other, each answered with these headers. @returns how long they took, ms */
  async function ask(gate: Gate, count: number, headers: () => Record<string, string>): Promise<number> {
    const began = Date.now()
    for (let n = 0; n < count; n += 1) {
      const passage = await gate.pass(AbortSignal.timeout(20_000), METHOD)
      const told = headers()
      await passage.answered((name) => told[name])
    }
    return Date.now() - began
  }

  const limited = (limit: number, remaining: number, seconds: number) => () => ({
    'ratelimit-limit': String(limit),
    'ratelimit-remaining': String(remaining),
    'ratelimit-reset': String(Math.floor(Date.now() / 1_000) + seconds),
    'ratelimit-policy': `${limit};w=60`,
  })

  test('that says nothing of its limit is asked as often as the configuration has it', async () => {
    // Two at once, and two a second.
    const took = await ask(await relayGate(100_000), 6, () => ({}))
    expect(took).toBeGreaterThanOrEqual(1_950)
  })

  test('that grants more is asked more often', async () => {
    const took = await ask(await relayGate(100_000), 60, limited(60_000, 50_000, 50))
    // Half a minute by the rate to begin with.
    expect(took).toBeLessThan(12_000)
  })

  test('is not asked more often than any host', async () => {
    const took = await ask(await relayGate(300), 20, limited(60_000, 50_000, 50))
    // Five at once, and five a second.
    expect(took).toBeGreaterThanOrEqual(2_900)
  })

  test('that grants less is asked less often', async () => {
    const gate = await relayGate(100_000)
    await ask(gate, 1, limited(30, 29, 50))
    // Four fifths of thirty a minute are one in two and a half seconds; one was in hand before.
    expect(await ask(gate, 3, limited(30, 20, 50))).toBeGreaterThanOrEqual(4_500)
  })

  test('that has nothing left is left alone until it has', async () => {
    const gate = await relayGate(100_000)
    await ask(gate, 1, limited(3_000, 0, 40))
    await expect(gate.pass(never, METHOD)).rejects.toBeInstanceOf(RateLimited)
    expect(gate.heldUntil - Date.now()).toBeGreaterThan(30_000)
  })
})

test('whoever waits is told when the database is gone', async () => {
  const gone = openStore({ url: store.url, connections: 1, applicationName: 'gone', onError: () => {} })
  const gate = gateOn(gone)
  await gone.pool.end()
  await expect(gate.pass(never)).rejects.toThrow()
})
