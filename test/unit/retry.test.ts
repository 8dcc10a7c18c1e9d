import { describe, expect, it } from 'vitest'
import {
  afterFailure,
  backoffMs,
  LISTING_RETRY,
  REPO_RETRY,
  type RetryPolicy,
} from '../../src/engine/retry.js'
import { FINAL_FAILURES, RETRYABLE_FAILURES } from '../../src/verdict.js'

const policy: RetryPolicy = { attempts: 5, firstDelayMs: 1_000, maxDelayMs: 6_000 }

/** All waits of a policy at their longest, ms. */
function longestMs(of: RetryPolicy): number {
  let sum = 0
  for (let attempts = 1; attempts < of.attempts; attempts += 1) sum += backoffMs(of, attempts, 1)
  return sum
}

describe('the wait before the next try', () => {
  it('doubles up to its limit', () => {
    expect([1, 2, 3, 4, 5, 100, 5_000].map((attempts) => backoffMs(policy, attempts, 1))).toEqual([
      ...[1_000, 2_000, 4_000, 6_000, 6_000, 6_000, 6_000],
    ])
  })

  it('is spread over its whole length', () => {
    expect([0, 0.25, 0.5, 0.999].map((random) => backoffMs(policy, 3, random))).toEqual([
      0, 1_000, 2_000, 3_996,
    ])
  })

  it('adds up to seconds for a repo, and to about twenty minutes on average for a listing', () => {
    expect(longestMs(REPO_RETRY)).toBe(15_000)
    const average = longestMs(LISTING_RETRY) / 2 / 60_000
    expect(average).toBeGreaterThan(18)
    expect(average).toBeLessThan(22)
  })
})

describe('after a failure', () => {
  it.each(RETRYABLE_FAILURES)('%s is tried again until the attempts are used up', (failure) => {
    const kinds = [1, 2, 3, 4, 5, 6].map((attempts) => afterFailure(failure, attempts, policy, 0.5).kind)
    expect(kinds).toEqual(['retry', 'retry', 'retry', 'retry', 'give-up', 'give-up'])
    expect(afterFailure(failure, 2, policy, 0.5)).toEqual({ kind: 'retry', delayMs: 1_000 })
  })

  it.each(FINAL_FAILURES)('%s stands', (failure) => {
    expect(afterFailure(failure, 1, policy, 0.5)).toEqual({ kind: 'give-up' })
  })
})
