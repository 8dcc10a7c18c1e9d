import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { RateLimited } from '../../src/atproto/outcome.js'
import type { Gate } from '../../src/engine/gate.js'
import { HostGate } from '../../src/engine/host-gate.js'
import { GOOD } from '../../src/engine/standing.js'
import { seeded } from './seeded.js'

const START_MS = Date.UTC(2026, 0, 2, 3, 4, 5)
const never = new AbortController().signal

beforeEach(() => {
  vi.useFakeTimers({ now: START_MS })
})
afterEach(() => {
  vi.useRealTimers()
})

/** Notes when requests pass, in ms since the start. */
function watch(gate: Gate) {
  const passed: number[] = []
  const ask = (count = 1) => {
    for (let left = count; left > 0; left -= 1) {
      void gate.pass(never).then(() => passed.push(Date.now() - START_MS))
    }
  }
  return { passed, ask }
}

const elapse = (ms: number) => vi.advanceTimersByTimeAsync(ms)

function gateOf(rpm: number, notBefore = 0): HostGate {
  const limits = { startRpm: rpm, maxRpm: rpm }
  const world = { now: Date.now, random: () => 0, save: async () => {} }
  return new HostGate({ limits, standing: GOOD, budget: null, notBefore, ...world })
}

describe('a gate', () => {
  it('lets the first request through at once, and the others at its rate', async () => {
    const { passed, ask } = watch(gateOf(60))
    ask(4)
    await elapse(10_000)
    expect(passed).toEqual([0, 1_000, 2_000, 3_000])
  })

  it('lets a second of its rate through at once after a quiet time, and no more', async () => {
    const { passed, ask } = watch(gateOf(240))
    ask(6)
    await elapse(60_000)
    expect(passed).toEqual([0, 0, 0, 0, 250, 500])
    ask(5)
    await elapse(1_000)
    expect(passed.slice(6)).toEqual([60_000, 60_000, 60_000, 60_000, 60_250])
  })

  it('opens no earlier than it was told', async () => {
    const gate = gateOf(240, START_MS + 5_000)
    expect(gate.nextAt).toBe(START_MS + 5_000)
    const { passed, ask } = watch(gate)
    ask(3)
    await elapse(10_000)
    expect(passed).toEqual([5_000, 5_250, 5_500])
  })

  it('says when the next request may pass', async () => {
    const gate = gateOf(60)
    const { ask } = watch(gate)
    ask(1)
    await elapse(0)
    expect(gate.nextAt).toBe(START_MS + 1_000)
    gate.holdUntil(START_MS + 60_000)
    expect(gate.nextAt).toBe(START_MS + 60_000)
  })

  it('lets one through without a wait only at its turn, and past nobody who waits', async () => {
    const gate = gateOf(60)
    const { passed, ask } = watch(gate)
    expect(gate.passNow('')).not.toBeNull()
    expect(gate.passNow('')).toBeNull()
    ask(1)
    // The turn of whoever waits has come, but nobody has looked yet.
    vi.setSystemTime(START_MS + 5_000)
    expect(gate.passNow('')).toBeNull()
    await elapse(1_000)
    expect(passed).toHaveLength(1)
    await elapse(1_000)
    expect(gate.passNow('')).not.toBeNull()
    gate.holdUntil(START_MS + 60_000)
    await elapse(10_000)
    expect(gate.passNow('')).toBeNull()
  })

  it('rejects with the reason of an abort, before and during the wait', async () => {
    const reason = new Error('shutting down')
    const stop = new AbortController()
    const gate = gateOf(60)
    const passes = [gate.pass(stop.signal), gate.pass(stop.signal)]
    const settled = Promise.allSettled(passes)
    await elapse(500)
    stop.abort(reason)
    await elapse(0)
    expect(await settled).toEqual([
      { status: 'fulfilled', value: expect.anything() },
      { status: 'rejected', reason },
    ])
    await expect(gate.pass(stop.signal)).rejects.toBe(reason)
    expect(vi.getTimerCount()).toBe(0)
  })
})

describe('a pause the host asks for', () => {
  it('holds back those that wait already, and lets them through at the rate afterwards', async () => {
    const gate = gateOf(60)
    const { passed, ask } = watch(gate)
    ask(5)
    await elapse(1_500)
    gate.holdUntil(START_MS + 30_000)
    await elapse(60_000)
    expect(passed).toEqual([0, 1_000, 30_000, 31_000, 32_000])
  })

  it('is not shortened by a shorter one, and can be prolonged', async () => {
    const gate = gateOf(60)
    const { passed, ask } = watch(gate)
    gate.holdUntil(START_MS + 10_000)
    gate.holdUntil(START_MS + 5_000)
    ask(2)
    await elapse(8_000)
    gate.holdUntil(START_MS + 20_000)
    await elapse(60_000)
    expect(passed).toEqual([20_000, 21_000])
  })

  it('is not shortened for those that wait already', async () => {
    const gate = gateOf(60)
    const { passed, ask } = watch(gate)
    ask(4)
    gate.holdUntil(START_MS + 10_000)
    gate.holdUntil(START_MS + 1_500)
    await elapse(60_000)
    expect(passed.filter((at) => at > 0 && at < 10_000)).toEqual([])
    expect(passed).toHaveLength(4)
  })

  it('leaves turns after it as they are', async () => {
    const gate = gateOf(60)
    const { passed, ask } = watch(gate)
    ask(4)
    gate.holdUntil(START_MS + 1_500)
    await elapse(60_000)
    expect(passed.length).toBe(4)
    expect(passed.filter((at) => at > 0 && at < 1_500)).toEqual([])
    expect(new Set(passed).size).toBe(4)
  })

  it('sends away those who would have to wait for long', async () => {
    const gate = gateOf(60)
    const { passed, ask } = watch(gate)
    ask(1)
    await elapse(0)
    const waits = gate.pass(never)
    const refused = expect(waits).rejects.toEqual(new RateLimited(new Date(START_MS + 100_000)))
    gate.holdUntil(START_MS + 100_000)
    await refused
    await expect(gate.pass(never)).rejects.toBeInstanceOf(RateLimited)
    await elapse(100_000)
    ask(1)
    await elapse(0)
    expect(passed).toEqual([0, 100_000])
  })

  it('does no harm when it lies in the past', async () => {
    const gate = gateOf(60)
    const { passed, ask } = watch(gate)
    gate.holdUntil(START_MS - 1_000)
    ask(2)
    await elapse(10_000)
    expect(passed).toEqual([0, 1_000])
  })
})

it('a gate never lets more through in a minute than its rate and one second of it', async () => {
  const random = seeded(7)
  for (const rpm of [60, 100, 600]) {
    const gate = gateOf(rpm)
    const { passed, ask } = watch(gate)
    for (let step = 0; step < 200; step += 1) {
      if (random() < 0.5) ask(Math.floor(random() * 30))
      if (random() < 0.03) gate.holdUntil(Date.now() + random() * 30_000)
      await elapse(Math.floor(random() * 20_000))
    }
    for (const [index, at] of passed.entries()) {
      const within = passed.slice(index).findIndex((later) => later >= at + 60_000)
      expect(within).toBeLessThanOrEqual(rpm + Math.max(1, rpm / 60))
    }
    expect(passed.length).toBeGreaterThan(100)
  }
})
