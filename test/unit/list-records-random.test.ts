import { expect, it } from 'vitest'
import { Failure } from '../../src/atproto/outcome.js'
import { type ListProgress, readByListRecords } from '../../src/engine/list-records.js'
import {
  LIKE,
  MemoryPds,
  MINUTE_MS,
  OTHER,
  POST,
  rkeyOf,
  Shelf,
  type State,
  stored,
  wanted,
  wishFor,
} from './list-records-support.js'
import { seeded } from './seeded.js'

/**
 * Random repos on random servers, which change at random moments and are read with interruptions: what is on the
 * shelf at the end is the repo as it was at the rev that the reading claims, or the reading was given up.
 */

const REPOS = 800
const COLLECTIONS = [POST, LIKE, OTHER]
const SCOPES = [[POST], [LIKE, POST], ['com.example.*'], null]

type Random = () => number

const below = (random: Random, limit: number) => Math.floor(random() * limit)
const oneOf = <T>(random: Random, choices: readonly T[]): T => choices[below(random, choices.length)]!

function randomState(random: Random): State {
  const few = oneOf(random, [0, 2, 6, 20])
  const keys = COLLECTIONS.flatMap((collection) =>
    Array.from({ length: below(random, few + 1) }, () => `${collection}/${rkeyOf(below(random, 100))}`),
  )
  return new Map(keys.map((key) => [key, { text: `${key} ${below(random, 1_000)}` }]))
}

function randomPds(random: Random): MemoryPds {
  const habits = {
    pageCap: oneOf(random, [1, 2, 3, 5, 100]),
    ascending: random() < 0.5,
    alwaysCursor: random() < 0.5,
    emptyPages: oneOf(random, [0, 0, 1, 3]),
    ...(random() < 0.2 && { tooLargeFrom: 2 }),
  }
  return new MemoryPds(randomState(random), habits, oneOf(random, [0, 5, 11, 1_000]) * MINUTE_MS)
}

function editAtRandom(random: Random, pds: MemoryPds): void {
  const present = oneOf(random, [...pds.state.keys(), undefined])
  const fresh = `${oneOf(random, COLLECTIONS)}/${rkeyOf(below(random, 100))}`
  const value = { text: `edit ${random()}` }
  const changes = [{ [fresh]: value }, ...(present ? [{ [present]: null }, { [present]: value }] : [])]
  pds.edit(oneOf(random, changes))
}

/** Reads as the engine does: from the last progress on. */
async function readWithInterruptions(random: Random, pds: MemoryPds, scope: (typeof SCOPES)[number]) {
  const shelf = new Shelf()
  // Some repos were read before, and have changed since: what is gone must not stay.
  if (random() < 0.3) shelf.rows = wanted(randomState(random), scope)
  let from: ListProgress | null = null
  for (;;) {
    const wish = wishFor({ collections: scope, stored: Object.keys(shelf.rows).length > 0 && from === null })
    let interrupted = false
    for await (const reading of readByListRecords(pds.query, wish, from, () => pds.nowMs)) {
      shelf.put(reading)
      if (reading.kind === 'complete') return shelf
      from = stored(reading.progress)
      interrupted = random() < 0.1
      if (interrupted) break
    }
    // A while later, and perhaps with the repo changed meanwhile.
    pds.nowMs += oneOf(random, [0, 60]) * MINUTE_MS
    if (random() < 0.3) editAtRandom(random, pds)
    pds.nowMs += oneOf(random, [0, 60]) * MINUTE_MS
  }
}

/** Without a rev the set is that of one page: all that was there throughout, and nothing that never was. */
function expectOneMoment(pds: MemoryPds, rows: Record<string, string>, scope: (typeof SCOPES)[number]): void {
  const seen = pds.log.map(({ state }) => wanted(state, scope))
  for (const [key, cid] of Object.entries(seen[0]!)) {
    if (seen.every((state) => state[key] === cid)) expect(rows[key]).toBe(cid)
  }
  expect(seen.some((state) => Object.entries(rows).every(([key, cid]) => state[key] === cid))).toBe(true)
}

it(`${REPOS} random repos are read right, or given up`, async () => {
  const ends = { rev: 0, page: 0, restarted: 0, refused: 0 }
  for (let seed = 1; seed <= REPOS; seed += 1) {
    const random = seeded(seed)
    const pds = randomPds(random)
    const scope = oneOf(random, SCOPES)
    // Most change now and then, some with every other request.
    const restless = random() < 0.05
    for (let edit = restless ? 100 : below(random, 8) - 3; edit > 0; edit -= 1) {
      pds.before.set(restless ? edit * 2 : 1 + below(random, 12), () => editAtRandom(random, pds))
    }
    try {
      const shelf = await readWithInterruptions(random, pds, scope)
      const { rev, records, counts } = shelf.last.progress
      if (rev === null) expectOneMoment(pds, shelf.rows, scope)
      else expect(shelf.rows, `seed ${seed}`).toEqual(wanted(pds.history.get(rev)!, scope))
      expect(records).toBe(Object.keys(shelf.rows).length)
      expect(Object.values(counts).reduce((sum, count) => sum + count, 0)).toBe(records)
      ends[rev === null ? 'page' : 'rev'] += 1
      if (shelf.kinds.includes('restarted')) ends.restarted += 1
    } catch (error) {
      if (!(error instanceof Failure)) throw error
      expect(error, `seed ${seed}`).toMatchObject({ failure: 'too-slow' })
      ends.refused += 1
    }
  }
  // Each way to end was met often enough to mean something.
  expect(ends.rev).toBeGreaterThan(REPOS / 2)
  expect(ends.page).toBeGreaterThan(REPOS / 100)
  expect(ends.restarted).toBeGreaterThan(REPOS / 10)
  expect(ends.refused).toBeGreaterThan(0)
  expect(ends.refused).toBeLessThan(REPOS / 20)
})
