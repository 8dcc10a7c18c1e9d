import { setImmediate as nextTurn } from 'node:timers/promises'
import { Failure } from '../atproto/outcome.js'
import { BlockMap } from '../atproto/repo/blocks.js'
import { type TreeEntry, walk } from '../atproto/repo/walk.js'
import { BLOCKS_AT_ONCE_MAX, type CarQuery, getBlocks, getRecordProof } from '../atproto/sync.js'
import { nextReading } from './reading.js'
import { inTurns, Snapshot, type SnapshotReading, type SnapshotWish } from './snapshot.js'
import type { Edge } from './sparse-edges.js'
import { probe, type SparseProbe } from './sparse-probe.js'
import type { MissingNode } from './sparse-tree.js'

export { probe, type SparseProbe }

/**
 * Reading a part of a repo with proof: by `com.atproto.sync.getRecord` and `getBlocks`.
 *
 * The probe has the signed commit and the way down to the beginning of what is wanted. From there the nodes that
 * may hold wanted keys are fetched, all of a level at once, and then the records. Nothing between the two edges of
 * what is wanted can be left out, because a node names everything below it, and the root is signed.
 *
 * All is read at one commit. A host keeps the blocks of the newest one only, so when some are gone, the reading
 * starts again at the commit that is there by then, with the blocks that both have in common.
 */

/** The repo did not hold still. */
export class SparseMoved extends Error {
  override readonly name = 'SparseMoved'
}

/** What is wanted has more nodes than are held in memory. */
export class SparseTooLarge extends Error {
  override readonly name = 'SparseTooLarge'
}

const RESTARTS_MAX = 3

const MiB = 1024 * 1024

/** The most that is held of nodes: those of some 50,000 records. */
const NODES_BYTES_MAX = 8 * MiB

/** Records are asked for along with nodes as long as so little is held of them. */
const EARLY_BYTES_MAX = MiB

/** The most entries that are looked at together, where few of their records are to be fetched. */
const ENTRIES_AT_ONCE_MAX = 500

/**
 * Reads what is wanted of a repo, and ends with the one `complete`.
 * @param probed what `probe` gave for the same wish
 * @throws Failure, Unavailable, RateLimited, RepoNotFound, MethodUnsupported, SparseMoved, SparseTooLarge
 */
export async function* readBySparse(
  car: CarQuery,
  wish: SnapshotWish,
  probed: SparseProbe,
  now: () => number,
): AsyncGenerator<SnapshotReading> {
  let reading = nextReading(now, null)
  let isGivenOut = false
  for (let restarts = 0; ; restarts += 1) {
    const replaces = wish.stored || isGivenOut
    const snapshot = new Snapshot('sparse', wish.collections, probed.commit, { restarts, reading, replaces })
    const { progress } = snapshot
    reading = nextReading(now, progress)
    // What was given out before does not count any more.
    if (isGivenOut) yield { kind: 'restarted', records: [], progress }
    try {
      for await (const part of readOnce(new Host(car, wish.did), probed, snapshot)) {
        yield part
        if (part.kind === 'complete') return
        isGivenOut = true
      }
    } catch (error) {
      if (!(error instanceof BlocksGone)) throw error
      if (restarts === RESTARTS_MAX) {
        throw new SparseMoved(`the repo changed during each of ${RESTARTS_MAX + 1} readings`)
      }
      probed = await probedAgain(car, wish, probed, now, error)
    }
  }
}

/** The host does not have blocks that it named. */
class BlocksGone extends Error {}

async function probedAgain(
  car: CarQuery,
  wish: SnapshotWish,
  { commit, blocks }: SparseProbe,
  now: () => number,
  gone: BlocksGone,
): Promise<SparseProbe> {
  // What both have in common need not be fetched again, unless there is more than that by now.
  const known = blocks.bytes < NODES_BYTES_MAX / 2 ? blocks : new BlockMap()
  const again = await probe(car, { ...wish, lastRev: commit.rev }, now, known)
  if (again.commit.cid === commit.cid) throw new Failure('incomplete-car', gone.message)
  return again
}

async function* readOnce(
  host: Host,
  probed: SparseProbe,
  snapshot: Snapshot,
): AsyncGenerator<SnapshotReading> {
  const { commit, ranges, blocks } = probed
  const early = await fetchNodes(host, probed)
  // Nothing is given out of a tree that turns out wrong further on.
  for await (const _ of inTurns(walk(blocks, commit.data, ranges)));
  for (const batch of inBatches(walk(blocks, commit.data, ranges), early, host)) {
    await nextTurn()
    const missing = new Set(batch.map(({ cid }) => cid).filter((cid) => !early.has(cid)))
    const records = new BlockMap()
    for await (const found of host.blocks([...missing])) {
      for (const [cid, block] of found) records.set(cid, block)
    }
    for (const entry of batch) {
      if (snapshot.isFull) yield snapshot.take('page')
      snapshot.add(entry, (early.has(entry.cid) ? early : records).read(entry.cid), host.bytes)
    }
  }
  yield snapshot.take('complete')
}

