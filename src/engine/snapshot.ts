import { setImmediate as nextTurn } from 'node:timers/promises'
import { Failure } from '../atproto/outcome.js'
import type { Commit } from '../atproto/repo/commit.js'
import { jsonOfCbor } from '../atproto/repo/data.js'
import type { TreeEntry } from '../atproto/repo/walk.js'
import { isPrefix, matchesCollection } from '../jobs/scope.js'
import {
  type CheckedRecord,
  type Reading,
  type SnapshotProgress,
  UNREADABLE_NAMED_MAX,
  type Unreadable,
} from './reading.js'

/** What the methods that read a repo at one signed commit have in common. */

export interface SnapshotWish {
  readonly did: string
  /** The account's current key, as did:key. */
  readonly signingKey: string
  /** NSIDs and prefixes; null for every collection. */
  readonly collections: readonly string[] | null
  /** Records of the repo were stored before this reading. */
  readonly stored: boolean
  /** The newest rev the repo is known to have had. */
  readonly lastRev: string | null
}

export type SnapshotReading = Reading<SnapshotProgress>

/** What is given out at once: to be decoded, sent to the database and held for it together. */
const PAGE_RECORDS_MAX = 500
const PAGE_CHARACTERS_MAX = 1024 * 1024

/** The longest JSON text of a record, in UTF-16 units: a record has at most a mebibyte of CBOR. */
const RECORD_LENGTH_MAX = 2 * 1024 * 1024

/** The most collections of one repo: what is beyond is not an account any more, but a trap. */
const COLLECTIONS_MAX = 5_000

/** How much larger than what was sent the records may be: one of them may stand under any number of keys. */
const SHARED_BYTES_MAX = 64 * 1024 * 1024

/** Makes readings of the records that a tree names, as they come. */
export class Snapshot {
  readonly #origin: Pick<
    SnapshotProgress,
    'method' | 'rev' | 'dataCid' | 'restarts' | 'reading' | 'replaces' | 'level'
  >
  readonly #counts = new Map<string, number>()
  readonly #unreadableFirst: Unreadable[] = []
  #records = 0
  #unreadable = 0
  #page: CheckedRecord[] = []
  #characters = 0
  #bytes = 0

  constructor(
    method: SnapshotProgress['method'],
    collections: readonly string[] | null,
    commit: Commit,
    origin: { restarts: number; reading: number; replaces: boolean },
  ) {
    const { rev, data: dataCid } = commit
    this.#origin = { method, rev, dataCid, level: 'signed', ...origin }
    for (const name of collections ?? []) if (!isPrefix(name)) this.#counts.set(name, 0)
  }

  /** Whether what was added is to be given out before there is more. */
  get isFull(): boolean {
    return this.#page.length >= PAGE_RECORDS_MAX || this.#characters >= PAGE_CHARACTERS_MAX
  }

  /**
   * @param bytes of the record, whose hash is known to be that of the entry's CID
   * @param sent how many bytes the host has sent for all records so far, or more
   */
  add({ collection, rkey, cid }: TreeEntry, bytes: Uint8Array, sent: number): void {
    this.#bytes += bytes.length
    if (this.#bytes > sent + SHARED_BYTES_MAX) {
      throw new Failure('body-too-large', 'large records stand under many keys: a trap, not an account')
    }
    const text = jsonOfCbor(bytes)
    const value = text !== null && text.length <= RECORD_LENGTH_MAX ? text : null
    this.#page.push({ collection, rkey, cid, value })
    this.#characters += value?.length ?? 0
    this.#records += 1
    this.#count(collection)
    if (value !== null) return
    this.#unreadable += 1
    if (this.#unreadableFirst.length < UNREADABLE_NAMED_MAX) {
      this.#unreadableFirst.push({ collection, rkey, cid })
    }
  }

  /** What was added since the last one, as the next reading. */
  take(kind: 'page' | 'complete'): SnapshotReading {
    const records = this.#page
    this.#page = []
    this.#characters = 0
    return { kind, records, progress: this.progress }
  }

  get progress(): SnapshotProgress {
    const counts = Object.fromEntries([...this.#counts].sort(([one], [other]) => (one < other ? -1 : 1)))
    return {
      ...this.#origin,
      collections: Object.keys(counts),
      counts,
      records: this.#records,
      unreadable: this.#unreadable,
      unreadableFirst: [...this.#unreadableFirst],
    }
  }

  #count(collection: string): void {
    const before = this.#counts.get(collection)
    this.#counts.set(collection, (before ?? 0) + 1)
    if (before === undefined && this.#counts.size > COLLECTIONS_MAX) {
      throw new Failure('body-too-large', `the repo has more than ${COLLECTIONS_MAX} collections`)
    }
  }
}

/** Entries of a tree between which others get their turn: a few milliseconds. */
const ENTRIES_AT_ONCE = 256

/** The same, so that others get their turn in between. */
export async function* inTurns(entries: Iterable<TreeEntry>): AsyncGenerator<TreeEntry> {
  let count = 0
  for (const entry of entries) {
    count += 1
    if (count % ENTRIES_AT_ONCE === 0) await nextTurn()
    yield entry
  }
}

/** Whether a collection is wanted. Quick for the entries of a tree, of which most are of the same one as the last. */
export function wantedBy(patterns: readonly string[] | null): (collection: string) => boolean {
  if (patterns === null) return () => true
  let last = ''
  let isWanted = false
  return (collection) => {
    if (collection === last) return isWanted
    last = collection
    isWanted = patterns.some((pattern) => matchesCollection(pattern, collection))
    return isWanted
  }
}
