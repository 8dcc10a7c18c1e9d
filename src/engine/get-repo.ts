import { Failure } from '../atproto/outcome.js'
import { checkCommit } from '../atproto/repo/commit.js'
import { Spool } from '../atproto/repo/spool.js'
import { walk } from '../atproto/repo/walk.js'
import { type CarQuery, getRepoInto } from '../atproto/sync.js'
import { nextReading } from './reading.js'
import { inTurns, Snapshot, type SnapshotReading, type SnapshotWish, wantedBy } from './snapshot.js'

/**
 * Reading a repo by `com.atproto.sync.getRepo`.
 *
 * One answer holds it all at one commit, whose signature proves every record and that there are no others. It goes
 * to a file while its blocks are hashed; then the whole tree is walked from the signed root, twice: nothing is given
 * out of a tree that turns out wrong further on.
 */

export interface GetRepoWish extends SnapshotWish {
  /** Where the answer is kept while it is read. */
  readonly spoolDirectory: string
  /** The most that the answer may be, decoded. */
  readonly maxBytes: number
}

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
  const isWanted = wantedBy(collections)
  await checkTree(spool, commit.data, isWanted)
  const origin = { restarts: 0, reading: nextReading(now, null), replaces: wish.stored }
  const snapshot = new Snapshot('get-repo', collections, commit, origin)
  for await (const entry of inTurns(walk(spool, commit.data))) {
    if (!isWanted(entry.collection)) continue
    if (snapshot.isFull) yield snapshot.take('page')
    snapshot.add(entry, spool.read(entry.cid), spool.bytes)
  }
  yield snapshot.take('complete')
}

/** @throws Failure where the tree is wrong, or a record is missing */
async function checkTree(
  spool: Spool,
  root: string,
  isWanted: (collection: string) => boolean,
): Promise<void> {
  for await (const { collection, rkey, cid } of inTurns(walk(spool, root))) {
    if (isWanted(collection) && !spool.has(cid)) {
      throw new Failure('incomplete-car', `getRepo: the record ${collection}/${rkey} is not in the CAR`)
    }
  }
}
