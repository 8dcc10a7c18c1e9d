import { describe, expect, it } from 'vitest'
import { Budget, type Sent } from '../../src/engine/budget.js'

const START = Date.UTC(2026, 0, 2, 3, 4, 5)
const LIMITS = { startRpm: 100, maxRpm: 600 }
const LIST = 'com.atproto.repo.listRecords'
const REPO = 'com.atproto.sync.getRepo'
const COMMIT = 'com.atproto.sync.getLatestCommit'

type Headers = Record<string, string>
const silent: Headers = {}

/** What a PDS says when so many are left of a limit, for so long. */
function says(
  limit: number,
  windowSeconds: number,
  remaining: number,
  resetSeconds: number,
): (now: number) => Headers {
  return (now) => ({
    'ratelimit-limit': String(limit),
    'ratelimit-remaining': String(remaining),
    'ratelimit-reset': String(Math.ceil(now / 1_000 + resetSeconds)),
    'ratelimit-policy': `${limit};w=${windowSeconds}`,
  })
}

/** A budget, and the time, which goes on as far as a request has to wait. */
class Bench {
  now = START
  readonly sentAt: number[] = []

  constructor(readonly budget = new Budget(LIMITS, null, START)) {}

  send(method = LIST): Sent {
    this.now = Math.max(this.now, this.budget.nextAt(method, this.now))
    this.sentAt.push(this.now)
    return this.budget.sent(method, this.now)
  }

  answer(sent: Sent, headers: Headers | ((now: number) => Headers) = silent): void {
    const all = typeof headers === 'function' ? headers(this.now) : headers
    this.budget.answered(sent, (name) => all[name], this.now)
  }

  refuse(sent: Sent, headers: Headers | ((now: number) => Headers) = silent): void {
    const all = typeof headers === 'function' ? headers(this.now) : headers
    this.budget.refused(sent, (name) => all[name], this.now)
  }

  ask(headers: Headers | ((now: number) => Headers) = silent, method = LIST): void {
    this.answer(this.send(method), headers)
  }

  /** Requests that are sent within so long, each answered at once. */
  askFor(ms: number, headers: Headers | ((now: number) => Headers) = silent, method = LIST): number {
    const end = this.now + ms
    let count = 0
    while (this.budget.nextAt(method, this.now) < end) {
      this.ask(headers, method)
      count += 1
    }
    this.now = end
    return count
  }

  rpm(method = LIST): number {
    return this.budget.rpm(method)
  }
}

const MINUTE = 60_000

describe('a host that says nothing', () => {
  it('is asked a hundred times a minute, and a tenth more with each clean minute, up to the cap', () => {
    const bench = new Bench()
    expect(bench.askFor(MINUTE)).toBe(100)
    expect(bench.rpm()).toBe(100)
    bench.ask()
    expect(bench.rpm()).toBeCloseTo(110)
    bench.askFor(60 * MINUTE)
    expect(bench.rpm()).toBe(600)
    expect(bench.askFor(MINUTE)).toBeLessThanOrEqual(600)
  })

  it('is not asked more often because of minutes in which it was not asked', () => {
    const bench = new Bench()
    bench.ask()
    bench.now += 60 * MINUTE
    bench.ask()
    expect(bench.rpm()).toBeCloseTo(110)
  })

  it('is asked half as often when it refuses, once for all that were under way', () => {
    const bench = new Bench()
    const under = [bench.send(), bench.send(), bench.send()]
    for (const sent of under) bench.refuse(sent)
    expect(bench.rpm()).toBe(50)
    bench.refuse(bench.send())
    expect(bench.rpm()).toBe(25)
    // The minute was not clean.
    bench.askFor(MINUTE)
    expect(bench.rpm()).toBe(25)
    bench.askFor(MINUTE)
    expect(bench.rpm()).toBeGreaterThan(25)
  })

  it('is asked half as often when errors come in a burst: a fifth of a minute, three at least', () => {
    const bench = new Bench()
    for (let n = 0; n < 16; n += 1) bench.ask()
    for (const _ of [1, 2, 3]) bench.budget.failed(bench.send(), bench.now)
    expect(bench.rpm()).toBe(100)
    bench.budget.failed(bench.send(), bench.now)
    expect(bench.rpm()).toBe(50)
    // Once a minute.
    for (const _ of [1, 2, 3]) bench.budget.failed(bench.send(), bench.now)
    expect(bench.rpm()).toBe(50)
  })

  it('is asked as before when a single request fails, but not more often', () => {
    const bench = new Bench()
    bench.ask()
    bench.budget.failed(bench.send(), bench.now)
    bench.askFor(MINUTE + 1_000)
    expect(bench.rpm()).toBe(100)
  })

  it('is never asked so seldom that there is no end', () => {
    const bench = new Bench()
    for (let n = 0; n < 30; n += 1) {
      bench.now += 1_000
      bench.refuse(bench.send())
    }
    expect(bench.rpm()).toBe(2)
  })
})

