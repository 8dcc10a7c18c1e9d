import { setTimeout as sleep } from 'node:timers/promises'

const PAUSE_MS = 25
const PAUSE_MAX_MS = 200

/**
 * Looks until something is so. For what happens by itself and tells nobody; fails loudly with the last thing
 * seen.
 */
export async function eventually<T>(
  look: () => Promise<T> | T,
  isSo: (value: T) => boolean,
  timeoutMs = 20_000,
): Promise<T> {
  const endsAt = Date.now() + timeoutMs
  for (;;) {
    const lookedAt = Date.now()
    const value = await look()
    if (isSo(value)) return value
    if (Date.now() > endsAt)
      throw new Error(`not so after ${timeoutMs} ms: ${JSON.stringify(value)?.slice(0, 2000)}`)
    // A request with a signed token costs both ends some of the time that what is waited for needs.
    await sleep(Math.min(Math.max(PAUSE_MS, 5 * (Date.now() - lookedAt)), PAUSE_MAX_MS))
  }
}

/**
 * Waits until a count has not moved for so long: whatever was under way has ended. What begins again and again by
 * itself never lets it rest.
 */
export async function atRest(count: () => number, forMs: number): Promise<void> {
  let [last, since] = [count(), performance.now()]
  await eventually(
    () => {
      if (count() !== last) [last, since] = [count(), performance.now()]
      return performance.now() - since
    },
    (ms) => ms >= forMs,
  )
}
