import type { Census } from './census.js'
import type { FaultKind } from './fault-kinds.js'
import type { Faults } from './faults.js'
import { type Answer, InvalidRequest, jsonAnswer, limitOf, refusal, SOME_HEAD } from './pds.js'
import { mix } from './random.js'
import type { Account, World } from './world.js'

/** The largest and the default `limit` of each method. */
const PAGES = {
  'com.atproto.sync.listReposByCollection': { max: 2_000, standard: 500 },
  'com.atproto.sync.listRepos': { max: 1_000, standard: 500 },
  'com.atproto.sync.listHosts': { max: 1_000, standard: 200 },
}

/** Of those a relay need not know, the share that it does. */
const KNOWN_SHARE = 0.8

const NOT_DIDS = [{ did: 'did:plc' }, { did: 7 }, {}, { did: 'alice.example' }]

export interface RelayOptions {
  readonly relays: number
  /** Entries on a page, however many more are asked for. */
  readonly pageSize: number
}

/** What a relay does to a request: answers it, or cuts the connection. */
export type RelayAnswer = Answer | 'reset'

/** Relays that between them know every account; each of several misses some. */
export class Relays {
  readonly #world: World
  readonly #census: Census
  readonly #faults: Faults
  readonly #options: RelayOptions
  readonly #hostname: (host: number) => string

  /** @param hostname what relays call a host: its name and port */
  constructor(
    parts: { world: World; census: Census; faults: Faults; hostname: (host: number) => string },
    options: RelayOptions,
  ) {
    this.#world = parts.world
    this.#census = parts.census
    this.#faults = parts.faults
    this.#hostname = parts.hostname
    this.#options = options
  }

  answer(relay: number, method: string, query: URLSearchParams): RelayAnswer {
    try {
      switch (method) {
        case 'com.atproto.sync.listReposByCollection':
          return this.#byCollection(relay, query)
        case 'com.atproto.sync.listRepos':
          return this.#repos(relay, query)
        case 'com.atproto.sync.listHosts':
          return this.#hosts(query)
        default:
          return refusal('MethodNotImplemented', 'Method Not Implemented', 501)
      }
    } catch (error) {
      if (error instanceof InvalidRequest) return refusal('InvalidRequest', error.message)
      throw error
    }
  }

  /** Whether a relay lists an account. */
  knows(relay: number, { index }: Account): boolean {
    const { relays } = this.#options
    if (index % relays === relay) return true
    return mix(this.#world.seed, index, relay, 10) < KNOWN_SHARE * 2 ** 32
  }

  #byCollection(relay: number, query: URLSearchParams): RelayAnswer {
    const collection = query.get('collection')
    if (!collection) throw new InvalidRequest('Error: Params must have the property "collection"')
    const limit = limitOf(query, PAGES['com.atproto.sync.listReposByCollection'])
    const listed = (account: Account) =>
      this.knows(relay, account) && this.#world.count(account, collection) > 0
    return this.#page(query, limit, listed, ({ did }) => ({ did }))
  }

  #repos(relay: number, query: URLSearchParams): RelayAnswer {
    const limit = limitOf(query, PAGES['com.atproto.sync.listRepos'])
    const entry = (account: Account) => {
      const standing = this.#census.standingOn(this.#census.hostOf(account), account)
      const rev = this.#census.revOf(account)
      const active = standing === 'active'
      return { did: account.did, head: SOME_HEAD, rev, active, ...(!active && { status: standing }) }
    }
    return this.#page(query, limit, (account) => this.knows(relay, account), entry)
  }

  #page(
    query: URLSearchParams,
    limit: number,
    listed: (account: Account) => boolean,
    entry: (account: Account) => object,
  ): RelayAnswer {
    const size = Math.min(limit, this.#options.pageSize)
    // A cursor is the place of the next account, and how many empty pages came before it.
    const [from = 0, empty = 0] = (query.get('cursor') ?? '0').split('#').map(Number)
    const page: Account[] = []
    let at = from
    for (; at < this.#world.repos && page.length < size; at++) {
      const account = this.#world.accountAt(at)
      if (listed(account)) page.push(account)
    }
    // A full page has a cursor even if nothing follows: real relays do not look ahead.
    const more = page.length === size
    const fault = this.#faults.takeRelay({ filled: page.length > 0, more })
    if (fault === 'relay-reset') return 'reset'
    if (fault === 'relay-error') return refusal('InternalServerError', 'Internal Server Error', 500)
    if (fault === 'relay-empty-page') return jsonAnswer({ repos: [], cursor: `${from}#${empty + 1}` })
    const repos = spoiled(fault, page.map(entry))
    return jsonAnswer({ repos, ...(more && { cursor: String(at) }) })
  }

  #hosts(query: URLSearchParams): Answer {
    const limit = limitOf(query, PAGES['com.atproto.sync.listHosts'])
    const from = Number(query.get('cursor') ?? 0)
    const hosts = this.#world.hosts.slice(from, from + limit).map(({ index, slots }) => ({
      hostname: this.#hostname(index),
      seq: index + 1,
      accountCount: slots,
      status: 'active',
    }))
    const more = hosts.length === limit
    return jsonAnswer({ hosts, ...(more && { cursor: String(from + limit) }) })
  }
}

function spoiled(fault: FaultKind | null, entries: readonly object[]): readonly object[] {
  if (fault === 'relay-duplicates') return [...entries, ...entries]
  if (fault === 'relay-not-dids') return [...NOT_DIDS, ...entries]
  return entries
}
