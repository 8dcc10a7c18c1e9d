import type { DidDocument } from '@atproto/identity'
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from 'vitest'
import { IDENTITY_EXPIRED_MS, IDENTITY_STALE_MS, PostgresDidCache } from '../../src/store/did-cache.js'
import { findIdentities } from '../../src/store/identities.js'
import { createStore } from '../support/database.js'
import { didOf, empty } from '../support/fixtures.js'

let store: Awaited<ReturnType<typeof createStore>>
let cache: PostgresDidCache
let now: number

const START = Date.UTC(2030, 0, 1, 12)
const DID = didOf(1)

beforeAll(async () => {
  store = await createStore()
})

afterAll(() => store[Symbol.asyncDispose]())

beforeEach(() => {
  now = START
  cache = new PostgresDidCache(store.db, () => now)
})

afterEach(() => empty(store))

const documentOf = (handle: string, did = DID): DidDocument => ({ id: did, alsoKnownAs: [`at://${handle}`] })

test('a document is fresh for an hour, stale for a day, and then not to be used', async () => {
  expect(await cache.checkCache(DID)).toBeNull()
  await cache.cacheDid(DID, documentOf('alice.test'))
  const fresh = { did: DID, doc: documentOf('alice.test'), updatedAt: START, stale: false, expired: false }
  expect(await cache.checkCache(DID)).toEqual(fresh)
  now = START + IDENTITY_STALE_MS
  expect(await cache.checkCache(DID)).toEqual(fresh)
  now += 1
  expect(await cache.checkCache(DID)).toEqual({ ...fresh, stale: true })
  now = START + IDENTITY_EXPIRED_MS
  expect(await cache.checkCache(DID)).toEqual({ ...fresh, stale: true })
  now += 1
  expect(await cache.checkCache(DID)).toEqual({ ...fresh, stale: true, expired: true })
})

test('every process sees what one of them has looked up', async () => {
  await cache.cacheDid(DID, documentOf('alice.test'))
  const other = new PostgresDidCache(store.db, () => now)
  expect(await other.checkCache(DID)).toMatchObject({ doc: documentOf('alice.test') })
  await other.cacheDid(DID, documentOf('moved.test'))
  expect(await cache.checkCache(DID)).toMatchObject({ doc: documentOf('moved.test') })
  const { rows } = await store.pool.query('select did, handle from identity')
  expect(rows).toEqual([{ did: DID, handle: 'moved.test' }])
})

test('a stale document serves on while the directory does not answer', async () => {
  await cache.cacheDid(DID, documentOf('alice.test'))
  now += IDENTITY_STALE_MS + 1
  await cache.refreshCache(DID, async () => {
    throw new Error('the directory is down')
  })
  expect(await cache.checkCache(DID)).toMatchObject({
    doc: documentOf('alice.test'),
    updatedAt: START,
    stale: true,
    expired: false,
  })
})

test('a refresh renews the document, and drops it when the directory has none', async () => {
  await cache.cacheDid(DID, documentOf('alice.test'))
  now += IDENTITY_STALE_MS + 1
  await cache.refreshCache(DID, async () => documentOf('renamed.test'))
  expect(await cache.checkCache(DID)).toMatchObject({
    doc: documentOf('renamed.test'),
    updatedAt: now,
    stale: false,
  })
  await cache.refreshCache(DID, async () => null)
  expect(await cache.checkCache(DID)).toBeNull()
})

test('one document is forgotten, or all', async () => {
  for (const number of [1, 2, 3]) await cache.cacheDid(didOf(number), documentOf('x.test', didOf(number)))
  await cache.clearEntry(didOf(2))
  const found = await findIdentities(store.db, [didOf(1), didOf(2), didOf(3), didOf(4)])
  expect(found.map(({ did }) => did).sort()).toEqual([didOf(1), didOf(3)])
  await cache.clear()
  expect(await findIdentities(store.db, [didOf(1)])).toEqual([])
  expect(await findIdentities(store.db, [])).toEqual([])
})

test('a document is kept as it is, with a handle only where it names a usable one', async () => {
  const odd = {
    id: DID,
    alsoKnownAs: ['at://not a handle\u0000'],
    extra: { text: 'a\u0000b \ud800 🚀', list: [1, null, { deep: true }] },
  }
  await cache.cacheDid(DID, odd as DidDocument)
  expect((await cache.checkCache(DID))!.doc).toEqual(odd)
  const { rows } = await store.pool.query('select handle from identity')
  expect(rows).toEqual([{ handle: null }])
})

test('a document that is far too long is not kept, nor the one before it', async () => {
  await cache.cacheDid(DID, documentOf('alice.test'))
  await cache.cacheDid(DID, { ...documentOf('alice.test'), padding: 'x'.repeat(500 * 1024) } as DidDocument)
  expect(await findIdentities(store.db, [DID])).toEqual([])
})