describe('a host that says what it allows', () => {
  it.each([
    [300, 60, 240],
    [3_000, 300, 480],
    [100, 60, 80],
    [10, 60, 8],
    [30, 3_600, 0.4],
    // The operator's cap is a cap.
    [6_000, 60, 600],
  ])('%i in %i s is asked %d times a minute', (limit, seconds, rpm) => {
    const bench = new Bench()
    bench.ask({ 'ratelimit-policy': `${limit};w=${seconds}` })
    expect(bench.rpm()).toBeCloseTo(rpm)
  })

  it.each([
    [300, 60],
    [3_000, 300],
    [10, 1],
    [4, 1],
    [1, 1],
    [100, 3_600],
  ])('%i in %i s never sees more in any such time, nor much less than four fifths', (limit, seconds) => {
    const bench = new Bench(new Budget({ startRpm: 100, maxRpm: 100_000 }, null, START))
    const word = { 'ratelimit-policy': `${limit};w=${seconds}` }
    bench.ask(word)
    const windows = 20
    const sent = bench.askFor(windows * seconds * 1_000, word)
    const { sentAt } = bench
    for (const [index, at] of sentAt.entries()) {
      // The one that is a whole limit behind it comes in another window.
      const next = sentAt[index + limit]
      if (next !== undefined) expect(next - at).toBeGreaterThanOrEqual(seconds * 1_000)
    }
    expect(sent).toBeLessThanOrEqual(windows * 0.8 * limit + 0.2 * limit + 1)
    expect(sent).toBeGreaterThanOrEqual(Math.floor(windows * 0.8 * limit) - 1)
  })

  it('is not asked for more than others have left, and what is left is spread', () => {
    const bench = new Bench()
    bench.ask(says(3_000, 300, 50, 250))
    const sent = bench.askFor(245_000)
    expect(sent).toBeGreaterThanOrEqual(45)
    expect(sent).toBeLessThanOrEqual(50)
    const gaps = bench.sentAt.slice(2).map((at, index) => at - bench.sentAt[index + 1]!)
    expect(Math.min(...gaps)).toBeGreaterThan(3_000)
    // The next window is its own.
    bench.now += 10_000
    expect(bench.askFor(10_000)).toBeGreaterThan(70)
  })

  it('is left alone while nothing is left, but not for longer than a quarter of an hour', () => {
    const bench = new Bench()
    bench.ask(says(100, 60, 0, 30))
    expect(bench.budget.emptyUntil(LIST, bench.now) - bench.now).toBeGreaterThanOrEqual(30_000)
    expect(bench.budget.nextAt(LIST, bench.now) - bench.now).toBeLessThanOrEqual(32_000)
    const slow = new Bench()
    slow.ask(says(100, 7_200, 0, 7_000))
    expect(slow.budget.nextAt(LIST, slow.now) - slow.now).toBeLessThanOrEqual(15 * MINUTE)
  })

  it('counts those under way as not counted yet, whatever order answers come in', () => {
    const bench = new Bench()
    bench.ask(says(100, 60, 11, 50))
    const under = Array.from({ length: 10 }, () => bench.send())
    bench.answer(under[9]!, says(100, 60, 2, 40))
    bench.answer(under[0]!, says(100, 60, 10, 40))
    expect(bench.budget.emptyUntil(LIST, bench.now)).toBeGreaterThan(bench.now)
  })

  it('keeps its rate through a refusal that its own count explains: others have spent the rest', () => {
    const bench = new Bench()
    bench.ask(says(300, 60, 200, 60))
    bench.refuse(bench.send(), says(300, 60, 0, 20))
    expect(bench.rpm()).toBe(240)
    // One that it does not explain shows that it lies.
    bench.now += 30_000
    bench.refuse(bench.send(), says(300, 60, 300, 60))
    expect(bench.rpm()).toBe(120)
  })

  it('is asked at a new rate when it says so, and not at another for a word left out', () => {
    const bench = new Bench()
    bench.ask({ 'ratelimit-policy': '300;w=60' })
    bench.ask()
    expect(bench.rpm()).toBe(240)
    bench.ask({ 'ratelimit-policy': '100;w=60' })
    expect(bench.rpm()).toBeCloseTo(80)
  })

  it('without the length of its window is asked by what is still to come of it', () => {
    const bench = new Bench()
    const word = (remaining: number, seconds: number) => (now: number) => {
      const { 'ratelimit-policy': _, ...headers } = says(600, 1, remaining, seconds)(now) as Headers
      return headers
    }
    bench.ask(word(100, 50))
    expect(bench.askFor(45_000)).toBeLessThanOrEqual(100)
    bench.now += 10_000
    bench.ask(word(599, 300))
    expect(bench.rpm()).toBeCloseTo(96, 0)
  })

  it.each<[string, Headers]>([
    ['one request a day', { 'ratelimit-policy': '1;w=86400' }],
    [
      'few requests to the end of a long window',
      { 'ratelimit-limit': '9', 'ratelimit-remaining': '1', 'ratelimit-reset': '86000' },
    ],
  ])('next to nothing (%s) holds nobody up for hours', (_, headers) => {
    const bench = new Bench()
    bench.ask(headers)
    expect(bench.budget.nextAt(LIST, bench.now) - bench.now).toBe(5 * MINUTE)
    bench.ask()
    expect(bench.budget.nextAt(LIST, bench.now) - bench.now).toBeLessThanOrEqual(15 * MINUTE)
  })

  it.each<[string, Headers]>([
    ['no requests at all', { 'ratelimit-limit': '0', 'ratelimit-reset': '10' }],
    [
      'more left than there is',
      { 'ratelimit-limit': '10', 'ratelimit-remaining': '99', 'ratelimit-reset': '10' },
    ],
    ['a policy of nothing', { 'ratelimit-policy': '0;w=0' }],
  ])('that cannot be true (%s) is asked as if it had said nothing', (_, headers) => {
    const bench = new Bench()
    bench.ask({ 'ratelimit-policy': '3000;w=300' })
    expect(bench.rpm()).toBe(480)
    bench.ask(headers)
    expect(bench.rpm()).toBe(100)
    bench.askFor(MINUTE, headers)
    expect(bench.rpm()).toBeLessThanOrEqual(111)
  })
})

