import { itemsOf } from './editions.js'
import { type HostOptions, type HostProfile, hostOfSlot, hostProfiles } from './hosts.js'
import { mix, Permutation } from './random.js'
import { countOf, type RepoSize, revOf } from './record-content.js'
import { fromSortable, sortable } from './tid.js'

export interface WorldOptions extends Partial<HostOptions> {
  readonly seed?: number
  readonly hosts?: number
  readonly repos?: number
  readonly collections?: readonly string[]
  readonly size?: RepoSize
  /** Accounts with a did:web; the others have a did:plc. */
  readonly webRepos?: number
}

export interface Account {
  /** Its place in the world, from 0. */
  readonly index: number
  readonly did: string
  readonly handle: string
  /** The host that it is on at the beginning. */
  readonly host: number
  /** Which did:web it is; null for a did:plc. */
  readonly web: number | null
}

export interface WorldRecord {
  readonly rkey: string
  readonly value: Record<string, unknown>
}

export const COLLECTIONS = [
  'network.example.post',
  'network.example.like',
  'network.example.graph.follow',
  'network.example.actor.profile',
]

const HANDLE_DOMAIN = 'sim.test'

/** Characters of a did:plc that say which account it is; the others only look as if they did. */
const INDEX_LENGTH = 7
const NOISE_LENGTH = 17
/** Of 32 bits, so many characters hold nothing but noise. */
const PART_LENGTH = 6

/**
 * A network as it is before anything goes wrong in it: hosts, accounts and records, all of them functions of the
 * seed. Nothing is kept for each account, so that a million of them take no room.
 */
export class World {
  readonly seed: number
  readonly repos: number
  readonly collections: readonly string[]
  readonly size: RepoSize
  readonly hosts: readonly HostProfile[]
  readonly #slots: Permutation
  readonly #webDids: readonly string[]

  /** @param webDid the DID of each did:web: where its document is decides it */
  constructor(options: WorldOptions, webDid: (index: number) => string) {
    const { seed = 1, hosts = 12, repos = 300, collections = COLLECTIONS, size = 'skewed' } = options
    const { webRepos = 0, skew = 1.2, latencyMs = 0, limit = null, lacks } = options
    this.seed = seed
    this.repos = repos
    this.collections = collections
    this.size = size
    this.hosts = hostProfiles(seed, hosts, repos, { skew, latencyMs, limit, ...(lacks && { lacks }) })
    this.#slots = new Permutation(repos, seed)
    this.#webDids = Array.from({ length: webRepos }, (_, index) => webDid(index))
  }

  accountAt(index: number): Account {
    const host = hostOfSlot(this.hosts, this.#slots.of(index))
    const did = this.#webDids[index] ?? this.#plcDid(index)
    const web = index < this.#webDids.length ? index : null
    return { index, did, handle: `r${index}.pds${host}.${HANDLE_DOMAIN}`, host, web }
  }

  /** Slots are the accounts in the order of their hosts. */
  accountOfSlot(slot: number): Account {
    return this.accountAt(this.#slots.origin(slot))
  }

  /** Null: the world has no such account. */
  find(did: string): Account | null {
    const index = did.startsWith('did:plc:') ? this.#indexOf(did) : this.#webDids.indexOf(did)
    if (index < 0 || index >= this.repos) return null
    const account = this.accountAt(index)
    return account.did === did ? account : null
  }

  findHandle(handle: string): Account | null {
    const [, index] = /^r(\d+)\./.exec(handle) ?? []
    if (index === undefined || Number(index) >= this.repos) return null
    const account = this.accountAt(Number(index))
    return account.handle === handle ? account : null
  }

  *accounts(): Generator<Account> {
    for (let index = 0; index < this.repos; index++) yield this.accountAt(index)
  }

  /** How many records an account has of a collection. @param edition how often its repo has changed */
  count(account: Account, collection: string, edition = 0): number {
    const at = this.collections.indexOf(collection)
    if (at === -1) return 0
    if (edition === 0) return countOf(this, account.index, at)
    return [...itemsOf(this, account.index, at, edition)].length
  }

  /** An account's records of a collection, by ascending key. */
  *records(account: Account, collection: string, edition = 0): Generator<WorldRecord> {
    const at = this.collections.indexOf(collection)
    if (at !== -1) yield* itemsOf(this, account.index, at, edition)
  }

  /** The rev an account is at, after it has been signed so often anew, if its repo has not changed. */
  rev(account: Account, version = 0): string {
    return revOf(this, account.index, version)
  }

  #plcDid(index: number): string {
    let noise = ''
    for (let part = 0; noise.length < NOISE_LENGTH; part++) {
      noise += sortable(mix(this.seed, index, part, 9), PART_LENGTH)
    }
    return `did:plc:${noise.slice(-NOISE_LENGTH)}${sortable((index ^ this.#mask) >>> 0, INDEX_LENGTH)}`
  }

  #indexOf(did: string): number {
    const number = fromSortable(did.slice(-INDEX_LENGTH))
    return number === null || number > 0xffff_ffff ? -1 : (number ^ this.#mask) >>> 0
  }

  get #mask(): number {
    return mix(this.seed, 6)
  }
}
