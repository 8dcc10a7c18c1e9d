import { setImmediate as nextTurn } from 'node:timers/promises'
import { Failure } from '../atproto/outcome.js'
import { checkCommit } from '../atproto/repo/commit.js'
import { Spool } from '../atproto/repo/spool.js'
import { walk } from '../atproto/repo/walk.js'
import { type CarQuery, getRepoInto } from '../atproto/sync.js'
import { nextReading } from './reading.js'
import { Snapshot, type SnapshotReading, type SnapshotWish, wantedBy } from './snapshot.js'

/**
 * Reading a repo by `com.atproto.sync.getRepo`.
 *
 * One answer holds it all at one commit, whose signature proves every record and that there are no others. It goes
 * to a file while its blocks are hashed; then the whole tree is walked from the signed root. Nothing is given out
 * before all blocks are there, but the tree may turn out wrong on the way: what was given out does not count then.
 */

export interface GetRepoWish extends SnapshotWish {
  /** Where the answer is kept while it is read. */
  readonly spoolDirectory: string
  /** The most that the answer may be, decoded. */
  readonly maxBytes: number
}

/** Entries of the tree between which others get their turn: a few milliseconds. */
const ENTRIES_AT_ONCE = 256

/**
 * Reads a whole repo, and gives out what is wanted of it; ends with the one `complete`.
 * @param now ms since epoch
 * @throws Failure, Unavailable, RateLimited, RepoNotFound, MethodUnsupported
 */
export async function* readByGetRepo(
  car: CarQuery,
  wish: GetRepoWish,
  now: () => number,
): AsyncGenerator<SnapshotReading> {
  const { did, signingKey, collections, lastRev, maxBytes } = wish
  await using spool = await Spool.open({ directory: wish.spoolDirectory, maxBytes })
  await getRepoInto(car, did, (chunk) => spool.write(chunk), maxBytes)
  const [root] = await spool.finish()
  if (root === undefined) throw new Failure('bad-response', 'getRepo: the CAR names no root')
  const commit = await checkCommit(spool.read(root), root, { did, signingKey, lastRev, now: now() })
  const origin = { restarts: 0, reading: nextReading(now, null), replaces: wish.stored }
  const snapshot = new Snapshot('get-repo', collections, commit, origin)
  const isWanted = wantedBy(collections)
  let entries = 0
  for (const entry of walk(spool, commit.data)) {
    entries += 1
    if (entries % ENTRIES_AT_ONCE === 0) await nextTurn()
    if (!isWanted(entry.collection)) continue
    if (snapshot.isFull) yield snapshot.take('page')
    snapshot.add(entry, spool.read(entry.cid))
  }
  yield snapshot.take('complete')
}
