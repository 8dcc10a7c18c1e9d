import { Failure } from '../atproto/outcome.js'
import { getLatestCommit } from '../atproto/pds.js'
import { BlockMap } from '../atproto/repo/blocks.js'
import { type Commit, checkCommit } from '../atproto/repo/commit.js'
import { type KeyRange, rangesOf } from '../atproto/repo/keys.js'
import { type CarQuery, getBlocks, getRecordProof, jsonQuery } from '../atproto/sync.js'
import type { Probe } from './plan.js'
import type { SnapshotWish } from './snapshot.js'
import { type Edge, edgesOf } from './sparse-edges.js'
import { SparseTree } from './sparse-tree.js'

/** How a sparse reading begins: with what tells whether it is worth going on with. */
export interface SparseProbe extends Probe {
  readonly commit: Commit
  readonly ranges: readonly KeyRange[]
  /** Those whose proofs were not asked for yet. */
  readonly edges: readonly Edge[]
  /** Nodes that are here. */
  readonly blocks: BlockMap
  readonly tree: SparseTree
}

/**
 * Asks for the proof of one record at the beginning of what is wanted, whether there is such a record or not: the
 * signed commit, and the nodes on the way there.
 * @param known blocks of the repo that are here already, which are added to
 * @throws Failure, Unavailable, RateLimited, RepoNotFound, MethodUnsupported
 */
export async function probe(
  car: CarQuery,
  wish: SnapshotWish,
  now: () => number,
  known = new BlockMap(),
): Promise<SparseProbe> {
  const { did, signingKey, lastRev } = wish
  const ranges = rangesOf(wish.collections)
  const [first, ...others] = edgesOf(wish.collections)
  const proof = await getRecordProof(car, did, first!)
  const root = proof === null ? (await getLatestCommit(jsonQuery(car), did)).cid : proof.roots[0]
  if (root === undefined) throw new Failure('bad-response', 'getRecord: the CAR names no root')
  const source = proof?.blocks ?? new BlockMap()
  const head = await blockOf(car, did, source, root)
  const commit = await checkCommit(head, root, { did, signingKey, lastRev, now: now() })
  if (!known.has(commit.data)) known.set(commit.data, await blockOf(car, did, source, commit.data))
  const tree = new SparseTree(known, commit.data, ranges)
  tree.takeUp(source, known)
  // A host that proves no absences is not asked for more of them.
  const edges = proof === null ? [] : others
  return { commit, ranges, edges, blocks: known, tree, ...shapeOf(tree) }
}

/** A block of those that came, or else by itself. */
async function blockOf(car: CarQuery, did: string, source: BlockMap, cid: string): Promise<Uint8Array> {
  if (source.has(cid)) return Buffer.from(source.read(cid))
  const found = await getBlocks(car, did, [cid])
  if (!found?.has(cid))
    throw new Failure('incomplete-car', `the host does not have block ${cid} that it names`)
  return found.read(cid)
}

function shapeOf(tree: SparseTree): Probe {
  const nodesMissing: number[] = Array(tree.height).fill(0)
  for (const { layer } of tree.missing) nodesMissing[layer]! += 1
  return {
    height: tree.height,
    rootEntries: tree.path[0] ?? 0,
    pathEntries: tree.path.slice(1),
    entriesInRange: tree.entries,
    nodesMissing,
    recordsMissing: tree.records.size,
  }
}
