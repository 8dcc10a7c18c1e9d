import { BLOCKS_AT_ONCE_MAX } from '../atproto/sync.js'
import { isPrefix } from '../jobs/scope.js'
import type { OptionalMethod } from '../store/host-support.js'
import type { FailureClass, Level, RequestedMethod } from '../verdict.js'

/**
 * Choosing how to read a repo. Nothing here asks anybody: what is known goes in, what to do next comes out.
 *
 * What counts is requests: a host grants so many, and each takes a turn. `auto` takes the method that needs the
 * fewest of those that reach the level, and a signed one wherever that takes at most twice as many. Bytes count
 * where they are out of proportion: a whole repo is one request, but nobody should send 50,000 records for ten.
 *
 * A tree shows how large it is. A key is in layer L with the probability 3/4 * 4^-L, so a node has three entries
 * on average and four nodes below it, and a node of layer L with all below it has 4^(L+1) - 1 entries. The probe
 * is the proof of one key at the beginning of what is wanted. It has the nodes on the way down to it, and these
 * name the ones beside it which are in the range as well: of each the layer is known, and so how much to expect.
 */

/** The methods by which records are read. */
export type ReadMethod = 'sparse' | 'get-repo' | 'list-records'

/** What to do with a repo: `probe` begins a sparse reading, which then tells what it is worth. */
export type Step = 'probe' | 'get-repo' | 'list-records'

/** No method is left that would do; in the words of a Failure. */
export interface DeadEnd {
  readonly failure: FailureClass
  readonly message: string
}

/** What is known before anything of the repo is read. */
export interface PlanWish {
  readonly method: RequestedMethod
  /** The least a record must be proven. */
  readonly level: Level
  /** NSIDs and prefixes; null for every collection. */
  readonly collections: readonly string[] | null
  /** What the host does not offer. */
  readonly unsupported: ReadonlySet<OptionalMethod>
  /** Methods that have failed for this repo, not to be begun again. */
  readonly tried?: ReadonlySet<ReadMethod>
  /** Rows of an older state are stored, so that every listing is bracketed. */
  readonly stored?: boolean
  /** Records that the collections wanted had, as far as an earlier receipt tells. */
  readonly lastRecords?: number
}

/** What the probe has shown. */
export interface Probe {
  /** The layer of the root. */
  readonly height: number
  /** Entries in the root. */
  readonly rootEntries: number
  /** Entries in the nodes on the way down from there, in order, where somebody has counted them. */
  readonly pathEntries?: readonly number[]
  /** Entries in the ranges wanted, in the nodes that are here. */
  readonly entriesInRange: number
  /** How many nodes are known to overlap the ranges and not here yet, by their layer. */
  readonly nodesMissing: readonly number[]
  /** Records of `entriesInRange` that are not here yet. */
  readonly recordsMissing: number
}

/** What a method is expected to take from here on. */
export interface Cost {
  readonly requests: number
  readonly bytes: number
}

/** The most that a listing gives. */
const RECORDS_PER_PAGE = 100
/** `getLatestCommit` before and after. */
const BRACKET_REQUESTS = 2

/** A record as a block, and a node as a block. */
const RECORD_BYTES = 500
const NODE_BYTES = 450
/** A record in JSON, with its URI and CID. */
const LISTED_BYTES = 700

/** Entries of a node, and nodes below it. */
const ENTRIES_PER_NODE = 3
const NODES_BELOW = 4

/** A collection has at most so many times the records that it had. */
const GROWTH = 2

/** So many nodes of one layer tell how many entries there are. */
const NODES_BESIDE = 8
/** A way down leads through large nodes rather than through small ones: they have so many times as much below them. */
const PATH_BIAS = 1.75

/** A whole repo may be sent for a part of it if that is no more bytes than this, or so many times the least. */
const SMALL_REPO_BYTES = 1024 * 1024
const BYTES_FACTOR = 4
/** A signed method may need so many times the requests of an unsigned one. */
const SIGNED_FACTOR = 2

/** So many records of a few collections are likely a good part of their repo. */
const LARGE_PART_RECORDS = 5_000

const NEEDS: Readonly<Record<ReadMethod, readonly OptionalMethod[]>> = {
  sparse: ['getRecord', 'getBlocks'],
  'get-repo': ['getRepo'],
  'list-records': ['listRecords'],
}