/**
 * Fetches what the tree is missing, level by level.
 * @returns records that came along
 */
async function fetchNodes(host: Host, probed: SparseProbe): Promise<BlockMap> {
  const { tree, blocks } = probed
  const early = new BlockMap()
  let { edges } = probed
  while (tree.missing.length > 0) {
    const edge = edgeBelow(tree.highest, edges)
    if (edge) {
      edges = edges.filter((each) => each !== edge)
      tree.takeUp(await host.wayTo(edge, probed.commit.cid), blocks)
      continue
    }
    const nodes = tree.missing.map(({ cid }) => cid)
    // A request that is not full of nodes has room for records.
    const room = early.bytes < EARLY_BYTES_MAX ? host.atOnce - (nodes.length % host.atOnce) : 0
    const known = [...tree.records].filter((cid) => !early.has(cid)).slice(0, room)
    const isNode = new Set(nodes)
    for await (const found of host.blocks([...isNode, ...known.filter((cid) => !isNode.has(cid))])) {
      for (const [cid, block] of found) (isNode.has(cid) ? blocks : early).set(cid, block)
      if (blocks.bytes > NODES_BYTES_MAX) {
        throw new SparseTooLarge(`the nodes of what is wanted are more than ${NODES_BYTES_MAX} bytes`)
      }
    }
    tree.takeUp(blocks, blocks)
  }
  return early
}

/**
 * An edge that lies below the node that takes the most levels. Its proof has a node of each at once, and what else
 * is missing takes no more levels than are left without it.
 */
function edgeBelow(node: MissingNode | null, edges: readonly Edge[]): Edge | undefined {
  if (node === null || node.layer === 0) return undefined
  return edges.find(({ key }) => node.below < key && key < node.above)
}

/** Entries of which as many records are missing as may be asked for at once. */
function* inBatches(entries: Iterable<TreeEntry>, early: BlockMap, host: Host): Generator<TreeEntry[]> {
  let batch: TreeEntry[] = []
  let missing = new Set<string>()
  for (const entry of entries) {
    if (!early.has(entry.cid)) missing.add(entry.cid)
    batch.push(entry)
    if (missing.size < host.atOnce && batch.length < ENTRIES_AT_ONCE_MAX) continue
    yield batch
    batch = []
    missing = new Set()
  }
  if (batch.length > 0) yield batch
}

/** Fetches blocks of one repo in requests that are as large as the host takes. */
class Host {
  readonly #car: CarQuery
  readonly #did: string
  #atOnce = BLOCKS_AT_ONCE_MAX
  #bytes = 0

  constructor(car: CarQuery, did: string) {
    this.#car = car
    this.#did = did
  }

  /** Bytes of all blocks that it has sent. */
  get bytes(): number {
    return this.#bytes
  }

  /** Blocks that one request asks for. */
  get atOnce(): number {
    return this.#atOnce
  }

  /**
   * Each of these and nothing else, in portions.
   * @throws BlocksGone where the host does not have them all
   */
  async *blocks(cids: readonly string[]): AsyncGenerator<Map<string, Uint8Array>> {
    for (let at = 0; at < cids.length; ) {
      const wanted = cids.slice(at, at + this.#atOnce)
      try {
        yield await this.#portion(wanted)
        at += wanted.length
      } catch (error) {
        const smaller = error instanceof Failure && error.failure === 'body-too-large' && wanted.length > 1
        if (!smaller) throw error
        this.#atOnce = Math.ceil(wanted.length / 4)
      }
    }
  }

  /**
   * The nodes on the way to an edge, with whatever else came.
   * @throws BlocksGone where they are those of another commit
   */
  async wayTo(edge: Edge, commit: string): Promise<BlockMap> {
    const proof = await getRecordProof(this.#car, this.#did, edge)
    if (proof === null) return new BlockMap()
    if (proof.roots[0] !== commit) throw new BlocksGone('the host is at another commit')
    return proof.blocks
  }

  async #portion(wanted: readonly string[]): Promise<Map<string, Uint8Array>> {
    const given = await getBlocks(this.#car, this.#did, wanted)
    const found = new Map<string, Uint8Array>()
    for (const cid of wanted) {
      if (!given?.has(cid)) throw new BlocksGone(`the host does not have block ${cid} that it names`)
      // A copy, which does not keep all that came with it.
      const block = Buffer.from(given.read(cid))
      this.#bytes += block.length
      found.set(cid, block)
    }
    return found
  }
}
