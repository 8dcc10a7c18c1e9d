import { encode } from '@atcute/cbor'
import type { FailureClass } from '../../../src/verdict.js'
import type { Random } from '../simulation/random.js'
import { type Block, blockOf, cidOf, textOf } from './block.js'
import { carOf } from './car.js'
import { bytes, canonicalMap, link } from './cbor.js'
import { commitFields, commitOf } from './commit.js'
import { mutateBytes, mutateTree, type OpenedTree, openTree, replaceAt } from './mutate-tree.js'
import { type MadeRepo, randomKey, randomRecord } from './random-repo.js'
import { putTree, treeOf } from './tree.js'
import { truthOf } from './truth.js'

/** Repos that are right but for one thing. */

/** What must come of reading it. */
export interface Verdict {
  /** CIDs by key, where it may be read; null where it must not. */
  readonly truth: ReadonlyMap<string, string> | null
  /** What it may be refused for; none where it must not. */
  readonly failures: readonly FailureClass[]
}

export interface Mutant extends Verdict {
  readonly what: string
  readonly car: Buffer
  /** Of what the records may be. */
  readonly blocks: ReadonlyMap<string, Block>
  /** The root of a tree that is to be read in parts, too. */
  readonly data?: Uint8Array
}

export interface Base {
  readonly repo: MadeRepo
  readonly tree: OpenedTree
  readonly truth: ReadonlyMap<string, string>
}

export function baseOf(repo: MadeRepo): Base {
  const truth = new Map(Array.from(repo.records, ([key, { cid }]) => [key, cid]))
  return { repo, tree: openTree(repo.blocks, repo.data), truth }
}

export async function mutate(random: Random, base: Base, foreign: Base): Promise<Mutant> {
  return await random.pick(MUTATIONS)(random, base, foreign)
}

type Mutation = (random: Random, base: Base, foreign: Base) => Mutant | Promise<Mutant>

const CAR_FAILURES: readonly FailureClass[] = [
  'bad-response',
  'cid-mismatch',
  'body-too-large',
  'incomplete-car',
]
const TREE_FAILURES: readonly FailureClass[] = ['bad-tree', 'incomplete-car']
const COMMIT_FAILURES: readonly FailureClass[] = ['bad-tree', 'unverifiable', 'did-mismatch', 'bad-signature']

/** So that some come more often than others. */
const MUTATIONS: readonly Mutation[] = [
  changedBytes,
  changedBytes,
  cut,
  harmless,
  harmful,
  harmful,
  wrongTree,
  wrongTree,
  wrongTree,
  wrongTree,
  unsignedTree,
  changedRecord,
  changedRecords,
  changedCommit,
]

/** A byte or a few of the CAR. */
function changedBytes(random: Random, { repo, truth }: Base): Mutant {
  let car = carOf([repo.commit.cid], shuffled(random, [...repo.blocks.values()]))
  for (let times = random.pick([1, 1, 1, 2, 10]); times > 0; times--) car = mutateBytes(random, car)
  return { what: 'bytes of the CAR', car, blocks: repo.blocks, truth, failures: CAR_FAILURES }
}

/** The end of the CAR is gone, or a part in its middle. */
function cut(random: Random, { repo, truth }: Base): Mutant {
  const car = carOf([repo.commit.cid], shuffled(random, [...repo.blocks.values()]))
  const [from, to] = [random.below(car.length), random.below(car.length)].sort((one, other) => one - other)
  const rest = random.chance(0.5) ? car.subarray(to) : Buffer.of()
  const parts = Buffer.concat([car.subarray(0, from), rest])
  return { what: 'a part of the CAR', car: parts, blocks: repo.blocks, truth, failures: CAR_FAILURES }
}

