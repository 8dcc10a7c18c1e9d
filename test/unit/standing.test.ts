import { describe, expect, it } from 'vitest'
import {
  FAILURES_MAX,
  GOOD,
  isGood,
  parkedMs,
  type Standing,
  withAnsweredProbe,
  withFailure,
  withRefusal,
  withVainProbe,
} from '../../src/engine/standing.js'

const failing = (failures: number, from: Standing = GOOD) =>
  Array.from({ length: failures }).reduce<Standing>(withFailure, from)

describe('a host that fails', () => {
  it('is parked by the fifth failure in a row, and not again by those that were under way', () => {
    expect(failing(FAILURES_MAX - 1)).toMatchObject({ failures: 4, parked: false })
    expect(failing(FAILURES_MAX)).toMatchObject({ parked: true, parkings: 1 })
    expect(failing(FAILURES_MAX + 3)).toMatchObject({ parked: true, parkings: 1 })
  })

  it('is longer parked with each vain probe, and when it fails again after one that was answered', () => {
    const parked = failing(FAILURES_MAX)
    expect(withVainProbe(withVainProbe(parked))).toMatchObject({ parked: true, parkings: 3 })
    const answered = withAnsweredProbe(withVainProbe(parked))
    expect(answered).toMatchObject({ parked: false, failures: 0, parkings: 2 })
    expect(isGood(answered)).toBe(false)
    expect(failing(FAILURES_MAX, answered)).toMatchObject({ parked: true, parkings: 3 })
  })

  it('is not parked while it refuses: somebody is there', () => {
    const refused = withRefusal(failing(FAILURES_MAX - 1), false)
    expect(refused).toMatchObject({ failures: 0, parked: false, refusals: 1, unstated: 1 })
    expect(withRefusal(refused, true)).toMatchObject({ refusals: 2, unstated: 1 })
    expect(isGood(refused)).toBe(false)
  })

  it('is as good as any after a good answer', () => {
    expect(isGood(GOOD)).toBe(true)
    expect(isGood({ ...GOOD })).toBe(true)
    expect(isGood(failing(1))).toBe(false)
  })
})

it.each([
  [1, 0, 60],
  [1, 1, 66],
  [2, 0, 120],
  [6, 0, 1_920],
  [7, 0, 3_600],
  [500, 0, 3_600],
])('the %ith time in a row it is left alone, at chance %d, for %i s', (parkings, random, seconds) => {
  expect(parkedMs(parkings, random)).toBeCloseTo(seconds * 1_000)
})
