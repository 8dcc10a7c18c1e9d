import { lookup as systemLookup } from 'node:dns'
import type { LookupFunction } from 'node:net'
import { domainToASCII } from 'node:url'
import { Agent } from 'undici'
import { BodyBudget } from './body-budget.js'
import { type ConnectOptions, guardedConnector } from './http-connect.js'
import type { ExchangeLimits, HttpResponse } from './http-exchange.js'
import { HttpFailure } from './http-failure.js'
import { createFetch } from './http-fetch.js'
import { type Fetching, type FollowContext, follow } from './http-follow.js'
import { type Listened, type Listening, listen } from './http-listen.js'
import type { Sink } from './http-stream.js'
import type { Exchanged } from './http-watch.js'

export { type Exchanged, HttpFailure, type HttpResponse, type Sink }

export interface HttpOptions {
  /** Says who we are and where to complain; sent with every request. */
  readonly userAgent: string
  /** Lifts the rules on addresses and schemes, for tests and demos; every limit stays. */
  readonly allowPrivateNetwork: boolean
  /** Resolves names; the system's resolver by default. What it gives is checked like any other. */
  readonly lookup?: LookupFunction
  /** Hostnames never to be asked; `*.example.com` stands for every subdomain of example.com. */
  readonly blockedHosts?: ReadonlySet<string>
  /** Called just before each request goes out; hop 0 is the request itself, later ones its redirects. */
  readonly onRequest?: (info: { url: string; hop: number }) => void
  /** Called when a request, or a redirect of it, has come to its end; also when it was not let out. */
  readonly onExchanged?: (exchanged: Exchanged) => void
  /** Called with the size of each part of a body, as it came over the wire. */
  readonly onReceived?: (url: URL, bytes: number) => void
  /** What all bodies together may have in memory, but for one of them; 128 MiB when absent. */
  readonly bodyBytes?: number | undefined
}

export interface HttpRequest extends Fetching {
  /** Redirects to follow, 0 by default; one more is a `bad-response`. */
  readonly maxRedirects?: number
}

export interface HttpClient {
  /**
   * A GET. Any status is a response; only the absence or the refusal of one throws. With a `sink` it settles when
   * no call of that is under way any more.
   * @throws HttpFailure; the signal's reason when it aborts
   */
  get(request: HttpRequest): Promise<HttpResponse>
  /**
   * Waits for a message of a WebSocket, which is closed afterwards.
   * @throws HttpFailure; the signal's reason when it aborts
   */
  listen<T>(listening: Listening<T>): Promise<Listened<T>>
  /** The same guards with the shape of WHATWG `fetch`, at most 512 KiB and 15 s. */
  readonly fetch: typeof globalThis.fetch
  /** Closes every connection; what is still under way rejects with an AbortError. */
  close(): Promise<void>
}

/** The limits of a client, and a seam; tests set their own. */
export interface HttpTuning
  extends Omit<ExchangeLimits, 'bodies'>,
    Pick<ConnectOptions, 'connectTimeoutMs' | 'reach'> {
  /** Connections to one origin; further requests wait for one to be free. */
  readonly connectionsPerOrigin: number
  /** How long an idle connection is kept, ms. The pool of an origin goes with its last connection. */
  readonly idleMs: number
}

const TUNING: HttpTuning = {
  connectTimeoutMs: 10_000,
  // A PDS that is alive begins to answer within seconds, even when it has a large repo to export.
  headersTimeoutMs: 30_000,
  // 1 KiB/s: slower than any line still in use, and a repo of 100 MB would take it a day.
  slowWindowMs: 20_000,
  slowBytesMin: 20 * 1024,
  // More in flight would not be kind to a host, and the engine's own budget stays well below it.
  connectionsPerOrigin: 16,
  // Longer than the pause between two requests to a host under way, and so short that the connections of
  // thousands of hosts asked once do not pile up.
  idleMs: 10_000,
}

/** A host's own `keep-alive` hint replaces `idleMs`, up to this many ms. */
const IDLE_HINTED_MS_MAX = 30_000

const RESPONSE_HEADERS_BYTES_MAX = 32 * 1024

const BODY_BYTES = 128 * 1024 * 1024

/**
 * The one way out of this service: GET requests to public https hosts, bounded in size, time and slowness, with
 * connections kept alive per origin; some of them to listen to a WebSocket for a moment.
 */
export function createHttpClient(options: HttpOptions, tuning: Partial<HttpTuning> = {}): HttpClient {
  const {
    allowPrivateNetwork,
    userAgent,
    onRequest,
    onExchanged,
    onReceived,
    lookup = systemLookup,
    bodyBytes = BODY_BYTES,
  } = options
  const limits = { ...TUNING, ...tuning, bodies: new BodyBudget(bodyBytes) }
  const agent = new Agent({
    connect: guardedConnector({ ...limits, lookup, allowPrivateNetwork }),
    connections: limits.connectionsPerOrigin,
    keepAliveTimeout: limits.idleMs,
    keepAliveMaxTimeout: IDLE_HINTED_MS_MAX,
    maxHeaderSize: RESPONSE_HEADERS_BYTES_MAX,
  })
  const policy = { allowPrivateNetwork, blockedHosts: spelled(options.blockedHosts ?? new Set()) }
  const watching = { onRequest, onExchanged, onReceived }
  const context: FollowContext = { dispatcher: agent, policy, limits, userAgent, ...watching }
  return {
    get: async (request) => (await follow(context, request, request.maxRedirects ?? 0)).response,
    listen: (listening) => listen(context, listening),
    fetch: createFetch((fetching, redirects) => follow(context, fetching, redirects)),
    close: () => agent.destroy(),
  }
}

/** Hostnames as the URL parser spells them. */
function spelled(hostnames: ReadonlySet<string>): ReadonlySet<string> {
  return new Set(
    Array.from(hostnames, (hostname) => {
      const wildcard = hostname.startsWith('*.') ? '*.' : ''
      const name = hostname.slice(wildcard.length).replace(/^\[|\]$|\.$/g, '')
      // IPv6 addresses are no domains.
      return wildcard + (domainToASCII(name) || name.toLowerCase())
    }),
  )
}
