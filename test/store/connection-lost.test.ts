import pg from 'pg'
import { expect, test } from 'vitest'
import { isConnectionLost } from '../../src/store/connection-lost.js'

const withCode = (code: string, message = 'it failed') => Object.assign(new Error(message), { code })

test.each([
  withCode('ECONNREFUSED'),
  withCode('ECONNRESET'),
  withCode('08006'),
  withCode('57P01'),
  withCode('57P02'),
  withCode('57P03'),
  new Error('Connection terminated'),
  new Error('Connection terminated unexpectedly'),
  new Error('the job cannot be read', { cause: withCode('ECONNREFUSED') }),
])('the database is away: $code $message', (error) => {
  expect(isConnectionLost(error)).toBe(true)
})

test.each([
  withCode('23505', 'duplicate key'),
  withCode('57014', 'canceling statement due to user request'),
  withCode('40001'),
  withCode('ENOENT'),
  new TypeError('undefined is not a function'),
  'ECONNREFUSED',
  null,
])('it is there, and something else went wrong: %s', (error) => {
  expect(isConnectionLost(error)).toBe(false)
})

test('a driver that nobody answers', async () => {
  const client = new pg.Client({ host: '127.0.0.1', port: 1 })
  const error = await client.connect().catch((reason: unknown) => reason)
  expect(isConnectionLost(error)).toBe(true)
})
