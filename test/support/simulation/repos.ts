import { hash } from 'node:crypto'
import { toBytes, toCidLink } from '@atcute/cbor'
import { Secp256k1Keypair } from '@atproto/crypto'
import { BoundedCache } from './bounded-cache.js'
import { carOf } from './car.js'
import { Random } from './random.js'
import { type Block, blockOf, buildTree, type Leaf, nodesOf, pathTo, type TreeNode, textOf } from './tree.js'
import type { Account, World } from './world.js'

/** A record as hosts list it. */
export interface ListedRecord {
  readonly uri: string
  readonly cid: string
  readonly rkey: string
  /** JSON text. */
  readonly value: string
}

/** Which state of a repo. */
export interface RepoState {
  /** How often the account has changed its key. */
  readonly version?: number
  /** How often the repo has changed, and its rev then. */
  readonly edition?: { readonly number: number; readonly rev: string }
}

export interface BuiltRepo {
  readonly rev: string
  readonly commit: Block
  readonly root: TreeNode
  /** Every block but the commit, by CID: an identical one is kept once. */
  readonly blocks: ReadonlyMap<string, Block>
  /** Blocks in the order in which the host happens to export them. */
  readonly exported: readonly Block[]
}

/** Many accounts share a key: making one for each of a million would take an hour. */
export const KEYS = 4

/** Records kept ready for listings over all accounts, and as many blocks of whole repos: some 50 MB. */
const HELD_MAX = 50_000

/** What a list of records takes beside them, in records. */
const LIST_WEIGHT = 2

/** The repos of a world, signed: made when they are asked for, and again when they have been forgotten. */
export class Repos {
  readonly #world: World
  readonly #keys: Promise<readonly Secp256k1Keypair[]>
  /** Kept, because a key takes longer to write down than a document. */
  readonly #didKeys: Promise<readonly string[]>
  readonly #listed: BoundedCache<string, readonly ListedRecord[]>
  readonly #built: BoundedCache<string, Promise<BuiltRepo>>

  /** @param heldMax the most records, and the most blocks, in memory */
  constructor(world: World, heldMax = HELD_MAX) {
    this.#world = world
    this.#listed = new BoundedCache(heldMax)
    this.#built = new BoundedCache(heldMax)
    this.#keys = Promise.all(
      Array.from({ length: KEYS }, (_, index) =>
        Secp256k1Keypair.import(hash('sha256', `key ${world.seed} ${index}`, 'hex')),
      ),
    )
    this.#didKeys = this.#keys.then((keys) => keys.map((key) => key.did()))
  }

  /** How many records and blocks are in memory. */
  get held(): number {
    return this.#listed.weight + this.#built.weight
  }

  /** The did:key an account signs with. @param version how often it has changed its key */
  async keyOf(account: Account, version = 0): Promise<string> {
    return (await this.#didKeys)[(account.index + version) % KEYS]!
  }

  /** Makes all records that there are room for, so that what is measured later is not their making. */
  warm(): void {
    for (const account of this.#world.accounts()) {
      for (const collection of this.#world.collections) this.listed(account, collection)
    }
  }

  /** An account's records of a collection as listings have them, by ascending key. */
  listed(account: Account, collection: string, edition = 0): readonly ListedRecord[] {
    const name = `${account.index} ${edition} ${collection}`
    const kept = this.#listed.get(name)
    if (kept) return kept
    const prefix = `at://${account.did}/${collection}/`
    const records = Array.from(this.#world.records(account, collection, edition), ({ rkey, value }) => ({
      uri: prefix + rkey,
      cid: textOf(blockOf(value).cid),
      rkey,
      value: JSON.stringify(value),
    }))
    this.#listed.set(name, records, records.length + LIST_WEIGHT)
    return records
  }

  /** The whole repo, under the key that the account has by now. */
  build(account: Account, state: RepoState = {}): Promise<BuiltRepo> {
    const name = `${account.index} ${state.version ?? 0} ${state.edition?.number ?? 0}`
    const kept = this.#built.get(name)
    if (kept) return kept
    const building = this.#build(account, state)
    this.#built.set(name, building, 2 * this.#records(account) + 2)
    return building
  }

  /** The repo as `getRepo` gives it. */
  async car(account: Account, state: RepoState = {}): Promise<Buffer> {
    const { commit, exported } = await this.build(account, state)
    return carOf(commit.cid, exported)
  }

  /** The record, or that there is none, with its path from the signed commit, as `getRecord` gives it. */
  async proof(account: Account, key: string, state: RepoState = {}): Promise<Buffer> {
    const { commit, root, blocks } = await this.build(account, state)
    const path = pathTo(root, key)
    const leaf = path.at(-1)?.items.find((item) => 'key' in item && item.key === key)
    const record = leaf ? [blocks.get(textOf(leaf.cid))!] : []
    return carOf(commit.cid, [commit, ...path, ...record])
  }

  #records(account: Account): number {
    return this.#world.collections.reduce((sum, name) => sum + this.#world.count(account, name), 0)
  }

  async #build(account: Account, { version = 0, edition }: RepoState): Promise<BuiltRepo> {
    const blocks = new Map<string, Block>()
    const leaves: Leaf[] = []
    // The keys of one collection are not those of its neighbour, so the order of the names is that of the keys.
    for (const collection of this.#world.collections.toSorted()) {
      for (const { rkey, value } of this.#world.records(account, collection, edition?.number)) {
        const block = blockOf(value)
        blocks.set(textOf(block.cid), block)
        leaves.push({ key: `${collection}/${rkey}`, cid: block.cid })
      }
    }
    const root = buildTree(leaves)
    for (const node of nodesOf(root)) blocks.set(textOf(node.cid), node)
    const rev = edition?.rev ?? this.#world.rev(account, version)
    const commit = await this.#sign(account, version, { rev, data: root })
    return { rev, commit, root, blocks, exported: this.#exportOrder(account, commit, blocks) }
  }

  async #sign(
    account: Account,
    version: number,
    { rev, data }: { rev: string; data: Block },
  ): Promise<Block> {
    const key = (await this.#keys)[(account.index + version) % KEYS]!
    const unsigned = { did: account.did, version: 3, data: toCidLink(data.cid), rev, prev: null }
    const signature = await key.sign(blockOf(unsigned).bytes)
    return blockOf({ ...unsigned, sig: toBytes(signature) })
  }

  /** Every other host exports blocks as they come, as the reference PDS does. */
  #exportOrder(account: Account, commit: Block, blocks: ReadonlyMap<string, Block>): readonly Block[] {
    const all = [commit, ...blocks.values()]
    if (account.host % 2 === 0) return all
    const random = new Random(this.#world.seed, account.index, 7)
    for (let at = all.length - 1; at > 0; at--) {
      const other = random.below(at + 1)
      ;[all[at], all[other]] = [all[other]!, all[at]!]
    }
    return all
  }
}
