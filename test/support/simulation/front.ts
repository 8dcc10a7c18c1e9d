import type { IncomingMessage, ServerResponse } from 'node:http'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Addresses } from './addresses.js'
import type { Census, Standing } from './census.js'
import type { Documents } from './documents.js'
import type { FaultKind } from './fault-kinds.js'
import type { Faults } from './faults.js'
import { jsonAnswer, notFound, type PdsAnswers, refusal } from './pds.js'
import { type RateLimit, RateWindow, refusalOf } from './rate-limit.js'
import type { Relays } from './relay.js'
import { reset, send, spoil } from './spoil.js'
import { HostStats } from './stats.js'
import type { Account, World } from './world.js'

export interface FrontParts {
  readonly world: World
  readonly census: Census
  readonly faults: Faults
  readonly addresses: Addresses
  readonly answers: PdsAnswers
  readonly relays: Relays
  readonly documents: Documents
  /** Documents of DIDs that are no accounts. */
  readonly published: ReadonlyMap<string, object>
  /** What all have seen. */
  readonly report: () => object
  readonly relayCount: number
  readonly directoryLimit: RateLimit | null
  readonly now: () => number
  /** ms; stands still while nothing can be done. */
  readonly awake?: (() => number) | undefined
}

const REPO = 'com.atproto.sync.getRepo'
const RESOLVE_HANDLE = 'com.atproto.identity.resolveHandle'

/** Everything that answers at one door: which host a request is for says its `Host` header. */
export class Front {
  readonly hosts: readonly HostStats[]
  readonly moved = new Map<number, HostStats>()
  readonly directory: HostStats
  readonly relays: readonly HostStats[]
  readonly #parts: FrontParts

  constructor(parts: FrontParts) {
    this.#parts = parts
    const { awake } = parts
    this.hosts = parts.world.hosts.map(({ limit }) => statsOf(limit, awake))
    this.directory = statsOf(parts.directoryLimit, awake)
    this.relays = Array.from({ length: parts.relayCount }, () => statsOf(null, awake))
  }

