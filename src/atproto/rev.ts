import { TID } from '@atproto/common-web'

/** How far a host's clock may be ahead of ours: a rev from beyond that would outlast every true one. */
const AHEAD_MS_MAX = 5 * 60_000

/** When a rev was made, by its host's clock, ms since epoch. @param rev a valid TID */
export function momentOf(rev: string): number {
  return TID.fromStr(rev).timestamp() / 1000
}

/** Whether a rev cannot be true yet. @param now ms since epoch */
export function isFromFuture(rev: string, now: number): boolean {
  return momentOf(rev) > now + AHEAD_MS_MAX
}
