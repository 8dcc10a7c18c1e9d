import { describe, expect, it } from 'vitest'
import { type Failure, Unavailable } from '../../src/atproto/outcome.js'
import {
  describeCollections,
  getLatestCommit,
  listRecords,
  pageCursor,
  type Query,
  RepoNotFound,
} from '../../src/atproto/pds.js'
import type { XrpcAnswer } from '../../src/atproto/xrpc.js'

const DID = 'did:plc:aaaaaaaaaaaaaaaaaaaaaaaa'
const REV = '3l3qo2vuowo2b'
const CID = 'bafyreidfayvfuwqa7qlnopdjiqrxzs6blmoeu4rujcjtnci5beludirz2a'

type Answers = Record<string, XrpcAnswer>

const answer = (body: object): XrpcAnswer => ({ ok: true, body })
const refuse = (error: string, message = '', status = 400): XrpcAnswer => ({
  ok: false,
  status,
  error,
  message,
})

/** A host that gives one answer to each method. */
function hostWith(answers: Answers): { query: Query; asked: string[] } {
  const asked: string[] = []
  const query: Query = async (nsid) => {
    const name = nsid.slice(nsid.lastIndexOf('.') + 1)
    asked.push(name)
    const given = answers[name]
    if (!given) throw new Error(`nobody should ask ${nsid}`)
    return given
  }
  return { query, asked }
}

const METHODS: [string, (query: Query) => Promise<unknown>][] = [
  [
    'listRecords',
    (query) =>
      listRecords(query, { repo: DID, collection: 'com.example.post', limit: 100, cursor: undefined }),
  ],
  ['getLatestCommit', (query) => getLatestCommit(query, DID)],
  ['describeRepo', (query) => describeCollections(query, DID)],
]

const outcomeOf = (method: Promise<unknown>): Promise<unknown> =>
  method.then(undefined, (error: unknown) => error)

describe.each(METHODS)('%s, refused', (name, call) => {
  it.each([
    ['RepoDeactivated', 'deactivated'],
    ['RepoTakendown', 'takendown'],
    ['RepoSuspended', 'suspended'],
  ])('with %s: the account is %s', async (error, reason) => {
    const { query, asked } = hostWith({ [name]: refuse(error) })
    const outcome = await outcomeOf(call(query))
    expect(outcome).toBeInstanceOf(Unavailable)
    expect(outcome).toMatchObject({ reason })
    expect(asked).toEqual([name])
  })

  it.each([
    ['RepoNotFound', ''],
    ['RepoNotFound', 'Could not find repo for DID'],
    ['InvalidRequest', `Could not find repo: ${DID}`],
    ['InvalidRequest', `Could not find user: ${DID}`],
    ['InvalidRequest', `Could not find root for DID: ${DID}`],
    ['InvalidRequest', 'could not find account'],
  ])('with %s "%s": the status decides', async (error, message) => {
    const refused = { [name]: refuse(error, message) }
    const outcomeWith = async (getRepoStatus: XrpcAnswer) => {
      const { query, asked } = hostWith({ ...refused, getRepoStatus })
      const outcome = await outcomeOf(call(query))
      expect(asked).toEqual([name, 'getRepoStatus'])
      return outcome
    }
    for (const status of ['deactivated', 'takendown', 'suspended', 'deleted']) {
      const outcome = await outcomeWith(answer({ did: DID, active: false, status }))
      expect(outcome).toBeInstanceOf(Unavailable)
      expect(outcome).toMatchObject({ reason: status })
    }
    expect(await outcomeWith(refuse('RepoNotFound'))).toBeInstanceOf(RepoNotFound)
    expect(await outcomeWith(refuse('InvalidRequest', 'Could not find repo'))).toBeInstanceOf(RepoNotFound)
    expect(await outcomeWith(refuse('RepoTakendown'))).toMatchObject({ reason: 'takendown' })
  })

  it.each<[string, XrpcAnswer, RegExp]>([
    ['active, yet not to be found', answer({ active: true, rev: REV }), /active, but does not find it/],
    ['inactive for an unknown reason', answer({ active: false, status: 'desynchronized' }), /desynchronized/],
    ['inactive for no reason', answer({ active: false }), /neither active/],
    ['neither', answer({}), /neither active/],
    ['in words alone', answer({ active: 'false', status: 'deactivated' }), /neither active/],
    ['not to be had', refuse('MethodNotImplemented', '', 501), /getRepoStatus: the host answered 501/],
  ])('as not found, with a status that is %s: nobody knows', async (_, getRepoStatus, words) => {
    const { query } = hostWith({ [name]: refuse('RepoNotFound'), getRepoStatus })
    const outcome = await outcomeOf(call(query))
    expect(outcome).toMatchObject({ failure: 'bad-response', message: expect.stringMatching(words) })
  })

  it.each([
    ['InvalidRequest', 'Error: limit must be an integer'],
    ['InvalidRequest', 'Could not locate record'],
    ['AuthMissing', 'Authentication Required'],
    ['deletedX', ''],
    ['', ''],
  ])('with %s "%s": a bad response, which says so', async (error, message) => {
    const { query, asked } = hostWith({ [name]: refuse(error, message, 403) })
    const outcome = (await outcomeOf(call(query))) as Failure
    expect(outcome).toMatchObject({ failure: 'bad-response' })
    expect(outcome.message).toContain(`${name}: the host answered 403 ${error}: ${message}`)
    expect(asked).toEqual([name])
  })
})

