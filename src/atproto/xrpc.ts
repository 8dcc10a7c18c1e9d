import { cooldownUntil } from './cooldown.js'
import type { HttpResponse } from './http.js'
import { Failure, RateLimited } from './outcome.js'

/** The error body of XRPC: a name and, perhaps, words for humans. */
export interface XrpcError {
  readonly status: number
  readonly error: string
  readonly message: string
}

export type XrpcAnswer = { readonly ok: true; readonly body: object } | ({ readonly ok: false } & XrpcError)

/**
 * Reads a query's response: a JSON object, or an error the caller can decide on (4xx).
 * @throws RateLimited on 429, Failure `host-error` on 5xx, `bad-response` on anything XRPC does not allow
 */
export function readAnswer(response: HttpResponse, now: number, random: number): XrpcAnswer {
  const { status } = response
  if (status === 429) {
    throw new RateLimited(new Date(cooldownUntil((name) => header(response, name), now, random)))
  }
  if (status >= 500) throw new Failure('host-error', `the host answered ${status}${excerpt(response)}`)
  const body = parse(response)
  if (status === 200) {
    if (body === null)
      throw new Failure('bad-response', `the answer is not a JSON object${excerpt(response)}`)
    return { ok: true, body }
  }
  const { error, message } = (body ?? {}) as { error?: unknown; message?: unknown }
  if (status < 400 || typeof error !== 'string') {
    throw new Failure('bad-response', `the host answered ${status}, but not as XRPC does${excerpt(response)}`)
  }
  return { ok: false, status, error, message: typeof message === 'string' ? message : '' }
}

function header(response: HttpResponse, name: string): string | undefined {
  return response.headers[name]
}

function parse(response: HttpResponse): object | null {
  try {
    const value: unknown = JSON.parse(response.body.toString('utf8'))
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