/** In the order in which one takes the place of another. */
const READ_METHODS: readonly ReadMethod[] = ['sparse', 'get-repo', 'list-records']

/** What a repo's reading begins with. */
export function firstStep(wish: PlanWish): Step | DeadEnd {
  const can = (method: ReadMethod) => isPossible(method, wish)
  if (wish.method !== 'auto') {
    return can(wish.method) ? stepOf(wish.method) : deadEnd(whyNot(wish.method, wish))
  }
  // Only one request, and all of it is wanted.
  if (wish.collections === null && can('get-repo')) return 'get-repo'
  if (can('sparse')) return 'probe'
  const isLargePart = (wish.lastRecords ?? 0) >= LARGE_PART_RECORDS
  if (isLargePart && can('get-repo')) return 'get-repo'
  if (can('list-records')) return 'list-records'
  if (can('get-repo')) return 'get-repo'
  return deadEnd(READ_METHODS.map((method) => whyNot(method, wish)).join('; '))
}

/** What to go on with after the probe: with what it has begun, or by another method. */
export function afterProbe(wish: PlanWish, probe: Probe): ReadMethod {
  if (wish.method === 'sparse' || !isPossible('sparse', wish)) return 'sparse'
  const cost = costs(wish, probe)
  const isListed = isPossible('list-records', wish)
  const least = isListed ? Math.min(cost.sparse.bytes, cost['list-records'].bytes) : cost.sparse.bytes
  const isWhole =
    isPossible('get-repo', wish) &&
    cost['get-repo'].bytes <= Math.max(SMALL_REPO_BYTES, BYTES_FACTOR * least) &&
    cost['get-repo'].requests < cost.sparse.requests
  const signed = isWhole ? 'get-repo' : 'sparse'
  const bearable = isListed ? SIGNED_FACTOR * cost['list-records'].requests : Number.POSITIVE_INFINITY
  return cost[signed].requests <= bearable ? signed : 'list-records'
}

/** What each method is expected to take once the probe is here. */
export function costs(wish: PlanWish, probe: Probe): Record<ReadMethod, Cost> {
  const all = allEntries(probe)
  const known = wish.lastRecords === undefined ? all : wish.lastRecords * GROWTH
  const unseen = Math.max(0, Math.min(all, known) - probe.entriesInRange)
  const missing = expandMissing(probe, wish.collections?.length ?? 0, unseen)
  const records = probe.entriesInRange + missing.entries
  const blocks = probe.recordsMissing + missing.entries
  return {
    sparse: {
      requests: missing.requests + Math.ceil(blocks / BLOCKS_AT_ONCE_MAX),
      bytes: Math.round(missing.nodes * NODE_BYTES + blocks * RECORD_BYTES),
    },
    'get-repo': {
      requests: 1,
      bytes: Math.round(all * (RECORD_BYTES + NODE_BYTES / ENTRIES_PER_NODE)),
    },
    'list-records': { requests: listRequests(wish, records), bytes: Math.round(records * LISTED_BYTES) },
  }
}

/**
 * The entries of the whole tree. Its height alone says little: in one repo of five a single key lifts the root two
 * layers above where it would be. So it is judged by the layer at which the nodes on the way down tell of enough
 * others beside them.
 */
function allEntries({ height, rootEntries, pathEntries = [] }: Probe): number {
  let beside = rootEntries + 1
  let layer = height
  for (const entries of pathEntries) {
    if (beside >= NODES_BESIDE) break
    beside *= Math.max(1, (entries + 1) / PATH_BIAS)
    layer -= 1
  }
  return beside * NODES_BELOW ** Math.max(layer, 0)
}

interface Missing {
  readonly nodes: number
  readonly entries: number
  readonly requests: number
}

/** The nodes that are missing and what to expect below them, fetched level by level; no more of it than `limit`. */
function expandMissing({ nodesMissing }: Probe, ranges: number, limit: number): Missing {
  const levels: number[] = []
  let level = halvedAtEdges(nodesMissing, ranges)
  while (level.some((count) => count > 0)) {
    levels.push(sum(level))
    level = level.slice(1).map((count) => count * NODES_BELOW)
  }
  const nodes = Math.min(sum(levels), limit / ENTRIES_PER_NODE)
  const share = nodes / Math.max(sum(levels), 1)
  return {
    nodes,
    entries: nodes * ENTRIES_PER_NODE,
    // However little there is on a level, it takes one.
    requests: sum(levels.map((count) => Math.max(1, Math.ceil((count * share) / BLOCKS_AT_ONCE_MAX)))),
  }
}

