import { TID } from '@atproto/common-web'
import { cidOfJson } from '../../src/atproto/content.js'
import { Failure } from '../../src/atproto/outcome.js'
import type { ListedRecord, Query } from '../../src/atproto/pds.js'
import type { XrpcAnswer } from '../../src/atproto/xrpc.js'
import { type ListProgress, readByListRecords, type Wish } from '../../src/engine/list-records.js'
import type { Reading } from '../../src/engine/reading.js'
import { matchesCollection } from '../../src/jobs/scope.js'

/** A repo in memory behind a `Query`, with the habits and mishaps that servers have, and a reader for it. */

export const DID = 'did:plc:aaaaaaaaaaaaaaaaaaaaaaaa'
export const POST = 'com.example.post'
export const LIKE = 'com.example.like'
export const OTHER = 'org.other.thing'
export const START_MS = Date.UTC(2026, 0, 2, 3, 4, 5)
export const MINUTE_MS = 60_000

/** Values by `collection/rkey`. Never changed in place: an edit makes a new one. */
export type State = ReadonlyMap<string, object>

export interface Habits {
  /** The most records this server gives at once, whatever is asked. */
  readonly pageCap?: number
  readonly ascending?: boolean
  /** A cursor on every page with records, so that an empty page ends the listing (as the reference PDS does). */
  readonly alwaysCursor?: boolean
  /** Pages without records, but with a cursor, before each page. */
  readonly emptyPages?: number
  /** Pages of more records are too large. */
  readonly tooLargeFrom?: number
}

export class MemoryPds {
  state: State
  rev: string
  nowMs = START_MS
  habits: Habits
  /** Each request as it was asked, with the repo as it was then. */
  readonly log: { call: string; params: Record<string, unknown>; state: State }[] = []
  /** The repo at each of its revs. */
  readonly history = new Map<string, State>()
  /** Done before the request of that number (from 1) is answered. */
  readonly before = new Map<number, () => void>()
  /** Changes an answer on its way. */
  tamper: (call: string, body: Record<string, unknown>) => object = (_, body) => body
  #revTime = 0

  /** @param lastChangeMs how long ago the repo changed last */
  constructor(state: State, habits: Habits = {}, lastChangeMs = 60 * MINUTE_MS) {
    this.state = state
    this.habits = habits
    this.rev = this.#commit(state, START_MS - lastChangeMs)
  }

  get requests(): string[] {
    return this.log.map(({ call }) => call)
  }

  /** Changes the repo now; null removes a record. */
  edit(changes: Record<string, object | null>): void {
    const next = new Map(this.state)
    for (const [key, value] of Object.entries(changes)) {
      if (value === null) next.delete(key)
      else next.set(key, value)
    }
    this.rev = this.#commit(next, this.nowMs)
  }

  readonly query: Query = async (nsid, params): Promise<XrpcAnswer> => {
    const call = nsid.slice(nsid.lastIndexOf('.') + 1)
    this.before.get(this.log.length + 1)?.()
    this.log.push({ call, params, state: this.state })
    const body = JSON.parse(JSON.stringify(this.#answer(nsid, params)))
    return { ok: true, body: this.tamper(call, body) }
  }

  #commit(state: State, atMs: number): string {
    this.#revTime = Math.max(this.#revTime + 1, atMs * 1_000)
    const rev = TID.fromTime(this.#revTime, 7).toString()
    this.state = state
    this.history.set(rev, state)
    return rev
  }

  #answer(nsid: string, params: Readonly<Record<string, string | number | undefined>>): object {
    switch (nsid) {
      case 'com.atproto.sync.getLatestCommit':
        return { rev: this.rev, cid: cidOfJson({ rev: this.rev }) }
      case 'com.atproto.repo.describeRepo':
        return {
          did: DID,
          collections: [...new Set([...this.state.keys()].map((key) => key.split('/')[0]!))],
        }
      case 'com.atproto.repo.listRecords':
        return this.#page(
          String(params.collection),
          Number(params.limit),
          params.cursor as string | undefined,
        )
      default:
        throw new Error(`nobody should ask ${nsid}`)
    }
  }

