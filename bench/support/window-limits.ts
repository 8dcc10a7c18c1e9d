import { hostProfiles } from '../../test/support/simulation/hosts.js'
import { Random } from '../../test/support/simulation/random.js'
import type { RateLimit } from '../../test/support/simulation/rate-limit.js'

/** Which of the world's numbers a host's limit is drawn from: another one than the simulation itself draws from. */
const SALT = 20

const WINDOW_SECONDS = [5, 10, 20, 30]

/** What a client may take of a limit, as the engine sees it: the rest is left to others. */
export const SHARE = 0.8

/** The least that any host allows, a second. */
const LEAST_PER_SECOND = 2

export interface LimitWish {
  readonly seed: number
  readonly hosts: number
  readonly repos: number
  readonly skew: number
  /** The time that the largest host takes at `SHARE` of its limit; the other large ones take 60 to 100 % of it. */
  readonly longestSeconds: number
}

/**
 * A limit for each host, larger where there are more accounts. With the same limit everywhere the largest host
 * would need most of the time alone, while all others together need more than a small machine has in the first
 * seconds: that would be a measure of the machine.
 */
export function windowLimits({ seed, hosts, repos, skew, longestSeconds }: LimitWish): RateLimit[] {
  return hostProfiles(seed, hosts, repos, { skew, latencyMs: 0, limit: null }).map(({ index, slots }) => {
    const random = new Random(seed, index, SALT)
    const seconds = longestSeconds * (index === 0 ? 1 : 0.6 + 0.4 * random.next())
    const windowSeconds = random.pick(WINDOW_SECONDS)
    const perSecond = Math.max(LEAST_PER_SECOND, requestsFor(index, slots) / (SHARE * seconds))
    return {
      points: Math.ceil(perSecond * windowSeconds),
      windowMs: windowSeconds * 1_000,
      announces: 'early',
      refuses: 'seconds',
    }
  })
}

/** Two of three simulated hosts give a cursor with every page that holds a record: it takes a second request. */
function requestsFor(host: number, repos: number): number {
  return host % 3 === 2 ? repos : 2 * repos
}

/** The time so many requests take at `SHARE` of a limit, s. */
export function leastSeconds({ points, windowMs }: RateLimit, requests: number): number {
  return requests / ((SHARE * points * 1_000) / windowMs)
}
