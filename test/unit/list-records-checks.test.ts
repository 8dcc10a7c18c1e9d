import { describe, expect, it } from 'vitest'
import type { ListedRecord } from '../../src/atproto/pds.js'
import type { Level } from '../../src/verdict.js'
import {
  DID,
  LIKE,
  listed,
  MemoryPds,
  POST,
  readAll,
  stateOf,
  wanted,
  wishFor,
} from './list-records-support.js'

type Page = { records: unknown[]; cursor?: string }

const record = (rkey: string, value: object = { text: rkey }) => listed(POST, rkey, value)

/** A server that gives these pages, one after the other, whatever it is asked. */
function pdsWith(...pages: Page[]): MemoryPds {
  const pds = new MemoryPds(new Map())
  const left = [...pages]
  pds.tamper = (call, body) => (call === 'listRecords' ? (left.shift() ?? pages.at(-1)!) : body)
  return pds
}

const one = (...records: unknown[]): MemoryPds => pdsWith({ records })
const read = (pds: MemoryPds, level: Level = 'content') => readAll(pds, wishFor({ level }))

/** Every key of the pages alone, so that an accepted listing shows what was accepted. */
const keysOf = async (pds: MemoryPds) =>
  Object.keys((await read(pds)).rows).map((key) => key.slice(POST.length + 1))

describe('a listing that does not end', () => {
  it.each<[string, Page[]]>([
    [
      'the same cursor again',
      [
        { records: [record('b')], cursor: 'x' },
        { records: [record('a')], cursor: 'x' },
      ],
    ],
    ['the same cursor again, on empty pages', [{ records: [], cursor: 'x' }]],
    ['the same page again', [{ records: [record('b'), record('a')], cursor: 'x' }]],
    ['the same single record again', [{ records: [record('a')], cursor: 'x' }, { records: [record('a')] }]],
    [
      'back to the first page',
      [
        { records: [record('a')], cursor: 'x' },
        { records: [record('b')], cursor: 'y' },
        { records: [record('a')], cursor: 'z' },
      ],
    ],
    [
      'another direction from one page to the next',
      [{ records: [record('c'), record('b')], cursor: 'x' }, { records: [record('d')] }],
    ],
    [
      'a key that comes twice, on two pages',
      [{ records: [record('b'), record('c')], cursor: 'x' }, { records: [record('c'), record('d')] }],
    ],
  ])('is a cursor loop: %s', async (_, pages) => {
    await expect(read(pdsWith(...pages))).rejects.toMatchObject({ failure: 'cursor-loop' })
  })

  it('is a cursor loop after twenty-one empty pages, whatever their cursors', async () => {
    const pds = new MemoryPds(stateOf({ [POST]: 1 }), { emptyPages: 1_000 })
    await expect(read(pds)).rejects.toMatchObject({ failure: 'cursor-loop' })
    expect(pds.requests).toHaveLength(21)
  })

  it('is seen at the first cursor that comes again', async () => {
    const pds = pdsWith({ records: [], cursor: 'x' })
    await expect(read(pds)).rejects.toMatchObject({ failure: 'cursor-loop' })
    expect(pds.requests).toHaveLength(2)
  })

  it('is none when each collection has its own empty pages', async () => {
    const pds = new MemoryPds(new Map(), { emptyPages: 15 })
    const { last } = await readAll(pds, wishFor({ collections: [POST, LIKE] }))
    expect(last).toMatchObject({ kind: 'complete', progress: { records: 0 } })
  })

  it('is none when empty pages stand between full ones', async () => {
    const pds = new MemoryPds(stateOf({ [POST]: 5 }), { emptyPages: 19, pageCap: 1 })
    expect((await read(pds)).rows).toEqual(wanted(pds.state, [POST]))
  })

  it('does not show more than a piece of the cursor', async () => {
    const pds = pdsWith({ records: [], cursor: 'x'.repeat(2_000) })
    const message = await read(pds).catch((error: Error) => error.message)
    expect(String(message).length).toBeLessThan(200)
  })
})

