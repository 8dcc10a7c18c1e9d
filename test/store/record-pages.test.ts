import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { readRecordPage } from '../../src/store/record-pages.js'
import type { RecordQuery, StoredRecord } from '../../src/store/records.js'
import { createStore } from '../support/database.js'
import {
  addJob,
  completion,
  didOf,
  drive,
  POST,
  posts,
  type TestJob,
  writeSteps,
} from '../support/fixtures.js'

const MiB = 1024 * 1024

describe('a page of records', () => {
  let store: Awaited<ReturnType<typeof createStore>>
  let job: TestJob

  beforeAll(async () => {
    store = await createStore()
    const host = await drive(store.db)
    job = await addJob(store, { repos: [didOf(0), didOf(1)], collections: [POST] })
    const large = Array.from({ length: 20 }, (_, index) => rowOf(`large${10 + index}`, MiB))
    const huge = rowOf('z-huge', 9 * MiB)
    const small = Array.from({ length: 300 }, (_, index) => rowOf(`small${100 + index}`, 10))
    await writeSteps(store, completion(job, didOf(0), host, [...large, huge]))
    await writeSteps(store, completion(job, didOf(1), host, small))
  })

  afterAll(() => store[Symbol.asyncDispose]())

  const rowOf = (rkey: string, bytes: number) => ({
    ...posts(job, rkey)[0]!,
    value: JSON.stringify({ text: 'x'.repeat(bytes) }),
  })

  async function pages(limit: number): Promise<StoredRecord[][]> {
    const query: RecordQuery = { job: job.key, scope: job.scope, collection: null, did: null, limit }
    const read: StoredRecord[][] = []
    for (let after: StoredRecord | null = null; ; ) {
      const { rows, more } = await readRecordPage(store.db, query, after)
      read.push([...rows])
      if (!more) return read
      after = rows.at(-1)!
    }
  }

  test('is cut where its records get too large, and misses and repeats nothing', async () => {
    const read = await pages(1_000)
    const sizes = read.map((rows) => rows.reduce((sum, { value }) => sum + value!.length, 0))
    // Seven of a megabyte and a little; the one that is too large by itself is a page of its own.
    expect(read.map((rows) => rows.length)).toEqual([7, 7, 6, 1, 300])
    expect(sizes.filter((size) => size > 8 * MiB)).toHaveLength(1)
    expect(new Set(read.flat().map(({ did, rkey }) => `${did} ${rkey}`)).size).toBe(321)
  })

  test.each([1, 7, 50, 51, 300])('never holds more records than asked for: %i', async (limit) => {
    const read = await pages(limit)
    expect(Math.max(...read.map((rows) => rows.length))).toBe(Math.min(limit, 300))
    expect(read.flat()).toHaveLength(321)
  })
})
