import { describe, expect, test } from 'vitest'
import { BodyBudget, type BodyShare, FREE_BYTES } from '../../src/atproto/body-budget.js'
import { seeded } from './seeded.js'

const KiB = 1024
const MiB = 1024 * KiB
const BODY = 16 * MiB

/** Bodies that grow as far as they may, and the names of those that were let on. */
function bodies(budget: BodyBudget) {
  const letOn: string[] = []
  const shares = new Map<string, BodyShare>()
  return {
    letOn,
    take(name: string, bytes: number): boolean {
      const share = shares.get(name) ?? budget.share(BODY)
      shares.set(name, share)
      return budget.take(share, bytes, () => letOn.push(name))
    },
    bytes: (name: string) => shares.get(name)!.bytes,
    end: (name: string) => budget.end(shares.get(name)!),
  }
}

describe('the budget of bodies', () => {
  test('is not taken of by a body before it outgrows what is free', () => {
    const budget = new BodyBudget(0)
    const shares = Array.from({ length: 1_000 }, () => budget.share(BODY))
    for (const { bytes } of shares) expect(bytes).toBe(FREE_BYTES)
    for (const share of shares) budget.end(share)
    expect(budget.taken).toBe(0)
  })

  test('gives a body twice as much each time, and no more than it can be', () => {
    const budget = new BodyBudget(64 * MiB)
    const share = budget.share(300 * KiB)
    const sizes: number[] = []
    for (const bytes of [65 * KiB, 129 * KiB, 257 * KiB]) {
      expect(budget.take(share, bytes, () => {})).toBe(true)
      sizes.push(share.bytes)
    }
    expect(sizes).toEqual([128 * KiB, 256 * KiB, 300 * KiB])
    expect(budget.taken).toBe(300 * KiB - FREE_BYTES)
    budget.end(share)
    budget.end(share)
    expect(budget.taken).toBe(0)
  })

  test('makes a body wait for which there is no room, until there is', () => {
    const { take, end, letOn, bytes } = bodies(new BodyBudget(MiB))
    expect(take('first', 600 * KiB)).toBe(true)
    expect(take('second', 400 * KiB)).toBe(true)
    expect(take('third', 300 * KiB)).toBe(false)
    expect(bytes('third')).toBe(FREE_BYTES)
    expect(letOn).toEqual([])
    end('second')
    expect(letOn).toEqual(['third'])
    expect(bytes('third')).toBe(300 * KiB)
  })

  test('lets the body on that came first, and after it the one that came next', () => {
    const budget = new BodyBudget(MiB)
    const { take, end, letOn } = bodies(budget)
    for (const name of ['first', 'second', 'third']) expect(take(name, 384 * KiB)).toBe(true)
    // All of them half read: if each waited for the others, none would come to its end.
    expect(take('third', 4 * MiB)).toBe(false)
    expect(take('second', 4 * MiB)).toBe(false)
    expect(take('first', 4 * MiB)).toBe(true)
    expect(take('first', BODY)).toBe(true)
    expect(letOn).toEqual([])
    end('first')
    expect(letOn).toEqual(['second'])
    end('second')
    expect(letOn).toEqual(['second', 'third'])
    end('third')
    expect(budget.taken).toBe(0)
  })

  test('passes over one that wants much, as long as it is not its turn', () => {
    const { take, end, letOn } = bodies(new BodyBudget(2 * MiB))
    take('first', MiB)
    take('other', 512 * KiB)
    expect(take('large', 8 * MiB)).toBe(false)
    expect(take('small', 900 * KiB)).toBe(false)
    end('other')
    expect(letOn).toEqual(['small'])
    end('first')
    expect(letOn).toEqual(['small', 'large'])
  })

  test('forgets one that is given up while it waits', () => {
    const budget = new BodyBudget(MiB)
    const { take, end, letOn } = bodies(budget)
    take('first', MiB)
    take('second', MiB)
    end('second')
    end('first')
    expect(letOn).toEqual([])
    expect(budget.taken).toBe(0)
  })

  test('is told everything from within: who is let on may end at once', () => {
    const budget = new BodyBudget(MiB)
    const [one, two, three] = [budget.share(BODY), budget.share(BODY), budget.share(BODY)]
    const ended: BodyShare[] = []
    const endAtOnce = (share: BodyShare) => () => {
      ended.push(share)
      budget.end(share)
    }
    budget.take(one, MiB, () => {})
    budget.take(two, BODY, endAtOnce(two))
    budget.take(three, BODY, endAtOnce(three))
    budget.end(one)
    expect(ended).toEqual([two, three])
    expect(budget.taken).toBe(0)
  })

  test.each([1, 2, 3, 4, 5])('lets every body come to its end and is kept to (%d)', (seed) => {
    const random = seeded(seed)
    const max = 4 * MiB
    const budget = new BodyBudget(max)
    const waiting = new Set<number>()
    const under = new Map<number, { share: BodyShare; has: number; size: number }>()
    let next = 0
    let ended = 0
    while (ended < 500) {
      while (under.size < 40) {
        under.set(next, { share: budget.share(BODY), has: 0, size: random() ** 4 * BODY })
        next += 1
      }
      const able = [...under.keys()].filter((key) => !waiting.has(key))
      // Somebody can always go on.
      expect(able.length).toBeGreaterThan(0)
      const key = able[Math.floor(random() * able.length)]!
      const body = under.get(key)!
      body.has = Math.min(body.size, body.has + random() * 64 * KiB * 4)
      if (body.has >= body.size || random() < 0.002) {
        under.delete(key)
        budget.end(body.share)
        ended += 1
      } else if (body.has > body.share.bytes) {
        if (!budget.take(body.share, body.has, () => waiting.delete(key))) waiting.add(key)
      }
      // One of them may have all that a body can be, beyond what others hold.
      expect(budget.taken).toBeLessThanOrEqual(max + BODY)
    }
    for (const { share } of under.values()) budget.end(share)
    expect(budget.taken).toBe(0)
  })
})
