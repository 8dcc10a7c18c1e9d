import { describe, expect, it } from 'vitest'
import { handleOf, locatedIn } from '../../src/atproto/identity.js'
import { RateLimited, Unavailable } from '../../src/atproto/outcome.js'
import { ALICE, DIRECTORY, documentOf, NOW_MS, RESOLVER, world } from './identity-support.js'

const plcUrl = (did: string) => `${DIRECTORY}/${encodeURIComponent(did)}`

const outcomeOf = (looking: Promise<unknown>): Promise<unknown> =>
  looking.then(undefined, (error: unknown) => error)

describe('the account of a handle', () => {
  const url = `${RESOLVER}/xrpc/com.atproto.identity.resolveHandle?handle=alice.example.com`
  const named = { [plcUrl(ALICE)]: { json: documentOf(ALICE, { handle: 'alice.example.com' }) } }
  const resolve = (answers: object, handle = 'alice.example.com') =>
    world({ ...named, ...answers }).identities.resolveHandle(handle)

  it('is the one whose document names the handle too', async () => {
    expect(await resolve({ [url]: { json: { did: ALICE } } })).toBe(ALICE)
    const upper = { [url.replace('alice', 'Alice')]: { json: { did: ALICE } } }
    expect(await resolve(upper, 'Alice.example.com')).toBe(ALICE)
  })

  it.each<[string, object]>([
    ['the resolver knows none', { [url]: { status: 400, json: { error: 'HandleNotFound' } } }],
    [
      'the resolver knows none, as the reference PDS says it',
      { [url]: { status: 400, json: { error: 'InvalidRequest', message: 'Unable to resolve handle' } } },
    ],
    ['the answer holds no DID', { [url]: { json: {} } }],
    ['the answer holds no text', { [url]: { json: { did: 1 } } }],
    ['the answer holds something else', { [url]: { json: { did: 'alice' } } }],
    [
      'the account has another handle',
      {
        [url]: { json: { did: ALICE } },
        [plcUrl(ALICE)]: { json: documentOf(ALICE, { handle: 'bob.example.com' }) },
      },
    ],
    [
      'the account has no handle',
      { [url]: { json: { did: ALICE } }, [plcUrl(ALICE)]: { json: documentOf(ALICE) } },
    ],
  ])('is none when %s', async (_, answers) => {
    expect(await resolve(answers)).toBeNull()
  })

  it.each<[string, object]>([
    ['is in trouble', { status: 502, text: 'Bad gateway' }],
    ['gives no JSON', { text: '<html>' }],
    ['gives null', { text: 'null' }],
    ['gives a page for people', { status: 404, text: '<html>' }],
    ['wants to know who asks', { status: 401, json: { error: 'AuthMissing' } }],
    ['does not know the method', { status: 404, json: { error: 'MethodNotFound' } }],
    ['cannot be reached', { failure: 'connection-failed' }],
    ['gives too much', { failure: 'body-too-large' }],
  ])('is unknown for now when the resolver %s', async (_, answer) => {
    expect(await outcomeOf(resolve({ [url]: answer }))).toMatchObject({ failure: 'directory-unavailable' })
  })

  it('is to be asked for later when the resolver says so', async () => {
    const outcome = await outcomeOf(resolve({ [url]: { status: 429, headers: { 'retry-after': '30' } } }))
    expect(outcome).toBeInstanceOf(RateLimited)
    expect((outcome as RateLimited).until.getTime()).toBe(NOW_MS + 30_000)
  })

  it('fails as its account does', async () => {
    const answer = { [url]: { json: { did: ALICE } } }
    expect(await outcomeOf(resolve({ ...answer, [plcUrl(ALICE)]: { status: 404 } }))).toMatchObject({
      failure: 'did-not-found',
    })
    expect(await outcomeOf(resolve({ ...answer, [plcUrl(ALICE)]: { status: 410 } }))).toBeInstanceOf(
      Unavailable,
    )
  })
})

describe('a document', () => {
  const publicOnly = { allowPrivateNetwork: false }

  it.each([
    undefined,
    'http://pds.example.com',
    'https://pds.example.com/xrpc',
    'https://user@pds.example.com',
    'https://localhost:2583',
    'https://192.168.0.1',
    'wss://pds.example.com',
    'pds.example.com',
    '',
  ])('names no usable PDS: %s', (pds) => {
    expect(() => locatedIn(ALICE, documentOf(ALICE, { pds }), publicOnly)).toThrow(
      expect.objectContaining({ failure: 'did-invalid' }),
    )
  })

  it('may name a PDS of this machine, where that is allowed', () => {
    const document = documentOf(ALICE, { pds: 'http://localhost:2583' })
    expect(locatedIn(ALICE, document, { allowPrivateNetwork: true }).origin).toBe('http://localhost:2583')
  })

  it('claims its first handle, if that is one', () => {
    const claims = (alsoKnownAs: string[]) => handleOf({ ...documentOf(ALICE), alsoKnownAs })
    expect(claims(['https://alice.example', 'at://Alice.Example.com', 'at://bob.example.com'])).toBe(
      'alice.example.com',
    )
    expect(claims(['at://not a handle', 'at://bob.example.com'])).toBeNull()
    expect(claims([])).toBeNull()
    expect(handleOf({ id: ALICE })).toBeNull()
  })
})
