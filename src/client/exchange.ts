import { httpResponseCodeToName } from '@atproto/xrpc'
import { BackfillError, errorOf, InvalidResponse, ServiceUnreachable, TimeoutError } from './errors.js'

/** A page of large records may be this long, bytes. */
const ANSWER_BYTES_MAX = 128 * 1024 * 1024
/** How much of an answer that is no XRPC error is repeated, characters. */
const EXCERPT_LENGTH = 200

export interface ExchangeRequest {
  /** What is asked, for people: `Aquifer`, `the PDS`. */
  readonly peer: string
  readonly url: URL
  readonly method: 'GET' | 'POST'
  /** Puts the origin in front of what the peer says, where the caller may not know who that is. */
  readonly attributed?: boolean
  readonly headers: Readonly<Record<string, string>>
  /** Sent as JSON. */
  readonly input?: unknown
  readonly timeoutMs: number
  readonly signal?: AbortSignal | undefined
  readonly fetch: typeof globalThis.fetch
  /** ms since the epoch */
  now(): number
}

/**
 * One request and its answer, which is JSON.
 * @returns the answer of a 2xx; undefined if it is empty
 * @throws ServiceUnreachable, TimeoutError, InvalidResponse, or the error that the answer is; the signal's reason
 *   when it aborts
 */
export async function exchange(request: ExchangeRequest): Promise<unknown> {
  const { status, headers, text } = await send(request)
  if (status >= 200 && status < 300) return parseAnswer(request, text)
  throw refusalIn(request, status, headers, text)
}

interface Answer {
  readonly status: number
  readonly headers: Headers
  readonly text: string
}

async function send(request: ExchangeRequest): Promise<Answer> {
  using patience = new Patience(request)
  // Awaited, because patience ends with this function.
  return await patience.during(async (signal) => {
    const response = await fetchOnce(request, signal)
    return { status: response.status, headers: response.headers, text: await readText(request, response) }
  })
}

/**
 * One request whose answer comes in pieces, however long it is. Each of them may take `timeoutMs`.
 * @throws as `exchange`, also while the pieces are read
 */
export async function open(request: ExchangeRequest): Promise<AsyncIterable<Uint8Array>> {
  const patience = new Patience(request)
  try {
    const response = await patience.during((signal) => fetchOnce(request, signal))
    if (response.ok) return pieces(response, patience)
    const text = await patience.during(() => readText(request, response))
    throw refusalIn(request, response.status, response.headers, text)
  } catch (error) {
    patience[Symbol.dispose]()
    throw error
  }
}

async function* pieces(response: Response, patience: Patience): AsyncGenerator<Uint8Array, void, undefined> {
  using _ = patience
  const reader = response.body?.getReader()
  try {
    while (reader) {
      const { done, value } = await patience.during(() => reader.read())
      if (done) return
      yield value
    }
  } finally {
    await reader?.cancel().catch(() => {})
  }
}

function fetchOnce({ url, method, input, headers, fetch }: ExchangeRequest, signal: AbortSignal) {
  return fetch(url, {
    method,
    headers: {
      accept: 'application/json',
      ...(input !== undefined && { 'content-type': 'application/json' }),
      ...headers,
    },
    ...(input !== undefined && { body: JSON.stringify(input) }),
    // A redirect would lose the token, or the body, or lead to whom the token is not for.
    redirect: 'manual',
    signal,
  })
}

/** Waits for the parts of an answer, for each no longer than the request says. */
class Patience implements Disposable {
  readonly #request: ExchangeRequest
  readonly #controller = new AbortController()
  readonly #abort = () => this.#controller.abort(this.#request.signal?.reason)