  /** Keyset paging: the cursor is the last key given, and how many empty pages followed it. */
  #page(collection: string, limit: number, cursor: string | undefined): object {
    const {
      pageCap = 100,
      ascending = false,
      alwaysCursor = false,
      emptyPages = 0,
      tooLargeFrom,
    } = this.habits
    const [after, empty] = cursor === undefined ? [undefined, 0] : fromCursor(cursor)
    if (empty < emptyPages) return { records: [], cursor: toCursor(after, empty + 1) }
    const keys = [...this.state.keys()]
      .filter((key) => key.startsWith(`${collection}/`))
      .map((key) => key.slice(collection.length + 1))
      .sort()
    if (!ascending) keys.reverse()
    const left = keys.filter((key) => after === undefined || (ascending ? key > after : key < after))
    const given = left.slice(0, Math.min(limit, pageCap))
    if (tooLargeFrom !== undefined && given.length >= tooLargeFrom) {
      throw new Failure('body-too-large', 'the response is larger than allowed')
    }
    const records = given.map((rkey) => listed(collection, rkey, this.state.get(`${collection}/${rkey}`)!))
    const more = alwaysCursor ? given.length > 0 : left.length > given.length
    return { records, ...(more && { cursor: toCursor(given.at(-1), 0) }) }
  }
}

const toCursor = (after: string | undefined, empty: number) => `${after ?? ''}|${empty}`

function fromCursor(cursor: string): [string | undefined, number] {
  const [after, empty] = cursor.split('|')
  return [after === '' ? undefined : after, Number(empty)]
}

export function listed(collection: string, rkey: string, value: object): ListedRecord {
  return { uri: `at://${DID}/${collection}/${rkey}`, cid: cidOfJson(value)!, value }
}

/** That many records of each collection. */
export function stateOf(counts: Record<string, number>): State {
  const keys = Object.entries(counts).flatMap(([collection, count]) =>
    Array.from({ length: count }, (_, index) => `${collection}/${rkeyOf(index)}`),
  )
  return new Map(keys.map((key) => [key, { $type: key.split('/')[0], text: key }]))
}

export const rkeyOf = (index: number) => `key${String(index).padStart(5, '0')}`

export function wishFor(overrides: Partial<Wish> = {}): Wish {
  return { did: DID, collections: [POST], level: 'content', stored: false, lastRev: null, ...overrides }
}

/** CIDs by `collection/rkey` of what a wish is for. */
export function wanted(state: State, collections: Wish['collections']): Record<string, string> {
  const matches = (key: string) =>
    collections === null || collections.some((pattern) => matchesCollection(pattern, key.split('/')[0]!))
  return Object.fromEntries(
    [...state].filter(([key]) => matches(key)).map(([key, value]) => [key, cidOfJson(value)!]),
  )
}

/** What a reading left behind, as the database keeps it. */
export class Shelf {
  /** CIDs by `collection/rkey`. */
  rows: Record<string, string> = {}
  readonly readings: Reading<ListProgress>[] = []
  /** Keys of readings that replace rows, by reading. */
  readonly #found = new Map<number | undefined, Set<string>>()

  get kinds(): string[] {
    return this.readings.map(({ kind }) => kind)
  }

  get last(): Reading<ListProgress> {
    return this.readings.at(-1)!
  }

  put(reading: Reading<ListProgress>): void {
    this.readings.push(reading)
    const { progress } = reading
    const found = this.#found.get(progress.reading) ?? new Set()
    for (const { collection, rkey, cid } of reading.records) {
      this.rows[`${collection}/${rkey}`] = cid
      found.add(`${collection}/${rkey}`)
    }
    if (!progress.replaces) return
    this.#found.set(progress.reading, found)
    if (reading.kind === 'complete') {
      this.rows = Object.fromEntries(Object.entries(this.rows).filter(([key]) => found.has(key)))
    }
  }
}

/** Reads to the end. */
export async function readAll(
  pds: MemoryPds,
  wish: Wish,
  from: ListProgress | null = null,
  shelf = new Shelf(),
): Promise<Shelf> {
  for await (const reading of readByListRecords(pds.query, wish, from, () => pds.nowMs)) shelf.put(reading)
  return shelf
}

/** What a progress looks like after it was in the database. */
export function stored(progress: ListProgress): ListProgress {
  return JSON.parse(JSON.stringify(progress))
}
