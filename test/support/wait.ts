import { setTimeout as sleep } from 'node:timers/promises'

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
    const value = await look()
    if (isSo(value)) return value
    if (Date.now() > endsAt)
      throw new Error(`not so after ${timeoutMs} ms: ${JSON.stringify(value)?.slice(0, 2000)}`)
    await sleep(25)
  }
}