describe('the order of keys', () => {
  it.each<[string, ListedRecord[]]>([
    ['one key twice', [record('a'), record('a')]],
    ['up and down', [record('a'), record('c'), record('b')]],
    ['down and up', [record('c'), record('a'), record('b')]],
    // "a" < "a:b" < "aa" bytewise; a locale would say otherwise.
    ['not by bytes', [record('Z'), record('a'), record('B')]],
  ])('must not break within a page: %s', async (_, records) => {
    await expect(read(one(...records))).rejects.toMatchObject({ failure: 'bad-response' })
  })

  it('may be either, and each collection has its own', async () => {
    expect(await keysOf(one(record('-a'), record('A'), record('a')))).toEqual(['-a', 'A', 'a'])
    expect(await keysOf(one(record('a'), record('A'), record('-a')))).toEqual(['a', 'A', '-a'])
    const pds = new MemoryPds(new Map())
    pds.tamper = (call, body) => {
      if (call !== 'listRecords') return body
      const { collection } = pds.log.at(-1)!.params as { collection: string }
      const keys = collection === POST ? ['a', 'b'] : ['b', 'a']
      return { records: keys.map((rkey) => listed(collection, rkey, { rkey })) }
    }
    const { last } = await readAll(pds, wishFor({ collections: [POST, LIKE] }))
    expect(last.progress.records).toBe(4)
  })
})

describe('whose record it is', () => {
  const { cid, value } = record('a')
  it.each([
    'at://did:plc:bbbbbbbbbbbbbbbbbbbbbbbb/com.example.post/a',
    `at://${DID}/com.example.like/a`,
    `at://${DID}/com.example.posts/a`,
    `at://${DID}/com.example.post`,
    `at://${DID}/com.example.post/`,
    `at://${DID}/com.example.post/a/b`,
    `at://${DID}/com.example.post/.`,
    `at://${DID}/com.example.post/..`,
    `at://${DID}/com.example.post/a b`,
    `at://${DID}/com.example.post/a\u0000`,
    `at://${DID}/com.example.post/ä`,
    `at://${DID}/com.example.post/${'a'.repeat(513)}`,
    `at://${DID}/com.example.post/a#b`,
    `AT://${DID}/com.example.post/a`,
    'https://example.com/',
    '',
  ])('must be the one asked for: %s', async (uri) => {
    for (const level of ['content', 'none'] as const) {
      await expect(read(one({ uri, cid, value }), level)).rejects.toMatchObject({ failure: 'bad-response' })
    }
  })

  it.each(['self', '3l3qo2vuowo2b', 'a:b~c_d-e.f', 'x'.repeat(512), '...'])('may be %s', async (rkey) => {
    expect(await keysOf(one(record(rkey)))).toEqual([rkey])
  })
})

describe('what a record must be', () => {
  it.each<[string, unknown]>([
    ['no list', { records: {} }],
    ['nothing', {}],
    ['a record that is text', { records: ['a'] }],
    ['a record that is null', { records: [null] }],
    ['no URI', { records: [{ ...record('a'), uri: undefined }] }],
    ['no CID', { records: [{ ...record('a'), cid: undefined }] }],
    ['no value', { records: [{ ...record('a'), value: undefined }] }],
    ['a value that is null', { records: [{ ...record('a'), value: null }] }],
    ['a value that is a list', { records: [{ ...record('a'), value: [] }] }],
    ['a value that is text', { records: [{ ...record('a'), value: '{}' }] }],
    ['a cursor that is a number', { records: [], cursor: 1 }],
  ])('is checked: %s', async (_, page) => {
    await expect(read(pdsWith(page as Page), 'none')).rejects.toMatchObject({ failure: 'bad-response' })
  })

  it('has the CID of its value', async () => {
    const pds = one({ ...record('b'), value: { text: 'b', more: true } }, record('a'))
    await expect(read(pds)).rejects.toMatchObject({ failure: 'cid-mismatch' })
  })

  it('may have another CID where nothing need be proven, and the whole set is proven no further', async () => {
    const { cid } = record('other')
    const pages = [
      { records: [record('c')], cursor: 'c' },
      { records: [{ ...record('b'), cid }], cursor: 'b' },
    ]
    const pds = pdsWith(...pages, { records: [record('a')] })
    const shelf = await read(pds, 'none')
    expect(shelf.readings.map(({ progress }) => progress.level)).toEqual(['content', 'none', 'none', 'none'])
    expect(shelf.rows[`${POST}/b`]).toBe(cid)
  })

  it('is proven by itself: what has the right CID is no less for what stands beside it', async () => {
    const { cid } = record('other')
    const wrong = { ...record('b'), cid }
    const levels = async (...pages: { records: object[]; cursor?: string }[]) => {
      const { readings, rows } = await read(pdsWith(...(pages as Page[])), 'none')
      const of = readings.flatMap(({ records, level, progress }) =>
        records.map(({ rkey }) => [rkey, level ?? progress.level]),
      )
      expect(Object.keys(rows).sort()).toEqual(of.map(([rkey]) => `${POST}/${rkey}`).sort())
      return Object.fromEntries(of)
    }
    const right = { a: 'content', b: 'none', c: 'content' }
    expect(await levels({ records: [record('c'), wrong, record('a')] })).toEqual(right)
    expect(await levels({ records: [record('c'), wrong], cursor: 'b' }, { records: [record('a')] })).toEqual(
      right,
    )
  })

  it('reaches the level of content where nothing need be proven and yet all is', async () => {
    expect((await read(one(record('a')), 'none')).last.progress.level).toBe('content')
  })

  // The first is text that the database refuses, together with everything written at the same time.
  it.each(['\u0000', '', 'bafy', 'QmYwAPJzv5CZsnA625s3Xf2nemtYgPpHdWEz79ojWKcfBH'])(
    'has a CID in any case: %j',
    async (cid) => {
      for (const level of ['content', 'none'] as const) {
        const reading = read(one({ ...record('a'), cid }), level)
        await expect(reading).rejects.toMatchObject({ failure: 'bad-response' })
      }
    },
  )

  it.each([1_001, 5_000, 100_000])('is not %i objects in one another', async (levels) => {
    const value = JSON.parse(`${'{"a":'.repeat(levels)}1${'}'.repeat(levels)}`)
    for (const level of ['content', 'none'] as const) {
      const reading = read(one({ ...record('a'), value }), level)
      await expect(reading).rejects.toMatchObject({ failure: 'bad-response' })
    }
  })
})

