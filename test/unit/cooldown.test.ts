import { expect, it } from 'vitest'
import { cooldownUntil } from '../../src/atproto/cooldown.js'

const NOW = Date.UTC(2026, 0, 2, 3, 4, 5)
const inSeconds = (seconds: number) => String(NOW / 1_000 + seconds)

/** The wait in seconds without any spreading. */
function waitFor(headers: Record<string, string>, random = 0): number {
  return (cooldownUntil((name) => headers[name], NOW, random) - NOW) / 1_000
}

it.each<[string, Record<string, string>, number]>([
  ['says nothing', {}, 60],
  ['gives seconds', { 'retry-after': '120' }, 120],
  ['gives seconds, loosely', { 'retry-after': ' 7 ' }, 7],
  ['gives a date', { 'retry-after': 'Fri, 02 Jan 2026 03:05:05 GMT' }, 60],
  ['gives a date of the old form', { 'retry-after': 'Friday, 02-Jan-26 03:06:05 GMT' }, 120],
  ['gives a date that is past', { 'retry-after': 'Fri, 02 Jan 2026 03:00:00 GMT' }, 1],
  ['gives none at all', { 'retry-after': '0' }, 1],
  ['gives too long a wait', { 'retry-after': '86400' }, 900],
  ['gives a date too far away', { 'retry-after': 'Sat, 02 Jan 2027 03:04:05 GMT' }, 900],
  ['gives a unix time', { 'ratelimit-reset': inSeconds(300) }, 300],
  ['gives a unix time that is past', { 'ratelimit-reset': inSeconds(-5) }, 1],
  ['gives a unix time too far away', { 'ratelimit-reset': inSeconds(100_000) }, 900],
  ['gives seconds until the reset', { 'ratelimit-reset': '30' }, 30],
  ['gives both: Retry-After is meant for this', { 'retry-after': '5', 'ratelimit-reset': inSeconds(300) }, 5],
  ['gives nonsense', { 'retry-after': 'soon', 'ratelimit-reset': 'later' }, 60],
  ['gives nonsense and a reset', { 'retry-after': '', 'ratelimit-reset': inSeconds(300) }, 300],
  // What a date parser takes for a day in 2001.
  ['gives a negative number', { 'retry-after': '-1' }, 60],
  ['gives a fraction', { 'retry-after': '1.5', 'ratelimit-reset': inSeconds(90) }, 90],
  ['gives a number with a word', { 'retry-after': 'after 5' }, 60],
  [
    'gives more digits than a time has',
    { 'retry-after': '1'.repeat(400), 'ratelimit-reset': '9'.repeat(13) },
    60,
  ],
])('a host that %s is asked again then', (_, headers, seconds) => {
  expect(waitFor(headers)).toBe(seconds)
})

it('those that wait for one host come back one after the other', () => {
  expect(waitFor({ 'retry-after': '100' }, 0.5)).toBeCloseTo(105)
  expect(waitFor({}, 0.999)).toBeLessThan(66)
})
