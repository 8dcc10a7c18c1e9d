import { isValidTid } from '@atproto/syntax'
import { Failure } from '../atproto/outcome.js'
import { describeCollections, getLatestCommit, type Query } from '../atproto/pds.js'
import { isFromFuture, momentOf } from '../atproto/rev.js'
import { namesEveryCollection, wantedCollections } from '../jobs/scope.js'
import type { Level } from '../verdict.js'
import { nextReading, type Reading, type ReadSoFar } from './reading.js'
import { type CheckedPage, PAGE_RECORDS_MAX, readPage } from './record-page.js'

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
  /** The newest rev the repo is known to have had. */
  readonly lastRev: string | null
}

/** Where a listing stands: another process goes on from here. */
export interface ListProgress extends ReadSoFar {
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
}

type ListReading = Reading<ListProgress>

/** The repo did not hold still. Going on from the last progress would lead here again. */
export class GaveUpReading extends Failure {}

const RESTARTS_MAX = 3

/** The most collections of one repo: what is beyond is not an account any more, but a trap. */
const COLLECTIONS_MAX = 5_000

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
  from: ListProgress | null,
  now: () => number,
): AsyncGenerator<ListReading> {
  const beganAt = now()
  let progress = from ?? (await begin(query, wish, now))
  let held: readonly ListReading[] = []
  for (;;) {
    while (progress.at < progress.collections.length) {
      const before = progress
      const page = await readPage(query, wish, before)
      progress = page.progress
      if (progress.pages > 1 && progress.rev === null) {
        // Only now it is known that one answer does not hold it all. What was read counts if the repo has long
        // been at rest; else it is read again with the rev known from the start.
        const rev = await latestRev(query, wish, now)
        if (!wasAtRest(rev, beganAt)) {
          progress = startOf(progress.collections, rev, {
            replaces: progress.replaces,
            restarts: progress.restarts,
            reading: nextReading(now, progress),
          })
          held = []
          continue
        }
        progress = { ...progress, rev }
      }
      const read = readingsOf(page, before, progress)
      if (read.length === 0) continue
      yield* withRev(held, progress.rev)
      held = read
    }
    if (progress.rev === null || (await latestRev(query, wish, now)) === progress.rev) {
      const last = held.at(-1)
      // The end has one level for its records and for all.
      const isWithEnd = last?.level === progress.level
      yield* withRev(isWithEnd ? held.slice(0, -1) : held, progress.rev)
      yield { kind: 'complete', records: isWithEnd ? last.records : [], progress }
      return
    }
    if (progress.restarts >= RESTARTS_MAX) {
      throw new GaveUpReading('too-slow', `the repo changed during each of ${RESTARTS_MAX + 1} readings`)
    }
    held = []
    progress = await begin(query, wish, now, progress)
    yield { kind: 'restarted', records: [], progress }
  }
}

/** A page's records by what they are proven. Whoever goes on in between reads the page again. */
function readingsOf(page: CheckedPage, before: ListProgress, after: ListProgress): ListReading[] {
  const { records, unproven } = page
  const proven = { kind: 'page', records, level: 'content' } as const
  if (unproven.length === 0) return records.length === 0 ? [] : [{ ...proven, progress: after }]
  const rest = { kind: 'page', records: unproven, level: 'none', progress: after } as const
  return records.length === 0 ? [rest] : [{ ...proven, progress: before }, rest]
}

/** The rev may have become known only after these were held back: whoever goes on from there needs it. */
function* withRev(held: readonly ListReading[], rev: string | null): Generator<ListReading> {
  for (const reading of held) yield { ...reading, progress: { ...reading.progress, rev } }
}

/** The repo's rev, if it can be one: neither from the future nor older than one it has had. */
async function latestRev(query: Query, { did, lastRev }: Wish, now: () => number): Promise<string> {
  const { rev } = await getLatestCommit(query, did)
  if (isFromFuture(rev, now())) {
    throw new Failure('bad-response', `the rev ${rev} lies in the future`)
  }
  if (lastRev !== null && rev < lastRev) {
    throw new Failure('rev-regressed', `the repo is at rev ${rev}, but has been at ${lastRev}`)
  }
  return rev
}

/**
 * The state before the first page.
 * @param before the reading that this one comes after, because the repo changed
 */
async function begin(
  query: Query,
  wish: Wish,
  now: () => number,
  before: ListProgress | null = null,
): Promise<ListProgress> {
  const reading = nextReading(now, before)
  const restarts = before === null ? 0 : before.restarts + 1
  const named = namesEveryCollection(wish.collections)
  // Asked before anything else, so that what appears from here on moves it.
  const bracketed = wish.stored || restarts > 0 || !named || wish.collections.length > 1
  const rev = bracketed ? await latestRev(query, wish, now) : null
  const present = named ? wish.collections : await describeCollections(query, wish.did)
  const collections = [...new Set(wantedCollections(wish.collections, present))].sort()
  if (collections.length > COLLECTIONS_MAX) {
    throw new Failure('body-too-large', `the repo names ${collections.length} collections`)
  }
  return startOf(collections, rev, { replaces: wish.stored || restarts > 0, restarts, reading })
}

function startOf(
  collections: readonly string[],
  rev: string | null,
  origin: { replaces: boolean; restarts: number; reading: number },
): ListProgress {
  return {
    collections,
    rev,
    at: 0,
    emptyPages: 0,
    pageRecords: PAGE_RECORDS_MAX,
    pages: 0,
    counts: Object.fromEntries(collections.map((collection) => [collection, 0])),
    records: 0,
    level: 'content',
    ...origin,
  }
}

function wasAtRest(rev: string, beganAt: number): boolean {
  return isValidTid(rev) && momentOf(rev) < beganAt - AT_REST_MS
}