describe('pages that are too large', () => {
  const limits = (pds: MemoryPds) =>
    pds.log.filter(({ call }) => call === 'listRecords').map(({ params }) => params.limit)

  it('are asked for in tens, and stay so', async () => {
    const pds = new MemoryPds(stateOf({ [POST]: 35, [LIKE]: 15 }), { tooLargeFrom: 11 })
    const shelf = await readAll(pds, wishFor({ collections: [POST, LIKE] }))
    expect(limits(pds)).toEqual([100, 10, 10, 10, 10, 10, 10])
    expect(shelf.rows).toEqual(wanted(pds.state, [POST, LIKE]))
  })

  it('are asked for one record at a time, and stay so', async () => {
    const pds = new MemoryPds(stateOf({ [POST]: 3 }), { tooLargeFrom: 2 })
    const shelf = await read(pds)
    expect(limits(pds)).toEqual([100, 10, 1, 1, 1])
    expect(shelf.rows).toEqual(wanted(pds.state, [POST]))
  })

  it('become smaller in the middle of a collection', async () => {
    const pds = new MemoryPds(stateOf({ [POST]: 130 }))
    pds.before.set(2, () => {
      pds.habits = { tooLargeFrom: 2 }
    })
    const shelf = await read(pds)
    expect(limits(pds)).toEqual([100, 100, 10, ...Array(30).fill(1)])
    expect(shelf.rows).toEqual(wanted(pds.state, [POST]))
  })

  it('stay small for whoever takes up the reading', async () => {
    const pds = new MemoryPds(stateOf({ [POST]: 35 }), { tooLargeFrom: 11 })
    const { progress } = (await read(pds)).readings[0]!
    pds.log.length = 0
    await readAll(pds, wishFor(), progress)
    expect(limits(pds)).toEqual([10, 10, 10])
  })

  it('are a failure when a single record is', async () => {
    const pds = new MemoryPds(stateOf({ [POST]: 3 }), { tooLargeFrom: 1 })
    await expect(read(pds)).rejects.toMatchObject({ failure: 'body-too-large' })
    expect(limits(pds)).toEqual([100, 10, 1])
  })
})

describe('what no account has', () => {
  it('is too large: a record of more than two million characters', async () => {
    const pds = one(record('a', { text: 'x'.repeat(2 * 1024 * 1024) }))
    await expect(read(pds)).rejects.toMatchObject({ failure: 'body-too-large' })
  })

  it('is too large: thousands of collections', async () => {
    const pds = new MemoryPds(new Map())
    const collections = Array.from({ length: 5_001 }, (_, index) => `network.example.c${index}`)
    pds.tamper = (call, body) => (call === 'describeRepo' ? { ...body, collections } : body)
    await expect(readAll(pds, wishFor({ collections: null }))).rejects.toMatchObject({
      failure: 'body-too-large',
    })
  })
})