  constructor(request: ExchangeRequest) {
    this.#request = request
    request.signal?.throwIfAborted()
    request.signal?.addEventListener('abort', this.#abort, { once: true })
  }

  /** @throws ServiceUnreachable, TimeoutError; the signal's reason when it aborts */
  async during<T>(part: (signal: AbortSignal) => Promise<T>): Promise<T> {
    const { signal, timeoutMs } = this.#request
    const timer = setTimeout(() => this.#controller.abort(), timeoutMs)
    try {
      return await part(this.#controller.signal)
    } catch (error) {
      signal?.throwIfAborted()
      if (error instanceof BackfillError) throw error
      const isLate = this.#controller.signal.aborted
      throw isLate ? timedOut(this.#request, error) : unreachable(this.#request, error)
    } finally {
      clearTimeout(timer)
    }
  }

  [Symbol.dispose](): void {
    this.#request.signal?.removeEventListener('abort', this.#abort)
  }
}

async function readText(request: ExchangeRequest, response: Response): Promise<string> {
  const chunks: Uint8Array[] = []
  let bytes = 0
  for await (const chunk of response.body ?? []) {
    bytes += chunk.byteLength
    if (bytes > ANSWER_BYTES_MAX) {
      throw invalid(request, `is longer than ${ANSWER_BYTES_MAX} bytes; a smaller limit makes it shorter`)
    }
    chunks.push(chunk)
  }
  return Buffer.concat(chunks).toString('utf8')
}

function parseAnswer(request: ExchangeRequest, text: string): unknown {
  if (text === '') return undefined
  try {
    return JSON.parse(text)
  } catch (error) {
    throw invalid(request, 'is not JSON', error)
  }
}

/** An answer that is not what the lexicon says. */
export function invalid(request: Pick<ExchangeRequest, 'peer' | 'url'>, how: string, cause?: unknown) {
  const { peer, url } = request
  const message = `The answer of ${url.origin} to ${methodOf(url)} ${how}. Is ${peer} running there?`
  return new InvalidResponse({ name: 'InvalidResponse', message, cause })
}

/** The error that an answer with another status than 2xx is (XRPC specification, "Error Responses"). */
function refusalIn(request: ExchangeRequest, status: number, headers: Headers, text: string): BackfillError {
  const { error, message } = xrpcError(text)
  const said = `${request.attributed ? `${request.url.origin}: ` : ''}${message ?? error}`
  return errorOf({
    name: error ?? httpResponseCodeToName(status),
    message: error === undefined ? describeForeign(request, status, headers, text) : said,
    status,
    requestId: headers.get('x-request-id') ?? undefined,
    retryAfter: retryAfterIn(headers, request.now()),
  })
}

function xrpcError(text: string): { error?: string; message?: string } {
  try {
    const { error, message } = JSON.parse(text) as Record<string, unknown>
    if (typeof error !== 'string' || error === '') return {}
    return typeof message === 'string' && message !== '' ? { error, message } : { error }
  } catch {
    return {}
  }
}

/** An answer that no XRPC service gives: a proxy in front of it, or something else at that address. */
function describeForeign(
  { peer, url }: ExchangeRequest,
  status: number,
  headers: Headers,
  text: string,
): string {
  const location = headers.get('location')
  if (status >= 300 && status < 400 && location !== null) {
    return `${url.origin} redirects to ${location}; ask there directly`
  }
  const excerpt = text.replace(/\s+/g, ' ').trim().slice(0, EXCERPT_LENGTH)
  const doubt = status < 500 ? ` Is ${peer} running there?` : ''
  return `${url.origin} answered ${status} to ${methodOf(url)}${excerpt && `: ${excerpt}`}.${doubt}`
}

/** `Retry-After` in seconds, from either of its forms (RFC 9110 §10.2.3). */
function retryAfterIn(headers: Headers, nowMs: number): number | undefined {
  const value = headers.get('retry-after')?.trim() ?? ''
  if (/^\d{1,9}$/.test(value)) return Number(value)
  const date = value === '' ? Number.NaN : Date.parse(value)
  return Number.isNaN(date) ? undefined : Math.max(0, Math.ceil((date - nowMs) / 1_000))
}

/** There is somebody, who does not answer in time. */
export function timedOut(
  { peer, url, timeoutMs }: Pick<ExchangeRequest, 'peer' | 'url' | 'timeoutMs'>,
  cause: unknown,
): TimeoutError {
  const message = `${peer} at ${url.origin} did not answer ${methodOf(url)} within ${timeoutMs / 1_000} s`
  return new TimeoutError({ name: 'TimeoutError', message, cause })
}

/** Nobody is there, or the connection broke. */
export function unreachable(
  { peer, url }: Pick<ExchangeRequest, 'peer' | 'url'>,
  cause: unknown,
): ServiceUnreachable {
  const message = `Cannot reach ${peer} at ${url.origin}: ${reasonOf(cause)}. Is it running there?`
  return new ServiceUnreachable({ name: 'ServiceUnreachable', message, cause })
}

const REASONS: Readonly<Record<string, string>> = {
  ECONNREFUSED: 'connection refused',
  ECONNRESET: 'the connection was closed',
  UND_ERR_SOCKET: 'the connection was closed',
  ENOTFOUND: 'there is no such host',
  EAI_AGAIN: 'the host name cannot be looked up now',
  EHOSTUNREACH: 'no way to the host',
  ENETUNREACH: 'no way to the network',
  ETIMEDOUT: 'no connection in time',
  UND_ERR_CONNECT_TIMEOUT: 'no connection in time',
}

/** `fetch` says only "fetch failed"; what happened is in the innermost cause. */
function reasonOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error)
  const { code, cause } = error as { code?: unknown; cause?: unknown }
  if (cause instanceof Error) return reasonOf(cause)
  return (typeof code === 'string' && REASONS[code]) || error.message || String(code)
}

function methodOf(url: URL): string {
  return url.pathname.replace(/^\/xrpc\//, '')
}
