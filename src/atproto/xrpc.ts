import { cooldownUntil } from './cooldown.js'
import type { HttpResponse } from './http.js'
import { Failure, RateLimited } from './outcome.js'

/** The error body of XRPC: a name and, perhaps, words for humans. */
export interface XrpcError {
  readonly status: number
  readonly error: string
  readonly message: string
}

export type Refusal = { readonly ok: false } & XrpcError

export type XrpcAnswer = { readonly ok: true; readonly body: object } | Refusal

/** The answer to a query whose output is not JSON; the body is empty where a sink took it. */
export type BytesAnswer = { readonly ok: true; readonly body: Buffer } | Refusal

/**
 * Reads a query's response: a JSON object, or an error the caller can decide on (4xx).
 * @throws RateLimited on 429, Failure `host-error` on 5xx, `bad-response` on anything XRPC does not allow
 */
export function readAnswer(response: HttpResponse, now: number, random: number): XrpcAnswer {
  assertAnswer(response, now, random)
  const body = jsonObject(response.body)
  if (response.status !== 200) return refusalOf(response, body)
  if (body === null) throw new Failure('bad-response', `the answer is not a JSON object${excerpt(response)}`)
  return { ok: true, body }
}

/** Statuses by which routers say, each in words of its own, that there is no such method. */
const NO_SUCH_METHOD: ReadonlySet<number> = new Set([404, 405, 501])

/**
 * Reads a query's response whose body is not JSON. Refusals are, but for those that only say that the host does
 * not offer the method: their name may be empty.
 * @throws RateLimited on 429, Failure `host-error` on 5xx but 501, `bad-response` on anything XRPC does not allow
 */
export function readBytes(response: HttpResponse, now: number, random: number): BytesAnswer {
  const { status, body } = response
  if (status === 200) return { ok: true, body }
  const parsed = jsonObject(response.body)
  if (!NO_SUCH_METHOD.has(status)) assertAnswer(response, now, random)
  else if (!isXrpcError(parsed)) return { ok: false, status, error: '', message: excerpt(response).slice(2) }
  return refusalOf(response, parsed)
}

/** @throws RateLimited, Failure `host-error` */
function assertAnswer(response: HttpResponse, now: number, random: number): void {
  const { status } = response
  if (status === 429) {
    throw new RateLimited(new Date(cooldownUntil((name) => header(response, name), now, random)))
  }
  if (status >= 500) throw new Failure('host-error', `the host answered ${status}${excerpt(response)}`)
}

function refusalOf(response: HttpResponse, body: object | null): Refusal {
  const { status } = response
  if (status < 400 || !isXrpcError(body)) {
    throw new Failure('bad-response', `the host answered ${status}, but not as XRPC does${excerpt(response)}`)
  }
  const { error, message } = body
  return { ok: false, status, error, message: typeof message === 'string' ? message : '' }
}

function isXrpcError(body: object | null): body is { error: string; message?: unknown } {
  return typeof (body as { error?: unknown } | null)?.error === 'string'
}

function header(response: HttpResponse, name: string): string | undefined {
  return response.headers[name]
}

/** What a body is if it is a JSON object; null if it is not. */
export function jsonObject(body: Buffer): object | null {
  try {
    const value: unknown = JSON.parse(body.toString('utf8'))
    return typeof value === 'object' && value !== null && !Array.isArray(value) ? value : null
  } catch {
    return null
  }
}

/** The beginning of a body, on one line, to recognise an error page by. */
function excerpt(response: HttpResponse): string {
  const text = response.body.toString('utf8', 0, 400).replaceAll(/\s+/g, ' ').trim()
  return text === '' ? '' : `: ${text.slice(0, 120)}`
}
