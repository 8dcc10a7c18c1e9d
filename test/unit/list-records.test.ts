import { describe, expect, it } from 'vitest'
import { GaveUpReading } from '../../src/engine/list-records.js'
import {
  DID,
  LIKE,
  MemoryPds,
  MINUTE_MS,
  OTHER,
  POST,
  readAll,
  rkeyOf,
  Shelf,
  stateOf,
  wanted,
  wishFor,
} from './list-records-support.js'

const RECENT_MS = 1 * MINUTE_MS
const key = (index: number) => `${POST}/${rkeyOf(index)}`

describe('a repo that fits one page', () => {
  it('is read by one request and has no rev', async () => {
    const pds = new MemoryPds(stateOf({ [POST]: 3, [LIKE]: 2 }), {}, RECENT_MS)
    const shelf = await readAll(pds, wishFor())
    expect(shelf.rows).toEqual(wanted(pds.state, [POST]))
    expect(pds.requests).toEqual(['listRecords'])
    expect(pds.log[0]?.params).toEqual({ repo: DID, collection: POST, limit: 100 })
    expect(shelf.kinds).toEqual(['complete'])
    expect(shelf.last.progress).toMatchObject({
      rev: null,
      records: 3,
      counts: { [POST]: 3 },
      level: 'content',
    })
    expect(shelf.last.progress.replaces).toBe(false)
  })

  it('still is one page when an empty one follows it', async () => {
    const pds = new MemoryPds(stateOf({ [POST]: 3 }), { alwaysCursor: true }, RECENT_MS)
    const shelf = await readAll(pds, wishFor())
    expect(shelf.rows).toEqual(wanted(pds.state, [POST]))
    expect(pds.requests).toEqual(['listRecords', 'listRecords'])
    expect(shelf.last.progress.rev).toBeNull()
  })

  it('may have no record at all', async () => {
    const pds = new MemoryPds(stateOf({ [LIKE]: 1 }))
    const shelf = await readAll(pds, wishFor())
    expect(shelf.rows).toEqual({})
    expect(shelf.last).toMatchObject({ kind: 'complete', records: [], progress: { counts: { [POST]: 0 } } })
  })

  it('gives each value as the JSON it came as', async () => {
    const value = { $type: POST, text: 'a\u0000b 🌊 \u2028', n: -1, list: [{ $bytes: 'AQI' }, null, true] }
    const pds = new MemoryPds(new Map([[key(1), value]]))
    const { last } = await readAll(pds, wishFor())
    expect(last.records).toMatchObject([{ collection: POST, rkey: rkeyOf(1), value: JSON.stringify(value) }])
  })
})

describe('a repo of several pages', () => {
  it('is bracketed by its rev', async () => {
    const pds = new MemoryPds(stateOf({ [POST]: 250 }))
    const shelf = await readAll(pds, wishFor())
    expect(shelf.rows).toEqual(wanted(pds.state, [POST]))
    expect(shelf.last.progress).toMatchObject({ rev: pds.rev, records: 250, counts: { [POST]: 250 } })
  })

  it('is not read again when it was at rest long before', async () => {
    const pds = new MemoryPds(stateOf({ [POST]: 250 }), {}, 11 * MINUTE_MS)
    const shelf = await readAll(pds, wishFor())
    expect(pds.requests).toEqual([
      'listRecords',
      'listRecords',
      'getLatestCommit',
      'listRecords',
      'getLatestCommit',
    ])
    expect(shelf.kinds).toEqual(['page', 'page', 'complete'])
    expect(shelf.readings.map(({ records }) => records.length)).toEqual([100, 100, 50])
  })

  it('is read again from the start, within the bracket, when it changed a short while ago', async () => {
    const pds = new MemoryPds(stateOf({ [POST]: 150 }), {}, 9 * MINUTE_MS)
    // Between the first page and the look at the rev: nobody would notice without reading again.
    pds.before.set(2, () => pds.edit({ [key(149)]: { text: 'new' }, [key(0)]: null }))
    const shelf = await readAll(pds, wishFor())
    expect(pds.requests).toEqual([
      ...['listRecords', 'listRecords', 'getLatestCommit'],
      ...['listRecords', 'listRecords', 'getLatestCommit'],
    ])
    expect(pds.log[3]?.params.cursor).toBeUndefined()
    expect(shelf.rows).toEqual(wanted(pds.state, [POST]))
    expect(shelf.kinds).toEqual(['page', 'complete'])
    expect(shelf.last.progress).toMatchObject({ rev: pds.rev, records: 149, restarts: 0, replaces: false })
  })

  it('has its rev in every progress given out, so that nobody takes it for unread', async () => {
    const pds = new MemoryPds(stateOf({ [POST]: 350 }))
    const shelf = await readAll(pds, wishFor())
    expect(shelf.readings.map(({ progress }) => progress.rev)).toEqual(Array(4).fill(pds.rev))
  })

  it.each([
    ['a rev of a clock that is ahead', -5 * MINUTE_MS],
    ['a rev of just now', 0],
    ['a rev ten minutes old', 10 * MINUTE_MS],
  ])('is not at rest with %s', async (_, ageMs) => {
    const pds = new MemoryPds(stateOf({ [POST]: 150 }), {}, ageMs)
    await readAll(pds, wishFor())
    expect(pds.requests).toHaveLength(6)
  })

  it('is refused at a rev so far ahead that it would outlast every true one', async () => {
    const pds = new MemoryPds(stateOf({ [POST]: 150 }), {}, -6 * MINUTE_MS)
    await expect(readAll(pds, wishFor())).rejects.toMatchObject({ failure: 'bad-response' })
  })

  it('is refused at a rev older than one the repo has had', async () => {
    const pds = new MemoryPds(stateOf({ [POST]: 150 }))
    const lastRev = `${pds.rev.slice(0, -1)}z`
    await expect(readAll(pds, wishFor({ lastRev }))).rejects.toMatchObject({ failure: 'rev-regressed' })
    const shelf = await readAll(pds, wishFor({ lastRev: pds.rev }))
    expect(shelf.rows).toEqual(wanted(pds.state, [POST]))
  })

  it.each([
    { ascending: true },
    { ascending: true, alwaysCursor: true, pageCap: 7 },
    { pageCap: 1 },
    { pageCap: 30, alwaysCursor: true },
    { emptyPages: 20 },
    { emptyPages: 3, alwaysCursor: true, pageCap: 50 },
  ])('may be paged as a server likes: %o', async (habits) => {
    const pds = new MemoryPds(stateOf({ [POST]: 101, [LIKE]: 3 }), habits)
    expect((await readAll(pds, wishFor())).rows).toEqual(wanted(pds.state, [POST]))
    expect((await readAll(pds, wishFor({ collections: null }))).rows).toEqual(wanted(pds.state, null))
  })
})