/** Blocks in another order, some twice, some from elsewhere. */
function harmless(random: Random, { repo, truth }: Base, foreign: Base): Mutant {
  const own = [...repo.blocks.values()]
  const again = own.filter(() => random.chance(0.2))
  const others = [...foreign.repo.blocks.values()].slice(0, 50).filter(() => random.chance(0.5))
  const car = carOf([repo.commit.cid], shuffled(random, [...own, ...again, ...others]))
  return { what: 'blocks more than needed', car, blocks: repo.blocks, truth, failures: [] }
}

/** A block gone, or another in its place. */
function harmful(random: Random, { repo }: Base, foreign: Base): Mutant {
  const theirs = [...foreign.repo.blocks.values()]
  const own = shuffled(random, [...repo.blocks.values()])
  const [victim, ...rest] = own as [Block, ...Block[]]
  const forged = { cid: victim.cid, bytes: otherThan(victim.bytes, random.pick([...own, ...theirs]).bytes) }
  const strange = blockOf(otherThan(victim.bytes, mutateBytes(random, victim.bytes)))
  const [what, root, blocks, failure] = random.pick<
    readonly [string, Uint8Array | null, Block[], FailureClass]
  >([
    ['a block gone', repo.commit.cid, rest, 'incomplete-car'],
    ['a block with the bytes of another', repo.commit.cid, [forged, ...rest], 'cid-mismatch'],
    ['a block twice, once forged', repo.commit.cid, [...own, forged], 'cid-mismatch'],
    ['a strange block in place of one', repo.commit.cid, [strange, ...rest], 'incomplete-car'],
    ['no root', null, own, 'bad-response'],
    ['a root that is a node', repo.data, own, 'bad-tree'],
    ['a root that is not there', cidOf(Buffer.from('nothing')), own, 'incomplete-car'],
    ['the commit of somebody else', foreign.repo.commit.cid, [...own, ...theirs], 'did-mismatch'],
    ['the repo of somebody else', foreign.repo.commit.cid, theirs, 'did-mismatch'],
  ])
  return {
    what,
    car: carOf(root ? [root] : [], blocks),
    blocks: repo.blocks,
    truth: null,
    failures: [failure],
  }
}

const otherThan = (one: Uint8Array, other: Uint8Array): Uint8Array =>
  Buffer.compare(one, other) === 0 ? Buffer.concat([other, other, Buffer.of(0)]) : other

/** A node changed, and all above it hashed and signed again. */
async function wrongTree(random: Random, base: Base): Promise<Mutant> {
  const { what, root } = mutateTree(random, base.tree)
  const made: Block[] = []
  const data = putTree(root, made, base.tree.known)
  const { car, blocks } = await signedAgain(random, base, made, data)
  const truth = truthOf(blocks, data)
  return {
    what: `a signed tree with ${what}`,
    car,
    blocks,
    data,
    truth,
    failures: truth ? [] : TREE_FAILURES,
  }
}

/** A node changed without a signature. */
async function unsignedTree(random: Random, { repo, tree, truth }: Base): Promise<Mutant> {
  const { what, root } = mutateTree(random, tree)
  const made: Block[] = []
  const data = putTree(root, made, tree.known)
  const fields = commitFields({ did: repo.did, rev: repo.rev, data: repo.data })
  const signature = await repo.key.sign(canonicalMap(fields))
  const commit = blockOf(canonicalMap({ ...fields, data: link(data), sig: bytes(signature) }))
  const blocks = withBlocks(repo.blocks, [...made, commit])
  const own = shuffled(random, [...blocks.values()])
  const isSame = Buffer.compare(data, repo.data) === 0
  const rest = own.filter(({ cid }) => Buffer.compare(cid, repo.data) !== 0)
  return random.pick<() => Mutant>([
    () => ({
      what: `a commit of a tree with ${what}, not signed again`,
      car: carOf([commit.cid], own),
      blocks,
      truth: isSame ? truth : null,
      failures: isSame ? [] : ['bad-signature'],
    }),
    () => ({
      what: `unused nodes with ${what}`,
      car: carOf([repo.commit.cid], own),
      blocks,
      truth,
      failures: [],
    }),
    () => ({
      what: `no root of the tree, but one with ${what}`,
      car: carOf([repo.commit.cid], rest),
      blocks,
      truth: null,
      failures: ['incomplete-car'],
    }),
  ])()
}