  /** The listener of an http server. */
  readonly listen = (request: IncomingMessage, response: ServerResponse): void => {
    response.on('error', () => {})
    this.#answer(request, response).catch((error: unknown) => {
      // A mistake of the simulation's own: nothing that a test expects has this status.
      if (response.headersSent) request.socket.destroy()
      else send(response, refusal('SimulationError', String(error), 599))
    })
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const { addresses, relays } = this.#parts
    const url = new URL(request.url ?? '/', 'http://localhost')
    const party = addresses.party(request.headers.host ?? '')
    switch (party?.kind) {
      case 'pds':
        if (party.index >= this.hosts.length) break
        return this.#pds(party, url, request, response)
      case 'relay': {
        const stats = this.relays[party.index]
        if (!stats) break
        const method = methodOf(url)
        this.#arrived(stats, method, response)
        const answer = relays.answer(party.index, method, url.searchParams)
        if (answer === 'reset') reset(request)
        else send(response, answer)
        return
      }
      case 'directory':
        return this.#ofDirectory(url, response)
      case 'web':
        return this.#document(this.#parts.world.accountAt(party.index), response)
    }
    if (url.pathname === '/_simulation') return send(response, jsonAnswer(this.#parts.report()))
    send(response, refusal('NotFound', `nobody is at ${request.headers.host}`, 404))
  }

  async #pds(
    { index, moved }: { index: number; moved: boolean },
    url: URL,
    request: IncomingMessage,
    response: ServerResponse,
  ): Promise<void> {
    const { world, census, faults, answers, addresses, now } = this.#parts
    const stats = this.#statsOf(index, moved)
    const method = methodOf(url)
    this.#arrived(stats, method, response)
    if (census.isDown(index)) {
      stats.unanswered += 1
      return reset(request)
    }
    const headers = this.#admit(stats, method, response)
    if (headers === null) return
    const { latencyMs } = world.hosts[index]!
    if (latencyMs > 0) await sleep(latencyMs)
    const query = url.searchParams
    const asked = query.get('repo') ?? query.get('did') ?? ''
    const account = asked.startsWith('did:') ? world.find(asked) : world.findHandle(asked)
    const news = account && census.hostOf(account) === index ? faults.takeAccount(account) : null
    if (account && news) happen(news, account, census)
    if (moved !== census.hasMoved(index)) return send(response, notFound(asked), headers)
    const right = await answers.to(index, method, query, account)
    const kind = account && right.status === 200 ? faults.takeRequest(account, method, right.records) : null
    if (!kind || !account) return send(response, right, headers)
    const { privateOrigins } = addresses
    const given = kind === 'foreign-repo' ? await answers.ofAnother(method, query, account) : right
    await spoil(kind, given, { request, response, query, account, stats, now, headers, privateOrigins })
  }

  async #ofDirectory(url: URL, response: ServerResponse): Promise<void> {
    const { world, published } = this.#parts
    const path = decodeURIComponent(url.pathname).slice(1)
    this.#arrived(this.directory, path.startsWith('did:') ? 'document' : methodOf(url), response)
    const headers = this.#admit(this.directory, 'document', response)
    if (headers === null) return
    if (path === `xrpc/${RESOLVE_HANDLE}`) {
      const account = world.findHandle(url.searchParams.get('handle') ?? '')
      const unknown = refusal('InvalidRequest', 'Unable to resolve handle')
      return send(response, account ? jsonAnswer({ did: account.did }) : unknown, headers)
    }
    const other = published.get(path)
    if (other) return send(response, jsonAnswer(other), headers)
    const account = path.startsWith('did:plc:') ? world.find(path) : null
    if (account) return this.#document(account, response, headers)
    send(response, jsonAnswer({ message: `DID not registered: ${path}` }, 404), headers)
  }

  async #document(
    account: Account,
    response: ServerResponse,
    headers: Readonly<Record<string, string>> = {},
  ): Promise<void> {
    const answer = await this.#parts.documents.answer(account)
    if (typeof answer === 'string') response.writeHead(302, { ...headers, location: answer }).end()
    else send(response, answer, headers)
  }

  #statsOf(index: number, moved: boolean): HostStats {
    const known = moved ? this.moved.get(index) : this.hosts[index]
    if (known) return known
    const stats = statsOf(this.#parts.world.hosts[index]!.limit, this.#parts.awake)
    this.moved.set(index, stats)
    return stats
  }

  #arrived(stats: HostStats, method: string, response: ServerResponse): void {
    const visit = stats.arrived(method, this.#parts.now())
    response.once('close', () => stats.left(visit, response.writableFinished))
  }

  /** The headers that go with the answer; null: the request was one too many, and is answered. */
  #admit(stats: HostStats, method: string, response: ServerResponse): Record<string, string> | null {
    const [window, repoWindow] = stats.windows
    if (!stats.limit || !window) return {}
    const now = this.#parts.now()
    const taken = (method === REPO && repoWindow ? repoWindow : window).take(now)
    if (taken.allowed) return taken.headers
    const { headers, body, until } = refusalOf(stats.limit.refuses, taken.headers, taken.resetAt, now)
    stats.wasRefused(now, until)
    response.writeHead(429, headers).end(body)
    return null
  }
}

/** What happens to an account while it is asked about. */
function happen(kind: FaultKind, account: Account, census: Census): void {
  if (kind === 'migrated') census.migrate(account)
  else if (kind === 'host-moved') census.moveHost(census.hostOf(account))
  else if (kind === 'key-rotated') census.rotateKey(account)
  else if (kind === 'edited') census.edit(account)
  else census.setStanding(account, kind as Standing)
}

function statsOf(limit: RateLimit | null, awake?: () => number): HostStats {
  if (limit === null) return new HostStats(null, [], awake)
  const windows = [new RateWindow(limit)]
  if (limit.repoPoints !== undefined) windows.push(new RateWindow(limit, limit.repoPoints))
  return new HostStats(limit, windows, awake)
}

function methodOf(url: URL): string {
  return url.pathname.replace(/^\/xrpc\//, '')
}
