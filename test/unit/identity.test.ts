import { describe, expect, it } from 'vitest'
import { Failure, RateLimited, Unavailable } from '../../src/atproto/outcome.js'
import { ALICE, BOB_WEB, DIRECTORY, documentOf, KEY, NOW_MS, RESOLVER, world } from './identity-support.js'

const plcUrl = (did: string) => `${DIRECTORY}/${encodeURIComponent(did)}`
const BOB_URL = 'https://bob.example.com/.well-known/did.json'

const outcomeOf = (looking: Promise<unknown>): Promise<unknown> =>
  looking.then(undefined, (error: unknown) => error)

describe('where an account lives', () => {
  it('is what the directory says of a did:plc, and its own host of a did:web', async () => {
    const { identities, asked } = world({
      [plcUrl(ALICE)]: {
        json: documentOf(ALICE, { handle: 'Alice.Example.com', pds: 'https://PDS.example.com:443/' }),
      },
      [BOB_URL]: { json: documentOf(BOB_WEB) },
    })
    expect(await identities.locate(ALICE, false)).toEqual({
      did: ALICE,
      handle: 'alice.example.com',
      origin: 'https://pds.example.com',
    })
    expect(await identities.locate(BOB_WEB, false)).toMatchObject({ did: BOB_WEB })
    expect(asked).toEqual([plcUrl(ALICE), BOB_URL])
  })

  it('is known from the cache until it is asked for afresh', async () => {
    const { identities, asked, answers } = world({ [plcUrl(ALICE)]: { json: documentOf(ALICE) } })
    await identities.locate(ALICE, false)
    answers[plcUrl(ALICE)] = { json: documentOf(ALICE, { pds: 'https://new.example.com' }) }
    expect(await identities.locate(ALICE, false)).toMatchObject({ origin: 'https://pds.example.com' })
    expect(asked).toHaveLength(1)
    expect(await identities.locate(ALICE, true)).toMatchObject({ origin: 'https://new.example.com' })
    expect(await identities.locate(ALICE, false)).toMatchObject({ origin: 'https://new.example.com' })
    expect(asked).toHaveLength(2)
  })

  it('is asked for afresh where the document at hand was looked up before a moment', async () => {
    const { identities, asked, answers } = world({ [plcUrl(ALICE)]: { json: documentOf(ALICE) } })
    const account = { did: ALICE, handle: null, origin: 'https://pds.example.com', signingKey: KEY }
    expect(await identities.account(ALICE, NOW_MS)).toEqual(account)
    const moved = documentOf(ALICE, { pds: 'https://new.example.com', keys: [] })
    answers[plcUrl(ALICE)] = { json: moved }
    expect(await identities.account(ALICE, NOW_MS)).toEqual(account)
    expect(asked).toHaveLength(1)
    const now = { ...account, origin: 'https://new.example.com', signingKey: undefined }
    expect(await identities.account(ALICE, NOW_MS + 1)).toEqual(now)
    expect(asked).toHaveLength(2)
  })

  it('is asked for in turn', async () => {
    const turns: string[] = []
    const answers = { [plcUrl(ALICE)]: { json: documentOf(ALICE) } }
    const { identities, asked } = world(answers, { beforeRequest: async () => void turns.push('turn') })
    await identities.locate(ALICE, false)
    await identities.locate(ALICE, false)
    expect(turns).toHaveLength(asked.length)
  })
})