/** A record with other bytes, right or wrong, and all above it hashed and signed again. */
async function changedRecord(random: Random, base: Base): Promise<Mutant> {
  const { repo, tree } = base
  const path = random.pick(tree.paths)
  const node = path.at(-1)!
  if (node.entries.length === 0) return changedRecords(random, base)
  const at = random.below(node.entries.length)
  const entry = node.entries[at]!
  const before = repo.blocks.get(textOf(entry.value))!
  const record = blockOf(
    random.chance(0.8) ? mutateBytes(random, before.bytes) : encode(randomRecord(random)),
  )
  const changed = { ...node, entries: node.entries.with(at, { ...entry, value: record.cid }) }
  const made = [record]
  const data = putTree(replaceAt(path, changed) as typeof node, made, tree.known)
  const truth = new Map(base.truth).set(String(entry.key), textOf(record.cid))
  const { car, blocks } = await signedAgain(random, base, made, data)
  return { what: 'a signed record with other bytes', car, blocks, truth, failures: [] }
}

/** What an account may do: some records made, changed and deleted. */
async function changedRecords(random: Random, base: Base): Promise<Mutant> {
  const values = new Map(Array.from(base.truth, ([key, cid]) => [key, base.repo.blocks.get(cid)!.cid]))
  const made: Block[] = []
  for (let times = 1 + random.below(5); times > 0; times--) {
    const present = random.pick([...values.keys(), ''])
    if (present && random.chance(0.4)) {
      values.delete(present)
      continue
    }
    const record = blockOf(encode(randomRecord(random)))
    made.push(record)
    values.set(present && random.chance(0.5) ? present : randomKey(random), record.cid)
  }
  const data = putTree(treeOf(values), made)
  const { car, blocks } = await signedAgain(random, base, made, data)
  const ascending = [...values].sort(([one], [other]) => (one < other ? -1 : 1))
  const truth = new Map(ascending.map(([key, cid]) => [key, textOf(cid)]))
  return { what: 'other records', car, blocks, data, truth, failures: [] }
}

/** A byte of the commit. */
function changedCommit(random: Random, { repo }: Base): Mutant {
  const commit = blockOf(mutateBytes(random, repo.commit.bytes))
  const isSame = Buffer.compare(commit.bytes, repo.commit.bytes) === 0
  const car = carOf([commit.cid], [commit, ...repo.blocks.values()])
  const truth = new Map(Array.from(repo.records, ([key, { cid }]) => [key, cid]))
  return {
    what: 'a byte of the commit',
    car,
    blocks: repo.blocks,
    truth: isSame ? truth : null,
    failures: isSame ? [] : COMMIT_FAILURES,
  }
}

/** The repo with another tree. */
async function signedAgain(random: Random, { repo }: Base, made: readonly Block[], data: Uint8Array) {
  const commit = await commitOf(repo.key, { did: repo.did, rev: repo.rev, data })
  const blocks = withBlocks(repo.blocks, [...made, commit])
  return { blocks, car: carOf([commit.cid], shuffled(random, [...blocks.values()])) }
}

function withBlocks(blocks: ReadonlyMap<string, Block>, more: readonly Block[]): ReadonlyMap<string, Block> {
  const all = new Map(blocks)
  for (const block of more) all.set(textOf(block.cid), block)
  return all
}

function shuffled<T>(random: Random, list: readonly T[]): T[] {
  const copy = [...list]
  for (let at = copy.length - 1; at > 0; at--) {
    const other = random.below(at + 1)
    ;[copy[at], copy[other]] = [copy[other]!, copy[at]!]
  }
  return copy
}
