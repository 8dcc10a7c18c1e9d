import type { Clock } from './clock.js'
import { type BackfillError, isTransient, RateLimitExceeded } from './errors.js'

/** How often and how soon a failed call is tried again. */
export interface RetryOptions {
  /** Attempts in all; 1 for none but the first. Default: 4. */
  readonly attempts?: number
  /** The longest wait after the first failure, ms; it doubles with each further one. Default: 500. */
  readonly firstDelayMs?: number
  /** The longest wait of all, ms. Default: 10,000. */
  readonly maxDelayMs?: number
  /** A `Retry-After` beyond this is not waited for, but left to the caller as an error, ms. Default: 60,000. */
  readonly retryAfterMaxMs?: number
}

export type RetryPolicy = Required<RetryOptions>

const DEFAULTS: RetryPolicy = { attempts: 4, firstDelayMs: 500, maxDelayMs: 10_000, retryAfterMaxMs: 60_000 }

/** @throws RangeError for numbers that make no sense */
export function retryPolicy(options: RetryOptions = {}): RetryPolicy {
  const policy = { ...DEFAULTS, ...options }
  if (!Number.isInteger(policy.attempts) || policy.attempts < 1) {
    throw new RangeError('retry.attempts must be a whole number of at least 1')
  }
  for (const name of ['firstDelayMs', 'maxDelayMs', 'retryAfterMaxMs'] as const) {
    if (!(policy[name] >= 0)) throw new RangeError(`retry.${name} must be at least 0`)
  }
  return policy
}

/**
 * How long to wait before the next attempt, ms; null to give up. Exponential with full jitter, and never before
 * the service wants to be asked again. Pure.
 * @param failures how many attempts have failed, at least 1
 * @param random 0 ≤ x < 1
 */
export function retryDelay(
  policy: RetryPolicy,
  error: BackfillError,
  failures: number,
  random: number,
): number | null {
  if (failures >= policy.attempts) return null
  const askedMs = (error.retryAfter ?? 0) * 1_000
  if (askedMs > policy.retryAfterMaxMs) return null
  const backoffMs = random * Math.min(policy.maxDelayMs, policy.firstDelayMs * 2 ** (failures - 1))
  return Math.max(askedMs, backoffMs)
}

/**
 * Makes attempts until one succeeds. For calls that do no harm when they are made twice.
 * @param attempt learns whether an earlier one may have had its effect, though its answer never came
 * @throws what the last attempt threw; the signal's reason when it aborts
 */
export async function withRetries<T>(
  attempt: (isRepeat: boolean) => Promise<T>,
  { policy, clock, signal }: { policy: RetryPolicy; clock: Clock; signal?: AbortSignal | undefined },
): Promise<T> {
  let isRepeat = false
  for (let failures = 1; ; failures += 1) {
    try {
      return await attempt(isRepeat)
    } catch (error) {
      const delayMs = isTransient(error) ? retryDelay(policy, error, failures, clock.random()) : null
      if (delayMs === null) throw error
      // Whoever is told to wait has done nothing yet.
      isRepeat ||= !(error instanceof RateLimitExceeded)
      await clock.sleep(delayMs, signal)
    }
  }
}
