import type { IncomingMessage, ServerResponse } from 'node:http'
import { Firehose } from './firehose.js'
import { LoopbackServer, methodOf, type RequestCounts, sendError, sendJson } from './loopback.js'
import type { TestPds } from './pds.js'
import { RelayFaults } from './relay-faults.js'
import { type RelayRepo, RelayRepos } from './relay-repos.js'

export interface RelayOptions {
  /** The PDSs it crawls, each time somebody begins a listing. */
  readonly hosts?: readonly TestPds[]
  /** Entries on a page, however many more are asked for. */
  readonly pageSize?: number
}

/** The largest and the default `limit` of each method, as its lexicon has it. */
const LIMITS = {
  'com.atproto.sync.listReposByCollection': { max: 2000, standard: 500 },
  'com.atproto.sync.listRepos': { max: 1000, standard: 500 },
  'com.atproto.sync.listHosts': { max: 1000, standard: 200 },
}
type Method = keyof typeof LIMITS

interface Entry {
  readonly key: string
  readonly entry: object
}

/** Stands between a DID and the count of empty pages served after it; no DID has it. */
const EMPTY_PAGES = '#'

class InvalidRequest extends Error {}

/**
 * Stands in for a relay: no package on npm implements `listReposByCollection`. It lists the repos of real PDSs
 * and those that a test adds, and misbehaves on demand.
 */
export class TestRelay implements AsyncDisposable {
  readonly faults = new RelayFaults()
  readonly firehose = new Firehose()
  readonly #repos = new RelayRepos()
  readonly #named: { readonly hostname: string; readonly status: string }[] = []
  readonly #hosts: readonly TestPds[]
  readonly #pageSize: number
  #server!: LoopbackServer
  #held: Promise<unknown> = Promise.resolve()

  private constructor({ hosts = [], pageSize = Number.POSITIVE_INFINITY }: RelayOptions) {
    this.#hosts = hosts
    this.#pageSize = pageSize
  }

  static async start(options: RelayOptions): Promise<TestRelay> {
    const relay = new TestRelay(options)
    relay.#server = await LoopbackServer.start(
      (...exchange) => relay.#answer(...exchange),
      (...upgrade) => relay.firehose.accept(...upgrade),
    )
    return relay
  }

  get url(): string {
    return this.#server.url
  }

  get requests(): RequestCounts {
    return this.#server.requests
  }

  /** Lists a repo under these collections, whether a PDS has it or not. */
  add(did: string, collections: readonly string[]): void {
    this.#repos.add(did, collections)
  }

  /** Lists a repo no more. */
  remove(did: string): void {
    this.#repos.remove(did)
  }

  /** Lists a host, whether there is one or not. */
  addHost(hostname: string, status = 'active'): void {
    this.#named.push({ hostname, status })
  }

  /** Takes in what the PDSs that are up have now; what it learnt before stays. */
  async crawl(): Promise<void> {
    await Promise.all(this.#hosts.filter((pds) => pds.running).map((pds) => this.#repos.crawl(pds)))
  }

  /** Answers nobody before this is over. */
  hold(until: Promise<unknown>): void {
    this.#held = until
  }

  /** Refuses connections until `restart`. */
  stop(): Promise<void> {
    this.firehose.stop()
    return this.#server.stop()
  }

  restart(): Promise<void> {
    return this.#server.restart()
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.stop()
  }

  async #answer(url: URL, request: IncomingMessage, response: ServerResponse): Promise<void> {
    await this.#held
    const fault = this.faults.take({ hasCursor: url.searchParams.has('cursor') })
    if (fault?.kind === 'reset') {
      request.socket.resetAndDestroy()
      return
    }
    if (fault?.kind === 'status') {
      const message = 'this relay was told to fail'
      return sendError(response, fault.status, 'ToldToFail', message, fault.headers)
    }
    try {
      const page = await this.#page(methodOf(url), url.searchParams, fault?.kind)
      if (page === null) sendError(response, 501, 'MethodNotImplemented', 'Method Not Implemented')
      else sendJson(response, 200, page)
    } catch (error) {
      if (!(error instanceof InvalidRequest)) throw error
      sendError(response, 400, 'InvalidRequest', error.message)
    }
  }

  async #page(
    method: string,
    query: URLSearchParams,
    fault: 'repeated-cursor' | 'empty-page' | undefined,
  ): Promise<object | null> {
    if (!isMethod(method)) return null
    const size = Math.min(limitOf(method, query), this.#pageSize)
    const cursor = query.get('cursor')
    const [name, all] = await this.#entries(method, query)
    const [after = '', emptyPages = '0'] = (cursor ?? '').split(EMPTY_PAGES)
    if (fault === 'empty-page') {
      return { [name]: [], cursor: `${after}${EMPTY_PAGES}${Number(emptyPages) + 1}` }
    }
    const page = all.filter(({ key }) => key > after).slice(0, size)
    // A full page has a cursor even if nothing follows, as real relays do it: they do not look ahead.
    const next = page.length === size ? page.at(-1)?.key : undefined
    return { [name]: page.map(({ entry }) => entry), cursor: fault === 'repeated-cursor' ? cursor : next }
  }

  /** What a method lists, by the key its cursor is made of. */
  async #entries(method: Method, query: URLSearchParams): Promise<[string, Entry[]]> {
    if (method === 'com.atproto.sync.listHosts') {
      const known = this.#hosts.map((pds) => ({ hostname: new URL(pds.url).host, status: 'active' }))
      const hosts = [...known, ...this.#named].map((host, index) => ({ ...host, seq: index + 1 }))
      const entries = hosts.map((entry) => ({ key: entry.hostname, entry }))
      return ['hosts', entries.sort((a, b) => (a.key < b.key ? -1 : 1))]
    }
    // A listing shows one state of the network from its first page to its last.
    if (!query.has('cursor')) await this.crawl()
    const repos = this.#repos.sorted()
    if (method === 'com.atproto.sync.listRepos') return ['repos', repos.map(keyed(stateOf))]
    const collection = query.get('collection')
    if (!collection) throw new InvalidRequest('Error: Params must have the property "collection"')
    const having = repos.filter(({ collections }) => collections.has(collection))
    return ['repos', having.map(keyed(({ did }) => ({ did })))]
  }
}

/** Starts a relay on a port chosen by the system. */
export function startRelay(options: RelayOptions = {}): Promise<TestRelay> {
  return TestRelay.start(options)
}

function isMethod(method: string): method is Method {
  return Object.hasOwn(LIMITS, method)
}

function limitOf(method: Method, query: URLSearchParams): number {
  const { max, standard } = LIMITS[method]
  const limit = Number(query.get('limit') ?? standard)
  if (Number.isInteger(limit) && limit >= 1 && limit <= max) return limit
  throw new InvalidRequest(`Error: limit must be an integer from 1 to ${max}`)
}

function keyed(entryOf: (repo: RelayRepo) => object) {
  return (repo: RelayRepo): Entry => ({ key: repo.did, entry: entryOf(repo) })
}

function stateOf({ did, head, rev, active, status }: RelayRepo): object {
  return { did, head, rev, active, status }
}
