import type { Dispatcher } from 'undici'
import { type AddressPolicy, urlRefusal } from './address.js'
import { type ExchangeLimits, type ExchangeRequest, exchange, type HttpResponse } from './http-exchange.js'
import { HttpFailure } from './http-failure.js'
import { type Sink, STREAMED_CODINGS } from './http-stream.js'
import { type Exchanged, watched } from './http-watch.js'

/** What to fetch, and what to do at a redirect. */
export interface Fetching {
  readonly url: string | URL
  readonly accept?: string
  /** The most the body may be, decoded. */
  readonly maxBytes: number
  /** The whole exchange, redirects included, ms. */
  readonly timeoutMs: number
  readonly signal?: AbortSignal | undefined
  readonly headers?: Readonly<Record<string, string>>
  /** Takes the body of a 200 piece by piece, in place of `body`. What it throws ends the exchange and is thrown. */
  readonly sink?: Sink | undefined
}

/** How many redirects to follow (one more is a `bad-response`), or to hand out the first. */
export type Redirects = number | 'manual'

/** The response at the end of a chain of redirects, and where that was. */
export interface Followed {
  readonly response: HttpResponse
  readonly url: URL
  /** Redirects followed. */
  readonly hops: number
}

export interface FollowContext {
  readonly dispatcher: Dispatcher
  readonly policy: AddressPolicy
  readonly limits: ExchangeLimits
  readonly userAgent: string
  readonly onRequest: ((info: { url: string; hop: number }) => void) | undefined
  readonly onExchanged: ((exchanged: Exchanged) => void) | undefined
  readonly onReceived: ((url: URL, bytes: number) => void) | undefined
}

/** Headers that are ours to say, whatever a caller puts into `headers`. */
const OWN_HEADERS: ReadonlySet<string> = new Set(['accept-encoding', 'connection', 'host', 'user-agent'])

const REDIRECTS: ReadonlySet<number> = new Set([301, 302, 303, 307, 308])

/**
 * Fetches a URL and what it redirects to. Every URL of the chain passes the address policy before anything is
 * sent to it.
 * @throws HttpFailure; the signal's reason when it aborts
 */
export async function follow(
  context: FollowContext,
  fetching: Fetching,
  redirects: Redirects,
): Promise<Followed> {
  const { maxBytes, signal, sink } = fetching
  const deadline = performance.now() + fetching.timeoutMs
  let headers = requestHeaders(fetching, context.userAgent)
  let url = parsed(fetching.url)
  for (let hop = 0; ; hop++) {
    signal?.throwIfAborted()
    const timeoutMs = Math.max(0, deadline - performance.now())
    const request = { url, headers, maxBytes, timeoutMs, signal, sink, onReceived: context.onReceived }
    const response = await watched(url, () => send(context, request, hop), statusOf, context.onExchanged)
    const target = redirects === 'manual' ? null : redirectTarget(url, response)
    if (target === null) return { response, url, hops: hop }
    if (hop === redirects) {
      throw new HttpFailure('bad-response', `${url.host}: it redirects to ${target.host}`)
    }
    // What a caller says to one host is not for another to read.
    if (target.origin !== url.origin) {
      headers = requestHeaders({ accept: headers.accept, sink }, context.userAgent)
    }
    url = target
  }
}

function send(context: FollowContext, request: ExchangeRequest, hop: number): Promise<HttpResponse> {
  admit(request.url, context.policy)
  context.onRequest?.({ url: request.url.href, hop })
  return exchange(context.dispatcher, request, context.limits)
}

const statusOf = ({ status }: HttpResponse) => status

function parsed(url: string | URL): URL {
  if (url instanceof URL) return url
  if (URL.canParse(url)) return new URL(url)
  throw new HttpFailure('host-blocked', `not a URL: ${url.slice(0, 200)}`)
}

/** @throws HttpFailure `host-blocked` */
export function admit(url: URL, policy: AddressPolicy): void {
  const refusal = urlRefusal(url, policy)
  if (refusal !== null) throw new HttpFailure('host-blocked', `${url.host} ${refusal}`)
}

/**
 * Where a response sends us; null when it does not.
 * @throws HttpFailure when it is nowhere, or from https to a scheme that anyone on the way can read
 */
function redirectTarget(from: URL, { status, headers }: HttpResponse): URL | null {
  const { location } = headers
  if (!REDIRECTS.has(status) || location === undefined) return null
  if (!URL.canParse(location, from.href)) {
    throw new HttpFailure('bad-response', `${from.host}: it redirects to what is not a URL`)
  }
  const target = new URL(location, from.href)
  if (from.protocol === 'https:' && target.protocol !== 'https:') {
    const scheme = target.protocol.slice(0, 32)
    throw new HttpFailure('host-blocked', `${from.host}: it redirects from https to ${scheme}`)
  }
  return target
}

function requestHeaders(
  {
    accept,
    headers = {},
    sink,
  }: Partial<Pick<Fetching, 'headers' | 'sink'>> & { accept?: string | undefined },
  userAgent: string,
): Record<string, string> {
  const own: Record<string, string> = {}
  for (const [name, value] of Object.entries(headers)) {
    if (!OWN_HEADERS.has(name.toLowerCase())) own[name.toLowerCase()] = value
  }
  own.accept = accept ?? own.accept ?? '*/*'
  own['accept-encoding'] = sink ? STREAMED_CODINGS : 'gzip'
  own['user-agent'] = userAgent
  return own
}
