import { setBounded } from './bounded-map.js'

/** Between two forced refreshes of one issuer. */
const INTERVAL_MS = 60_000
/** Issuers remembered; the one refreshed longest ago is forgotten first. A few MB when full. */
const ISSUERS_MAX = 10_000

export interface KeyRefresherOptions {
  /** The issuer's key; with `forceRefresh` resolved anew, past every cache. */
  resolve(did: string, forceRefresh: boolean): Promise<string>
  /** ms since the epoch */
  now(): number
  readonly intervalMs?: number
  readonly issuersMax?: number
}

/**
 * Gives the newest key of an issuer that can be had: forced refreshes happen at most once per issuer and
 * interval, so that tokens with a bad signature cannot be turned into load on the directory. Whoever asks again
 * within the interval waits for that refresh (and shares its failure), so that requests that arrive together
 * after a rotation all pass, and then gets what the cache says now. The answer of the refresh itself is not
 * kept: another process may know of a later rotation, and a key that was withdrawn must not come back.
 */
export function createKeyRefresher(options: KeyRefresherOptions): (did: string) => Promise<string> {
  const { resolve, now, intervalMs = INTERVAL_MS, issuersMax = ISSUERS_MAX } = options
  const refreshes = new Map<string, { startedMs: number; done: Promise<unknown> }>()
  return async (did) => {
    const last = refreshes.get(did)
    if (last && now() < last.startedMs + intervalMs) {
      await last.done
      return resolve(did, false)
    }
    const key = resolve(did, true)
    setBounded(refreshes, did, { startedMs: now(), done: key }, issuersMax)
    return key
  }
}