describe('a look-up that fails', () => {
  it.each<[string, object | undefined, string, string]>([
    ['404', { status: 404 }, 'did-not-found', 'did-not-found'],
    ['400', { status: 400, text: 'Invalid DID' }, 'did-invalid', 'did-not-found'],
    ['403', { status: 403, text: '<html>' }, 'directory-unavailable', 'did-not-found'],
    ['500', { status: 500 }, 'directory-unavailable', 'host-error'],
    ['503', { status: 503 }, 'directory-unavailable', 'host-error'],
    ['a page for people', { text: '<html>' }, 'directory-unavailable', 'did-invalid'],
    ['nothing', { text: '' }, 'directory-unavailable', 'did-invalid'],
    ['a list', { json: [] }, 'did-invalid', 'did-invalid'],
    ['no document', { json: { id: 1 } }, 'did-invalid', 'did-invalid'],
    ['the document of another account', { json: documentOf('did:plc:other') }, 'did-invalid', 'did-invalid'],
    ['no name in DNS', { failure: 'dns-failure' }, 'directory-unavailable', 'dns-failure'],
    ['no connection', { failure: 'connection-failed' }, 'directory-unavailable', 'connection-failed'],
    ['no answer in time', { failure: 'timeout' }, 'directory-unavailable', 'timeout'],
    ['a redirect, as such', { failure: 'bad-response' }, 'directory-unavailable', 'bad-response'],
    ['too much', { failure: 'body-too-large' }, 'directory-unavailable', 'body-too-large'],
    ['what the operator blocked', { failure: 'host-blocked' }, 'directory-unavailable', 'host-blocked'],
    [
      'no answer within our patience',
      { error: new DOMException('too late', 'TimeoutError') },
      'directory-unavailable',
      'timeout',
    ],
  ])('because of %s', async (_, answer, ofDirectory, ofHost) => {
    const { identities, cached } = world({ [plcUrl(ALICE)]: answer ?? {}, [BOB_URL]: answer ?? {} })
    const outcomes = [
      await outcomeOf(identities.locate(ALICE, false)),
      await outcomeOf(identities.locate(BOB_WEB, false)),
    ]
    expect(outcomes).toEqual([expect.any(Failure), expect.any(Failure)])
    expect(outcomes).toMatchObject([{ failure: ofDirectory }, { failure: ofHost }])
    expect((outcomes[0] as Failure).message).toContain(ALICE)
    expect((outcomes[0] as Failure).message).not.toContain('[object')
    expect(cached.size).toBe(0)
  })

  it.each([
    ['did:web:example.com:path', 'paths'],
    ['did:web:%zz.example.com', 'what is no URL'],
    ['did:web:a%20b', 'what is no host'],
    ['did:key:z6Mk', 'another method'],
    ['did:plc', 'half a DID'],
  ])('for good, without asking anybody: %s (%s)', async (did) => {
    const { identities, asked } = world({})
    expect(await outcomeOf(identities.locate(did, false))).toMatchObject({ failure: 'did-invalid' })
    expect(await outcomeOf(identities.signingKey(did, false))).toMatchObject({ failure: 'did-invalid' })
    expect(asked).toEqual([])
  })

  it('because the account is gone, which is no failure', async () => {
    const { identities } = world({ [plcUrl(ALICE)]: { status: 410, json: { message: 'DID not available' } } })
    const outcome = await outcomeOf(identities.locate(ALICE, false))
    expect(outcome).toBeInstanceOf(Unavailable)
    expect(outcome).toMatchObject({ reason: 'tombstoned' })
  })

  it('because the directory asks to wait, for as long as it says', async () => {
    const { identities } = world({ [plcUrl(ALICE)]: { status: 429, headers: { 'retry-after': '120' } } })
    const outcome = await outcomeOf(identities.locate(ALICE, false))
    expect(outcome).toBeInstanceOf(RateLimited)
    expect((outcome as RateLimited).until.getTime()).toBe(NOW_MS + 120_000)
  })

  it('because the document is nested too deeply to be kept', async () => {
    const { id, service } = documentOf(BOB_WEB)
    const nested = `${'['.repeat(50_000)}${']'.repeat(50_000)}`
    const text = `{"id":"${id}","service":${JSON.stringify(service)},"more":${nested}}`
    const { identities } = world({ [BOB_URL]: { text } })
    expect(await outcomeOf(identities.locate(BOB_WEB, false))).toMatchObject({ failure: 'did-invalid' })
  })
})

describe('what is no answer about an account', () => {
  const aborted = new DOMException('shutting down', 'AbortError')
  const lost = Object.assign(new Error('the database is gone'), { code: '57P01' })

  it('comes through as it is: our turn was called off', async () => {
    const { identities } = world({}, { beforeRequest: () => Promise.reject(aborted) })
    expect(await outcomeOf(identities.locate(ALICE, false))).toBe(aborted)
    expect(await outcomeOf(identities.signingKey(BOB_WEB, true))).toBe(aborted)
  })

  it('comes through as it is: the client was closed', async () => {
    const { identities } = world({
      [plcUrl(ALICE)]: { error: aborted },
      [`${RESOLVER}/xrpc/com.atproto.identity.resolveHandle?handle=alice.example.com`]: { error: aborted },
    })
    expect(await outcomeOf(identities.locate(ALICE, false))).toBe(aborted)
    expect(await outcomeOf(identities.resolveHandle('alice.example.com'))).toBe(aborted)
  })

  it('comes through as it is: the cache failed', async () => {
    const { identities, failCache } = world({ [plcUrl(ALICE)]: { json: documentOf(ALICE) } })
    failCache(lost)
    expect(await outcomeOf(identities.locate(ALICE, false))).toBe(lost)
    expect(await outcomeOf(identities.signingKey(ALICE, true))).toBe(lost)
  })
})

describe('the key an account signs with', () => {
  it('is the one named #atproto, in each spelling', async () => {
    const { identities, answers } = world({ [plcUrl(ALICE)]: { json: documentOf(ALICE) } })
    expect(await identities.signingKey(ALICE, false)).toBe(KEY)
    const id = `${ALICE}#atproto`
    answers[plcUrl(ALICE)] = {
      json: documentOf(ALICE, { keys: [{ ...documentOf(ALICE).verificationMethod[0]!, id }] }),
    }
    expect(await identities.signingKey(ALICE, true)).toBe(KEY)
  })

  it.each<[string, object[]]>([
    ['no key', []],
    ['a key for something else', [{ id: '#other' }]],
    ['a key of another kind', [{ type: 'Ed25519VerificationKey2020' }]],
    ['a key that is none', [{ publicKeyMultibase: 'z123' }]],
    ['a key that is no multibase', [{ publicKeyMultibase: '' }]],
  ])('is not to be had with %s', async (_, keys) => {
    const [key] = documentOf(ALICE).verificationMethod
    const document = documentOf(ALICE, { keys: keys.map((change) => ({ ...key!, ...change })) })
    const { identities } = world({ [plcUrl(ALICE)]: { json: document } })
    expect(await outcomeOf(identities.signingKey(ALICE, false))).toMatchObject({ failure: 'did-invalid' })
  })

  it('is as hard to find as the account', async () => {
    const { identities } = world({ [plcUrl(ALICE)]: { status: 404 }, [BOB_URL]: { failure: 'timeout' } })
    expect(await outcomeOf(identities.signingKey(ALICE, false))).toMatchObject({ failure: 'did-not-found' })
    expect(await outcomeOf(identities.signingKey(BOB_WEB, false))).toMatchObject({ failure: 'timeout' })
  })
})
