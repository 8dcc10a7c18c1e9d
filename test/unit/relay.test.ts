import { describe, expect, it } from 'vitest'
import type { Failure } from '../../src/atproto/outcome.js'
import type { Query } from '../../src/atproto/pds.js'
import { listReposByCollection } from '../../src/atproto/relay.js'
import type { XrpcAnswer } from '../../src/atproto/xrpc.js'

const ALICE = 'did:plc:aaaaaaaaaaaaaaaaaaaaaaaa'
const BOB = 'did:web:bob.example'

function page(answer: XrpcAnswer, cursor: string | null = null) {
  const asked: unknown[] = []
  const query: Query = async (nsid, params) => {
    asked.push([nsid, params])
    return answer
  }
  return { asked, page: listReposByCollection(query, { collection: 'com.example.post', cursor }) }
}

const given = (body: object, cursor: string | null = null) => page({ ok: true, body }, cursor).page

describe('a page of a relay', () => {
  it('is asked for with the largest size there is', async () => {
    const first = page({ ok: true, body: { repos: [] } })
    await first.page
    expect(first.asked).toEqual([
      [
        'com.atproto.sync.listReposByCollection',
        { collection: 'com.example.post', limit: 2_000, cursor: undefined },
      ],
    ])
    const next = page({ ok: true, body: { repos: [] } }, 'x')
    await next.page
    expect(next.asked).toMatchObject([[expect.any(String), { cursor: 'x' }]])
  })

  it('names repos, and perhaps where to go on', async () => {
    const repos = [{ did: ALICE }, { did: BOB, more: true }]
    expect(await given({ repos, cursor: 'x' })).toEqual({ dids: [ALICE, BOB], invalid: 0, cursor: 'x' })
    expect(await given({ repos })).toEqual({ dids: [ALICE, BOB], invalid: 0, cursor: null })
    expect(await given({ repos, cursor: null }, 'x')).toMatchObject({ cursor: null })
  })

  it('does not end the listing by being empty', async () => {
    expect(await given({ repos: [], cursor: 'y' }, 'x')).toEqual({ dids: [], invalid: 0, cursor: 'y' })
  })

  it('leaves out what is no DID, and counts it', async () => {
    const bad = [
      { did: 'alice.example' },
      { did: 'did:plc' },
      { did: 1 },
      {},
      null,
      ALICE,
      { did: `${ALICE}\u0000` },
    ]
    expect(await given({ repos: [...bad, { did: ALICE }] })).toEqual({
      dids: [ALICE],
      invalid: 7,
      cursor: null,
    })
  })

  it('ends with an empty cursor, as Go servers write it', async () => {
    expect(await given({ repos: [{ did: ALICE }], cursor: '' })).toMatchObject({
      dids: [ALICE],
      cursor: null,
    })
  })

  it('is a loop when it leads to itself', async () => {
    await expect(given({ repos: [{ did: ALICE }], cursor: 'x' }, 'x')).rejects.toMatchObject({
      failure: 'cursor-loop',
    })
  })

  it.each<[string, object]>([
    ['no repos', {}],
    ['repos that are no list', { repos: { did: ALICE } }],
    ['a cursor that is a number', { repos: [], cursor: 1 }],
    ['a cursor too long to be sent back', { repos: [], cursor: 'x'.repeat(2_049) }],
    ['a cursor that no database takes', { repos: [], cursor: 'a\u0000' }],
    ['a cursor that no URL takes', { repos: [], cursor: '\ud83d' }],
  ])('is bad with %s', async (_, body) => {
    await expect(given(body)).rejects.toMatchObject({ failure: 'bad-response' })
  })

  it('is bad when it is a refusal, and says which', async () => {
    const refusal = {
      ok: false,
      status: 400,
      error: 'InvalidRequest',
      message: 'no such collection',
    } as const
    const error = await page(refusal).page.catch((caught: Failure) => caught)
    expect(error).toMatchObject({ failure: 'bad-response' })
    expect((error as Failure).message).toContain('400 InvalidRequest: no such collection')
  })
})