const sum = (numbers: readonly number[]) => numbers.reduce((all, each) => all + each, 0)

/** The highest node of each range is where the range ends, as far as is known: half of it is expected to be in it. */
function halvedAtEdges(nodesMissing: readonly number[], ranges: number): number[] {
  let edges = ranges
  const halved = [...nodesMissing]
  for (let layer = halved.length - 1; layer >= 0 && edges > 0; layer -= 1) {
    const here = Math.min(edges, halved[layer]!)
    halved[layer]! -= here / 2
    edges -= here
  }
  return halved
}

/** The reference PDS gives a cursor with every page that holds anything: one more closes each collection. */
function listRequests({ collections, stored = false }: PlanWish, records: number): number {
  const patterns = collections ?? ['*']
  const pages = Math.max(Math.ceil(records / RECORDS_PER_PAGE), Math.min(patterns.length, Math.ceil(records)))
  const describes = collections === null || collections.some(isPrefix)
  const bracketed = stored || describes || patterns.length > 1 || pages > 1
  return pages + patterns.length + (describes ? 1 : 0) + (bracketed ? BRACKET_REQUESTS : 0)
}

/**
 * Why a method did not get to its end with a repo: `unsupported`: the host does not offer it; `moved`: the repo did
 * not hold still; `too-large`: more than is taken; `incomplete`: the host did not send all of what it names;
 * `cid-mismatch`: a value does not have its CID; `unverifiable`: what came is of a form that nobody can verify.
 */
export type Obstacle = 'unsupported' | 'moved' | 'too-large' | 'incomplete' | 'cid-mismatch' | 'unverifiable'

const FAILURE_OF: Readonly<Record<Obstacle, FailureClass>> = {
  unsupported: 'unverifiable',
  moved: 'too-slow',
  'too-large': 'body-too-large',
  incomplete: 'incomplete-car',
  'cid-mismatch': 'cid-mismatch',
  unverifiable: 'unverifiable',
}

/**
 * What to do when a method did not get to its end. Every method is begun once, so this ends.
 * @param wish with all that have failed before in `tried`, and all that the host does not offer
 */
export function fallback(from: ReadMethod, why: Obstacle, wish: PlanWish): Step | DeadEnd {
  const tried = new Set(wish.tried).add(from)
  const next = placeTakers(why, wish).find((method) => isPossible(method, { ...wish, tried }))
  if (next) return stepOf(next)
  return { failure: FAILURE_OF[why], message: `${from} did not get to its end: ${TEXT_OF[why]}` }
}

const TEXT_OF: Readonly<Record<Obstacle, string>> = {
  unsupported: 'the host does not offer it',
  moved: 'the repo did not hold still',
  'too-large': 'it is more than is taken',
  incomplete: 'the host did not send all that it names',
  'cid-mismatch': 'a value does not have its CID',
  unverifiable: 'what came cannot be verified',
}

/** The methods that may take the place of one, by what it met. */
function placeTakers(why: Obstacle, { method }: PlanWish): readonly ReadMethod[] {
  // Only one answer holds still; and it is of the same level.
  if (method === 'sparse') return why === 'moved' ? ['get-repo'] : []
  if (method !== 'auto') return []
  if (why === 'moved') return ['get-repo', 'list-records']
  // The bytes decide.
  if (why === 'cid-mismatch') return ['get-repo', 'sparse']
  return READ_METHODS
}

function isPossible(method: ReadMethod, { level, unsupported, tried }: PlanWish): boolean {
  if (level === 'signed' && method === 'list-records') return false
  return !tried?.has(method) && !NEEDS[method].some((needed) => unsupported.has(needed))
}

function whyNot(method: ReadMethod, { level, unsupported }: PlanWish): string {
  if (level === 'signed' && method === 'list-records') return 'list-records proves no signature'
  const lacks = NEEDS[method].filter((needed) => unsupported.has(needed))
  return lacks.length > 0
    ? `${method}: the host does not offer ${lacks.join(' and ')}`
    : `${method} has failed before`
}

function stepOf(method: ReadMethod): Step {
  return method === 'sparse' ? 'probe' : method
}

function deadEnd(message: string): DeadEnd {
  return { failure: 'unverifiable', message }
}