describe('methods', () => {
  it('share a bucket when they tell of the same limit', () => {
    const bench = new Bench()
    bench.ask({ 'ratelimit-policy': '300;w=60' }, LIST)
    bench.ask({ 'ratelimit-policy': '300;w=60' }, COMMIT)
    expect(bench.budget.laneOf(LIST)).toBe(bench.budget.laneOf(COMMIT))
    const sent = bench.askFor(MINUTE, silent, LIST)
    expect(sent).toBeLessThanOrEqual(244)
    expect(bench.budget.nextAt(COMMIT, bench.now)).toBe(bench.budget.nextAt(LIST, bench.now))
  })

  it('have buckets of their own when they do not, and keep to the cap together', () => {
    const bench = new Bench()
    bench.ask({ 'ratelimit-policy': '300;w=60' }, LIST)
    bench.ask({ 'ratelimit-policy': '60;w=60' }, REPO)
    expect(bench.budget.laneOf(LIST)).not.toBe(bench.budget.laneOf(REPO))
    expect([bench.rpm(LIST), bench.rpm(REPO), bench.rpm(COMMIT)].map(Math.round)).toEqual([240, 48, 240])
    bench.refuse(bench.send(REPO))
    expect([bench.rpm(LIST), bench.rpm(REPO)].map(Math.round)).toEqual([240, 24])

    const capped = new Bench(new Budget({ startRpm: 60, maxRpm: 60 }, null, START))
    capped.ask({ 'ratelimit-policy': '300;w=60' }, LIST)
    capped.ask({ 'ratelimit-policy': '600;w=60' }, REPO)
    const end = capped.now + MINUTE
    for (let n = 0; capped.now < end; n += 1) capped.ask(silent, n % 2 === 0 ? LIST : REPO)
    expect(capped.sentAt.length).toBeLessThanOrEqual(63)
  })

  it('move together when the host changes its mind, and leave no bucket behind', () => {
    const bench = new Bench()
    for (const method of [LIST, COMMIT]) bench.ask({ 'ratelimit-policy': '300;w=60' }, method)
    for (const method of [LIST, COMMIT]) bench.ask({ 'ratelimit-policy': '200;w=60' }, method)
    expect(bench.budget.laneOf(LIST)).toBe(bench.budget.laneOf(COMMIT))
    expect(bench.rpm(REPO)).toBeCloseTo(160)
    for (let limit = 100; limit < 200; limit += 1) bench.ask({ 'ratelimit-policy': `${limit};w=60` }, LIST)
    expect(bench.budget.save(bench.now).buckets.length).toBeLessThanOrEqual(2)
  })
})

describe('what was learned', () => {
  const learned = () => {
    const bench = new Bench()
    bench.ask({ 'ratelimit-policy': '300;w=60' }, LIST)
    bench.ask({ 'ratelimit-policy': '60;w=60' }, REPO)
    return { at: bench.now, saved: JSON.parse(JSON.stringify(bench.budget.save(bench.now))) }
  }

  it('serves the next driver', () => {
    const { at, saved } = learned()
    const next = new Bench(new Budget(LIMITS, saved, at + 1_000))
    expect([next.rpm(LIST), next.rpm(REPO)].map(Math.round)).toEqual([240, 48])
    expect(next.budget.laneOf(LIST)).not.toBe(next.budget.laneOf(REPO))
  })

  it('is worth nothing after an hour', () => {
    const { at, saved } = learned()
    expect(new Bench(new Budget(LIMITS, saved, at + 60 * MINUTE)).rpm()).toBe(100)
  })

  it('gives way to a cap that was lowered meanwhile', () => {
    const { at, saved } = learned()
    expect(new Bench(new Budget({ startRpm: 100, maxRpm: 30 }, saved, at)).rpm()).toBe(30)
  })
})