describe('getLatestCommit', () => {
  it('gives rev and CID', async () => {
    const { query } = hostWith({ getLatestCommit: answer({ rev: REV, cid: CID, more: 1 }) })
    expect(await getLatestCommit(query, DID)).toEqual({ rev: REV, cid: CID })
  })

  it.each<object>([
    {},
    { rev: REV },
    { cid: CID },
    { rev: 1, cid: CID },
    { rev: 'latest', cid: CID },
    { rev: REV.toUpperCase(), cid: CID },
    { rev: `${REV}2`, cid: CID },
    { rev: REV, cid: 'bafy' },
    { rev: REV, cid: { $link: CID } },
  ])('is bad with %o', async (body) => {
    const { query } = hostWith({ getLatestCommit: answer(body) })
    await expect(getLatestCommit(query, DID)).rejects.toMatchObject({ failure: 'bad-response' })
  })
})

describe('describeRepo', () => {
  const collectionsOf = (body: object) =>
    describeCollections(hostWith({ describeRepo: answer(body) }).query, DID)

  it('gives each collection once, in order', async () => {
    const collections = ['org.b.thing', 'com.example.post', 'org.b.thing', 'com.example.fooBar']
    expect(await collectionsOf({ did: DID, collections })).toEqual([
      ...['com.example.fooBar', 'com.example.post', 'org.b.thing'],
    ])
    expect(await collectionsOf({ did: DID, collections: [] })).toEqual([])
  })

  it.each<object>([
    { did: DID },
    { did: DID, collections: 'com.example.post' },
    { did: DID, collections: ['com.example.post', 'post'] },
    { did: DID, collections: [null] },
    { did: DID, collections: ['__proto__'] },
    { did: 'did:plc:bbbbbbbbbbbbbbbbbbbbbbbb', collections: [] },
    { collections: [] },
  ])('is bad with %o', async (body) => {
    await expect(collectionsOf(body)).rejects.toMatchObject({ failure: 'bad-response' })
  })

  it('does not show more than a piece of a bad name', async () => {
    const error = await outcomeOf(collectionsOf({ did: DID, collections: ['x'.repeat(10_000)] }))
    expect((error as Failure).message.length).toBeLessThan(200)
  })
})

describe('listRecords', () => {
  it('is asked with what it is told, and gives the page as it is', async () => {
    const asked: unknown[] = []
    const records = [{ uri: 'at://x', cid: 'y', value: { z: 1 } }]
    const query: Query = async (...request) => {
      asked.push(request)
      return answer({ records, cursor: 'next' })
    }
    const params = { repo: DID, collection: 'com.example.post', limit: 10, cursor: 'here' }
    expect(await listRecords(query, params)).toEqual({ records, cursor: 'next' })
    expect(asked).toEqual([['com.atproto.repo.listRecords', params, 16 * 1024 * 1024]])
  })
})

describe('the cursor of a page', () => {
  it('ends the listing only by being absent', () => {
    expect(pageCursor(undefined)).toBeNull()
    expect(pageCursor(null)).toBeNull()
    expect(pageCursor('')).toBeNull()
    for (const cursor of ['0', 'x', ' ', 'ü🌊', 'x'.repeat(2_048)]) expect(pageCursor(cursor)).toBe(cursor)
  })

  it.each([[0], [1], [false], [{}], [['x']], ['x'.repeat(2_049)], ['a\u0000'], ['\ud83d']])(
    'must be text that can be sent back: %j',
    (cursor) => {
      expect(() => pageCursor(cursor)).toThrow(expect.objectContaining({ failure: 'bad-response' }))
    },
  )
})