describe('a job of several collections', () => {
  const state = stateOf({ [POST]: 2, [LIKE]: 1, [OTHER]: 1 })

  it('asks for the rev before anything else, and then for each collection', async () => {
    const pds = new MemoryPds(state, {}, RECENT_MS)
    const shelf = await readAll(pds, wishFor({ collections: [POST, LIKE, POST] }))
    expect(pds.requests).toEqual(['getLatestCommit', 'listRecords', 'listRecords', 'getLatestCommit'])
    expect(shelf.rows).toEqual(wanted(state, [POST, LIKE]))
    expect(shelf.last.progress).toMatchObject({ rev: pds.rev, counts: { [LIKE]: 1, [POST]: 2 } })
  })

  it.each([
    ['a prefix', ['com.example.*']],
    ['a prefix and a name', ['com.example.*', OTHER]],
    ['every collection', null],
  ])('asks the repo for its collections: %s', async (_, collections) => {
    const pds = new MemoryPds(state, {}, RECENT_MS)
    const shelf = await readAll(pds, wishFor({ collections }))
    expect(pds.requests.slice(0, 2)).toEqual(['getLatestCommit', 'describeRepo'])
    expect(shelf.rows).toEqual(wanted(state, collections))
    expect(shelf.last.progress.rev).toBe(pds.rev)
  })

  it('sees a collection that appears while it reads', async () => {
    const pds = new MemoryPds(state)
    pds.before.set(4, () => pds.edit({ 'com.example.new/self': { text: 'new' } }))
    const shelf = await readAll(pds, wishFor({ collections: null }))
    expect(shelf.rows).toEqual(wanted(pds.state, null))
    expect(Object.keys(shelf.rows)).toContain('com.example.new/self')
  })

  it('is complete when the repo has none of the collections', async () => {
    const pds = new MemoryPds(state)
    const shelf = await readAll(pds, wishFor({ collections: ['net.nobody.*'] }))
    expect(shelf.last).toMatchObject({
      kind: 'complete',
      records: [],
      progress: { counts: {}, rev: pds.rev },
    })
  })
})

describe('a repo that changes while it is read', () => {
  it('is read again, and says that what came before does not count', async () => {
    const pds = new MemoryPds(stateOf({ [POST]: 250 }))
    pds.before.set(5, () =>
      pds.edit({ [key(249)]: null, [key(300)]: { text: 'new' }, [key(3)]: { text: 'edit' } }),
    )
    const shelf = await readAll(pds, wishFor())
    expect(shelf.kinds).toEqual(['page', 'page', 'restarted', 'page', 'page', 'complete'])
    expect(shelf.rows).toEqual(wanted(pds.state, [POST]))
    expect(shelf.readings[2]).toMatchObject({
      records: [],
      progress: { records: 0, replaces: true, restarts: 1 },
    })
    expect(shelf.last.progress).toMatchObject({ rev: pds.rev, records: 250, counts: { [POST]: 250 } })
  })

  it('is given up after four readings, to be tried again later', async () => {
    const pds = new MemoryPds(stateOf({ [POST]: 1, [LIKE]: 1 }))
    let edits = 0
    for (let request = 1; request < 100; request += 1) {
      pds.before.set(request, () => {
        edits += 1
        pds.edit({ [key(1)]: { text: `edit ${edits}` } })
      })
    }
    const shelf = new Shelf()
    const reading = readAll(pds, wishFor({ collections: [POST, LIKE] }), null, shelf)
    const error = await reading.catch((thrown: unknown) => thrown)
    expect(error).toBeInstanceOf(GaveUpReading)
    expect(error).toMatchObject({ failure: 'too-slow' })
    expect(shelf.kinds.filter((kind) => kind === 'restarted')).toHaveLength(3)
    expect(pds.requests).toHaveLength(4 * 4)
  })

  it('is complete if it holds still for the fourth reading', async () => {
    const pds = new MemoryPds(stateOf({ [POST]: 1, [LIKE]: 1 }))
    for (const request of [2, 6, 10]) pds.before.set(request, () => pds.edit({ [key(request)]: { request } }))
    const shelf = await readAll(pds, wishFor({ collections: [POST, LIKE] }))
    expect(shelf.last).toMatchObject({ kind: 'complete', progress: { restarts: 3 } })
    expect(shelf.rows).toEqual(wanted(pds.state, [POST, LIKE]))
  })
})
