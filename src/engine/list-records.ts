import { TID } from '@atproto/common-web'
import { isValidRecordKey, isValidTid } from '@atproto/syntax'
import { cidOfJson, isCid, textOfJson } from '../atproto/content.js'
import { Failure } from '../atproto/outcome.js'
import {
  describeCollections,
  getLatestCommit,
  type ListedRecord,
  listRecords,
  type Query,
} from '../atproto/pds.js'
import { namesEveryCollection, wantedCollections } from '../jobs/scope.js'
import type { Level } from '../verdict.js'

/**
 * Reading a repo by `com.atproto.repo.listRecords`.
 *
 * Nothing signed comes with it, so the checks are those that need no signature: each CID is that of its value,
 * each URI belongs to this account and collection, record keys run strictly one way. A listing ends at a page
 * without a cursor and nowhere else: a short page may be the server's own page size.
 *
 * Pages are separate answers of a repo that may change between them. Records that came in one page are one
 * moment of the repo and stand as they are, without a rev. Anything longer is read between two
 * `getLatestCommit`s that must agree, and again if they do not.
 */

export interface Wish {
  readonly did: string
  /** NSIDs and prefixes; null for every collection. */
  readonly collections: readonly string[] | null
  /** The least a record must be proven. */
  readonly level: Level
  /** Records of the repo were stored before this reading. */
  readonly stored: boolean
}

/** Where a reading stands; kept with the repo, so that another process goes on from here. */
export interface Progress {
  readonly collections: readonly string[]
  /** The repo's rev when the reading began; null while all its records came in one page. */
  readonly rev: string | null
  /** Index into `collections`. */
  readonly at: number
  readonly cursor?: string
  readonly lastRkey?: string
  /** 1: keys ascend, -1: they descend. */
  readonly direction?: 1 | -1
  readonly emptyPages: number
  /** Records asked for at once; fewer where full pages are too large. */
  readonly pageRecords: number
  /** Pages that held records. */
  readonly pages: number
  readonly counts: Readonly<Record<string, number>>
  readonly records: number
  readonly level: Level
  /** How often the repo changed under the reading. */
  readonly restarts: number
  /**
   * Rows of an older state may be stored, so the reading must say at its end which keys there are. Their list
   * is held in memory only: such a reading cannot be taken up by another process.
   */
  readonly replaces: boolean
}

export interface CheckedRecord {
  readonly collection: string
  readonly rkey: string
  readonly cid: string
  /** JSON text. */
  readonly value: string
}

export interface Reading {
  /** `page`: more follows. `restarted`: what was read so far does not count. `complete`: this was all. */
  readonly kind: 'page' | 'restarted' | 'complete'
  readonly records: readonly CheckedRecord[]
  readonly progress: Progress
}

const PAGE_SIZES = [100, 10, 1]
const RESTARTS_MAX = 3

/** Empty pages in a row that a listing may hold before it counts as a loop. */
const EMPTY_PAGES_MAX = 20

/** A rev this much older than the first request was not made while we read, whatever the clocks. */
const AT_REST_MS = 10 * 60_000

/**
 * Reads a repo page by page and ends with the one `complete`.
 * @param from a progress given out earlier, to go on from; null to begin
 * @param now ms since epoch
 * @throws Failure, Unavailable, RateLimited, RepoNotFound
 */
export async function* readByListRecords(
  query: Query,
  wish: Wish,
  from: Progress | null,
  now: () => number,
): AsyncGenerator<Reading> {
  const beganAt = now()
  let progress = from ?? (await begin(query, wish))
  let held: Reading | null = null
  for (;;) {
    while (progress.at < progress.collections.length) {
      const page = await readPage(query, wish, progress)
      progress = page.progress
      if (progress.pages > 1 && progress.rev === null) {
        // Only now it is known that one answer does not hold it all. What was read counts if the repo has long
        // been at rest; else it is read again with the rev known from the start.
        const { rev } = await getLatestCommit(query, wish.did)
        if (!wasAtRest(rev, beganAt)) {
          progress = startOf(progress.collections, rev, {
            replaces: progress.replaces,
            restarts: progress.restarts,
          })
          held = null
          continue
        }
        progress = { ...progress, rev }
      }
      if (page.records.length === 0) continue
      // The rev may have become known only after the page held back: whoever goes on from there needs it.
      if (held) yield { ...held, progress: { ...held.progress, rev: progress.rev } }
      held = { kind: 'page', records: page.records, progress }
    }
    if (progress.rev === null || (await getLatestCommit(query, wish.did)).rev === progress.rev) {
      yield { kind: 'complete', records: held?.records ?? [], progress }
      return
    }
    if (progress.restarts >= RESTARTS_MAX) {
      throw new Failure('too-slow', `the repo changed during each of ${RESTARTS_MAX + 1} readings`)
    }
    held = null
    progress = await begin(query, wish, progress.restarts + 1)
    yield { kind: 'restarted', records: [], progress }
  }
}

