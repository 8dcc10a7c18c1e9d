import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import type { HostClaim } from '../../src/store/hosts.js'
import type { Level } from '../../src/verdict.js'
import { createStore } from '../support/database.js'
import {
  addJob,
  assertCountersEqualRows,
  cidOf,
  completion,
  didOf,
  drive,
  empty,
  POST,
  record,
  type TestJob,
  writeSteps,
} from '../support/fixtures.js'

/** What may replace what: rows and receipts never go back in time, nor from proven to less proven. */

let store: Awaited<ReturnType<typeof createStore>>
let host: HostClaim

beforeAll(async () => {
  store = await createStore()
})

afterAll(() => store[Symbol.asyncDispose]())

beforeEach(async () => {
  host = await drive(store.db)
})

afterEach(async () => {
  await assertCountersEqualRows(store)
  await empty(store)
})

const EARLY = '3k222'
const LATE = '3kzzz'

/** A record at the end of one reading; without a cid, gone. */
interface State {
  readonly cid: string | null
  readonly rev: string | null
  readonly level: Level
}

const state = (cid: string | null, rev: string | null, level: Level = 'content'): State => ({
  cid,
  rev,
  level,
})

/** A job of its own for each write, as different jobs share records. */
async function write({ cid, rev, level }: State): Promise<TestJob> {
  const job = await addJob(store, { repos: [didOf(0)] })
  const rows = [record(job.collections.get(POST)!, 'key', cid!, `{"is":"${cid}"}`)]
  expect(await writeSteps(store, completion(job, didOf(0), host, rows, { rev, level }))).toEqual([true])
  return job
}

async function put(given: State): Promise<void> {
  if (given.cid !== null) {
    await write(given)
    return
  }
  await write({ ...given, cid: cidOf('gone') })
  await store.pool.query('update record set cid = null, value = null')
  // What is tested is the row, whatever receipt its job left.
  await store.pool.query('delete from receipt')
}

async function stored() {
  const { rows } = await store.pool.query<State & { value: string | null; place: string }>(
    'select cid, rev, level, value, ctid::text || xmin::text as place from record',
  )
  expect(rows).toHaveLength(1)
  return rows[0]!
}

const A = cidOf('a')
const B = cidOf('b')

describe('a record stays as it is', () => {
  const cases: [string, State, State][] = [
    ['older content does not replace newer', state(A, LATE), state(B, EARLY)],
    ['content without a rev does not replace content with one', state(A, EARLY), state(B, null)],
    ['unsigned content does not replace signed', state(A, EARLY, 'signed'), state(B, LATE)],
    ['unchecked content does not replace checked', state(A, EARLY), state(B, LATE, 'none')],
    ['unchecked content does not replace signed', state(A, null, 'signed'), state(B, LATE, 'none')],
    ['signed but older content does not replace newer', state(A, LATE), state(B, EARLY, 'signed')],
    ['an older reading does not bring back what is gone', state(null, LATE), state(A, EARLY)],
    ['a reading without a rev does not bring back what is gone', state(null, EARLY), state(A, null)],
    ['the same content at a newer rev is not written again', state(A, EARLY), state(A, LATE)],
    ['the same content without a rev is not written again', state(A, null), state(A, null)],
    ['the same content at a lower level is not written again', state(A, EARLY, 'signed'), state(A, LATE)],
  ]
  test.each(cases)('%s', async (_, before, after) => {
    await put(before)
    const was = await stored()
    expect(was).toMatchObject(before)
    await write(after)
    expect(await stored()).toEqual(was)
  })
})

describe('a record is replaced', () => {
  const cases: [string, State, State][] = [
    ['newer content replaces older', state(A, EARLY), state(B, LATE)],
    ['other content at the same rev replaces', state(A, EARLY), state(B, EARLY)],
    ['content without a rev replaces content without one', state(A, null), state(B, null)],
    ['content with a rev replaces content without one', state(A, null), state(B, EARLY)],
    ['checked content replaces unchecked', state(A, EARLY, 'none'), state(B, LATE)],
    ['signed content replaces checked', state(A, EARLY), state(B, LATE, 'signed')],
    ['the same content replaces where it is proven better', state(A, EARLY), state(A, LATE, 'signed')],
    ['a newer reading brings back what was gone', state(null, EARLY), state(A, LATE)],
    ['a signed one replaces a signed one', state(A, EARLY, 'signed'), state(B, LATE, 'signed')],
  ]
  test.each(cases)('%s', async (_, before, after) => {
    await put(before)
    await write(after)
    expect(await stored()).toMatchObject({ ...after, value: `{"is":"${after.cid}"}` })
  })
})

describe('the receipt of a repo', () => {
  const receipt = async () => {
    const { rows } = await store.pool.query('select rev, level from receipt')
    expect(rows).toHaveLength(1)
    return rows[0]
  }

  test.each([
    ['an older one does not replace a newer one', state(A, LATE), state(A, EARLY), LATE],
    ['an unsigned one does not replace a signed one', state(A, EARLY, 'signed'), state(A, LATE), EARLY],
    ['a newer one replaces an older one', state(A, EARLY), state(A, LATE), LATE],
    ['a signed one replaces an unsigned one', state(A, EARLY), state(A, LATE, 'signed'), LATE],
  ])('%s', async (_, before, after, rev) => {
    await write(before)
    await write(after)
    expect(await receipt()).toMatchObject({ rev })
  })

  test('is one for each set of collections, whichever job reached it', async () => {
    await write(state(A, EARLY))
    await write(state(A, LATE))
    const job = await addJob(store, { repos: [didOf(0)], collections: [POST] })
    await writeSteps(store, completion(job, didOf(0), host, [], { rev: EARLY }))
    const { rows } = await store.pool.query('select rev from receipt order by scope')
    expect(rows).toEqual([{ rev: LATE }, { rev: EARLY }])
  })
})
