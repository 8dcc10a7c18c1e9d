import pg from 'pg'
import { expect, test } from 'vitest'
import { isConnectionLost, refusesWrites } from '../../src/store/trouble.js'

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

test.each(['53100', '53200', '53300', '25006', '58030'])('the database takes nothing in: %s', (code) => {
  expect(refusesWrites(withCode(code))).toBe(true)
  expect(refusesWrites(new Error('the job cannot be written', { cause: withCode(code) }))).toBe(true)
})

test.each([withCode('23505'), withCode('57P01'), new Error('no'), '53100', null])('it would: %s', (error) => {
  expect(refusesWrites(error)).toBe(false)
})
