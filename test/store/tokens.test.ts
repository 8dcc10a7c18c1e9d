import { afterAll, afterEach, beforeAll, expect, test } from 'vitest'
import { forgetExpiredTokens, spendToken } from '../../src/store/tokens.js'
import { createStore } from '../support/database.js'
import { empty } from '../support/fixtures.js'

let store: Awaited<ReturnType<typeof createStore>>

beforeAll(async () => {
  store = await createStore()
})

afterAll(() => store[Symbol.asyncDispose]())

afterEach(() => empty(store))

const NOW = new Date('2030-01-01')
const token = (jti: string, issuer = 'did:web:alice.example', expiresAt = NOW) => ({ issuer, jti, expiresAt })

test('a token is spent once, however many bring it at the same time', async () => {
  const spent = await Promise.all(Array.from({ length: 20 }, () => spendToken(store.db, token('one'))))
  expect(spent.filter(Boolean)).toHaveLength(1)
  expect(await spendToken(store.db, token('one'))).toBe(false)
})

test('the same id is another token when another issuer gives it', async () => {
  expect(await spendToken(store.db, token('one'))).toBe(true)
  expect(await spendToken(store.db, token('one', 'did:web:bob.example'))).toBe(true)
  expect(await spendToken(store.db, token('One'))).toBe(true)
})

test('tokens are remembered until they have expired', async () => {
  const later = new Date(NOW.getTime() + 1)
  await spendToken(store.db, token('old'))
  await spendToken(store.db, token('new', undefined, later))
  await forgetExpiredTokens(store.db, NOW)
  expect(await spendToken(store.db, token('old'))).toBe(false)
  await forgetExpiredTokens(store.db, later)
  expect(await spendToken(store.db, token('new', undefined, later))).toBe(false)
  expect(await spendToken(store.db, token('old'))).toBe(true)
})
