/** What a 429 without any header means: Bluesky's edge sends such ones. */
const UNSTATED_MS = 60_000

/** No header makes us wait longer than this; it is asked again then. */
const LONGEST_MS = 15 * 60_000

/** A date of RFC 9110 §5.6.7, in one of the two forms that say their time zone. */
const HTTP_DATE = /^(mon|tue|wed|thu|fri|sat|sun)[a-z]*, .{9,12} \d\d:\d\d:\d\d gmt$/i

/** A header's value by its name in lower case. */
export type HeaderReader = (name: string) => string | undefined

/**
 * When a host that answered 429 may be asked again, by its `Retry-After` (seconds or a date, RFC 9110 §10.2.3)
 * or its `RateLimit-Reset` (a unix time in seconds, as PDSs send it; small numbers are seconds from now).
 * @param now ms since epoch
 * @param random 0 to 1, spreads the waiters over a further tenth of the wait
 * @param before how often in a row it did not say until when; the wait doubles with each
 * @returns ms since epoch
 */
export function cooldownUntil(header: HeaderReader, now: number, random: number, before = 0): number {
  const stated = statedWaitMs(header, now)
  const wait = Math.min(Math.max(stated ?? UNSTATED_MS * 2 ** before, 1_000), LONGEST_MS)
  return now + wait * (1 + random / 10)
}

/** Whether a 429 says until when. */
export function statesWait(header: HeaderReader, now: number): boolean {
  return statedWaitMs(header, now) !== null
}

function statedWaitMs(header: HeaderReader, now: number): number | null {
  return retryAfter(header('retry-after'), now) ?? rateLimitReset(header('ratelimit-reset'), now)
}

function retryAfter(text: string | undefined, now: number): number | null {
  if (text === undefined) return null
  if (/^\d{1,9}$/.test(text.trim())) return Number(text) * 1000
  // The parser takes many things for a date ("-1" is a day in 2001), so only what looks like one is given to it.
  const date = HTTP_DATE.test(text.trim()) ? Date.parse(text) : Number.NaN
  return Number.isNaN(date) ? null : date - now
}

function rateLimitReset(text: string | undefined, now: number): number | null {
  if (text === undefined || !/^\d{1,12}$/.test(text.trim())) return null
  return resetMoment(Number(text), now) - now
}

/** No clock has shown less than a year's worth of seconds since 1970. */
const UNIX_SECONDS_MIN = 31_536_000

/** The moment that a `RateLimit-Reset` means, ms since epoch: a unix time, or seconds from now where it is small. */
export function resetMoment(seconds: number, now: number): number {
  return seconds < UNIX_SECONDS_MIN ? now + seconds * 1_000 : seconds * 1_000
}
