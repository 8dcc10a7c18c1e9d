import { describe, expect, it } from 'vitest'
import { Failure, RateLimited, Unavailable } from '../../src/atproto/outcome.js'
import { RepoNotFound } from '../../src/atproto/pds.js'
import { readByListRecords } from '../../src/engine/list-records.js'
import {
  LIKE,
  MemoryPds,
  MINUTE_MS,
  POST,
  readAll,
  rkeyOf,
  Shelf,
  START_MS,
  stateOf,
  stored,
  wanted,
  wishFor,
} from './list-records-support.js'

const key = (index: number) => `${POST}/${rkeyOf(index)}`

describe('a repo of which records are stored', () => {
  it('is bracketed even if it fits one page, and tells which keys are left', async () => {
    const pds = new MemoryPds(stateOf({ [POST]: 2 }))
    const shelf = new Shelf()
    shelf.rows = { [`${POST}/gone`]: 'bafy' }
    await readAll(pds, wishFor({ stored: true }), null, shelf)
    expect(pds.requests).toEqual(['getLatestCommit', 'listRecords', 'getLatestCommit'])
    expect(shelf.last.progress).toMatchObject({ rev: pds.rev, replaces: true })
    expect(shelf.rows).toEqual(wanted(pds.state, [POST]))
  })
})

describe('a reading that is taken up again', () => {
  const habits = { pageCap: 30, emptyPages: 1, alwaysCursor: true }
  const collections = [POST, LIKE]

  it('gives the same from every progress it gave out', async () => {
    const pds = new MemoryPds(stateOf({ [POST]: 100, [LIKE]: 70 }), habits)
    const whole = await readAll(pds, wishFor({ collections }))
    for (const [index, { progress }] of whole.readings.entries()) {
      const shelf = new Shelf()
      for (const reading of whole.readings.slice(0, index + 1)) shelf.put(reading)
      const last = (await readAll(pds, wishFor({ collections }), stored(progress), shelf)).last
      expect(shelf.rows).toEqual(wanted(pds.state, collections))
      expect(last).toMatchObject({ kind: 'complete', progress: { ...whole.last.progress } })
    }
    expect(whole.readings).toHaveLength(7)
  })

  it('knows at its end what all of its parts found, where it replaces rows', async () => {
    const pds = new MemoryPds(stateOf({ [POST]: 100, [LIKE]: 70 }), habits)
    const whole = await readAll(pds, wishFor({ collections, stored: true }))
    for (let stopped = 1; stopped < whole.readings.length; stopped += 1) {
      const shelf = new Shelf()
      shelf.rows = { [`${POST}/gone`]: 'bafy', [`${LIKE}/gone`]: 'bafy' }
      for (const reading of whole.readings.slice(0, stopped)) shelf.put(reading)
      await readAll(pds, wishFor({ collections }), stored(shelf.last.progress), shelf)
      expect(shelf.rows).toEqual(wanted(pds.state, collections))
    }
    expect(new Set(whole.readings.map(({ progress }) => progress.reading))).toEqual(new Set([START_MS]))
  })

  it('is another one after each change of the repo, also where the clock stands still or is set back', async () => {
    const pds = new MemoryPds(stateOf({ [POST]: 250 }))
    const shelf = new Shelf()
    shelf.rows = { [key(999)]: 'bafy' }
    const wish = wishFor({ stored: true })
    const reading = readByListRecords(pds.query, wish, null, () => pds.nowMs)
    // Found by the first reading and gone since: it must not pass for found by the second.
    shelf.put((await reading.next()).value!)
    pds.edit({ [key(249)]: null })
    shelf.put((await reading.next()).value!)
    pds.nowMs -= MINUTE_MS
    shelf.put((await reading.next()).value!)
    await readAll(pds, wishFor(), stored(shelf.last.progress), shelf)
    expect(shelf.kinds.slice(0, 3)).toEqual(['page', 'page', 'restarted'])
    expect([...new Set(shelf.readings.map(({ progress }) => progress.reading))]).toEqual([
      START_MS,
      START_MS + 1,
    ])
    expect(shelf.rows).toEqual(wanted(pds.state, [POST]))
  })

  it('does not ask again for what it has', async () => {
    const pds = new MemoryPds(stateOf({ [POST]: 250 }))
    const { progress } = (await readAll(pds, wishFor())).readings[0]!
    const asked = pds.log.length
    await readAll(pds, wishFor(), stored(progress))
    expect(pds.requests.slice(asked)).toEqual(['listRecords', 'listRecords', 'getLatestCommit'])
  })

  it('notices what changed in between, however long ago', async () => {
    const pds = new MemoryPds(stateOf({ [POST]: 250 }))
    const shelf = new Shelf()
    const reading = readByListRecords(pds.query, wishFor(), null, () => pds.nowMs)
    shelf.put((await reading.next()).value!)
    pds.edit({ [key(249)]: null, [key(1)]: { text: 'edit' } })
    pds.nowMs = START_MS + 60 * MINUTE_MS
    await readAll(pds, wishFor(), stored(shelf.last.progress), shelf)
    expect(shelf.kinds).toContain('restarted')
    expect(shelf.rows).toEqual(wanted(pds.state, [POST]))
  })
})

describe('what a request throws', () => {
  it.each([
    new RateLimited(new Date(START_MS)),
    new Unavailable('takendown'),
    new RepoNotFound('Could not find repo'),
    new Failure('timeout', 'no answer'),
    new TypeError('a mistake of our own'),
  ])('comes through: %s', async (error) => {
    for (const failing of [1, 2, 3, 5]) {
      const pds = new MemoryPds(stateOf({ [POST]: 250 }))
      pds.before.set(failing, () => {
        throw error
      })
      await expect(readAll(pds, wishFor())).rejects.toBe(error)
    }
  })
})
