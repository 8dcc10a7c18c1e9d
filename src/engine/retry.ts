import { type FailureClass, isRetryable } from '../verdict.js'

export interface RetryPolicy {
  /** Tries of one repo before its failure stands. */
  readonly attempts: number
  readonly firstDelayMs: number
  readonly maxDelayMs: number
}

export const REPO_RETRY: RetryPolicy = { attempts: 5, firstDelayMs: 1_000, maxDelayMs: 5 * 60_000 }

/** More patient than for a repo: without the listing the whole job fails. About 20 minutes on average. */
export const LISTING_RETRY: RetryPolicy = { attempts: 16, firstDelayMs: 1_000, maxDelayMs: 5 * 60_000 }

/**
 * The wait before the next try: doubling, with full jitter, so that repos that failed together do not come back
 * together.
 * @param attempts tries so far, at least 1
 * @param random a number from 0 to 1
 * @returns milliseconds
 */
export function backoffMs(policy: RetryPolicy, attempts: number, random: number): number {
  const ceiling = Math.min(policy.maxDelayMs, policy.firstDelayMs * 2 ** (attempts - 1))
  return Math.round(ceiling * random)
}

export type AfterFailure = { readonly kind: 'retry'; readonly delayMs: number } | { readonly kind: 'give-up' }

/**
 * What follows from a failure of a repo: a definite answer stands, the absence of one is tried again.
 * @param attempts tries so far, this one included
 */
export function afterFailure(
  failure: FailureClass,
  attempts: number,
  policy: RetryPolicy,
  random: number,
): AfterFailure {
  if (!isRetryable(failure) || attempts >= policy.attempts) return { kind: 'give-up' }
  return { kind: 'retry', delayMs: backoffMs(policy, attempts, random) }
}
