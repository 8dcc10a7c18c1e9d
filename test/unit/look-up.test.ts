import { expect, test } from 'vitest'
import { provesSince } from '../../src/engine/look-up.js'

const HOUR_MS = 3_600_000
const NOW = Date.UTC(2026, 0, 2, 3, 4, 5)

test.each([
  ['is new, within the hour', 0, 1],
  ['has run for half an hour, within the hour', 0.5, 1],
  ['has run for some hours, since it was created', 5, 5],
  ['has run for days, within the day', 72, 24],
])('for a job that %s', (_what, createdHoursAgo, hours) => {
  const createdAt = new Date(NOW - createdHoursAgo * HOUR_MS)
  expect((NOW - provesSince({ createdAt }, NOW)) / HOUR_MS).toBe(hours)
})