/** The state before the first page. */
async function begin(query: Query, wish: Wish, restarts = 0): Promise<Progress> {
  const named = namesEveryCollection(wish.collections)
  // Asked before anything else, so that what appears from here on moves it.
  const bracketed = wish.stored || restarts > 0 || !named || wish.collections.length > 1
  const rev = bracketed ? (await getLatestCommit(query, wish.did)).rev : null
  const present = named ? wish.collections : await describeCollections(query, wish.did)
  const collections = [...new Set(wantedCollections(wish.collections, present))].sort()
  return startOf(collections, rev, { replaces: wish.stored || restarts > 0, restarts })
}

function startOf(
  collections: readonly string[],
  rev: string | null,
  origin: { replaces: boolean; restarts: number },
): Progress {
  return {
    collections,
    rev,
    at: 0,
    emptyPages: 0,
    pageRecords: PAGE_SIZES[0]!,
    pages: 0,
    counts: Object.fromEntries(collections.map((collection) => [collection, 0])),
    records: 0,
    level: 'content',
    ...origin,
  }
}

function wasAtRest(rev: string, beganAt: number): boolean {
  return isValidTid(rev) && TID.fromStr(rev).timestamp() / 1000 < beganAt - AT_REST_MS
}

/** Reads and checks the next page of the collection the reading is at. */
async function readPage(
  query: Query,
  wish: Wish,
  progress: Progress,
): Promise<{ records: CheckedRecord[]; progress: Progress }> {
  const collection = progress.collections[progress.at]!
  const { page, pageRecords } = await fetchPage(query, wish.did, collection, progress)
  const checked = checkPage(wish, collection, progress, page.records)
  const emptyPages = page.records.length === 0 ? progress.emptyPages + 1 : 0
  if (page.cursor !== null && (page.cursor === progress.cursor || emptyPages > EMPTY_PAGES_MAX)) {
    throw new Failure(
      'cursor-loop',
      `${collection}: the listing does not get past cursor ${page.cursor.slice(0, 60)}`,
    )
  }
  const next: Progress = {
    ...progress,
    ...checked.order,
    pageRecords,
    emptyPages,
    pages: progress.pages + (page.records.length > 0 ? 1 : 0),
    counts: { ...progress.counts, [collection]: progress.counts[collection]! + page.records.length },
    records: progress.records + page.records.length,
    level: checked.level,
  }
  if (page.cursor !== null) return { records: checked.records, progress: { ...next, cursor: page.cursor } }
  const { cursor: _, lastRkey: __, direction: ___, ...atEnd } = next
  return { records: checked.records, progress: { ...atEnd, at: progress.at + 1, emptyPages: 0 } }
}

/** A page of the size that worked so far, or a smaller one where that is too large. */
async function fetchPage(query: Query, did: string, collection: string, progress: Progress) {
  for (const pageRecords of PAGE_SIZES.filter((size) => size <= progress.pageRecords)) {
    try {
      const page = await listRecords(query, {
        repo: did,
        collection,
        limit: pageRecords,
        cursor: progress.cursor,
      })
      return { page, pageRecords }
    } catch (error) {
      const smaller = error instanceof Failure && error.failure === 'body-too-large' && pageRecords > 1
      if (!smaller) throw error
    }
  }
  throw new Failure('body-too-large', `${collection}: a single record exceeds the size of a page`)
}

/** Checks what can be checked without a signature. */
function checkPage(wish: Wish, collection: string, progress: Progress, listed: readonly ListedRecord[]) {
  const prefix = `at://${wish.did}/${collection}/`
  let { lastRkey, direction, level } = progress
  const records = listed.map(({ uri, cid, value }, index) => {
    const rkey = uri.slice(prefix.length)
    if (!uri.startsWith(prefix) || !isValidRecordKey(rkey)) {
      throw new Failure('bad-response', `${uri.slice(0, 200)} does not belong to ${wish.did} ${collection}`)
    }
    if (lastRkey !== undefined) {
      direction ??= rkey > lastRkey ? 1 : -1
      const goesOn = direction === 1 ? rkey > lastRkey : rkey < lastRkey
      if (!goesOn) {
        const failure = index === 0 ? 'cursor-loop' : 'bad-response'
        throw new Failure(failure, `${collection}: key ${rkey} comes after ${lastRkey}, out of order`)
      }
    }
    lastRkey = rkey
    const json = textOfJson(value)
    if (json === null) throw new Failure('bad-response', `${uri}: the value is nested too deeply`)
    if (cidOfJson(value, json) !== cid) {
      if (!isCid(cid))
        throw new Failure('bad-response', `${uri}: ${JSON.stringify(cid.slice(0, 80))} is not a CID`)
      if (wish.level !== 'none')
        throw new Failure('cid-mismatch', `${uri}: the value does not have the CID ${cid}`)
      level = 'none'
    }
    return { collection, rkey, cid, value: json }
  })
  const order = lastRkey === undefined ? {} : direction === undefined ? { lastRkey } : { lastRkey, direction }
  return { records, order, level }
}
