import { STATUS_CODES } from 'node:http'
import { HttpFailure } from './http-failure.js'
import type { Fetching, Followed, Redirects } from './http-follow.js'

/** Enough for a DID document or a handle's answer, the only things fetched this way. */
const FETCH_BYTES_MAX = 512 * 1024

/** Longer than what callers give it by their own signal, so that theirs is the word. */
const FETCH_TIMEOUT_MS = 15_000

const FETCH_REDIRECTS_MAX = 5

/** Statuses with which the Response constructor takes no body. */
const BODILESS: ReadonlySet<number> = new Set([204, 205, 304])

/**
 * The guarded client in the shape of WHATWG `fetch`, for libraries that take one: GET only, the body read whole.
 * A failure is a TypeError, as there, with the HttpFailure as its cause; an abort rejects with the signal's
 * reason. `redirect: 'manual'` gives the redirect itself.
 */
export function createFetch(
  perform: (fetching: Fetching, redirects: Redirects) => Promise<Followed>,
): typeof globalThis.fetch {
  return async (input, init) => {
    const request = new Request(input, init)
    if (request.method !== 'GET') throw new TypeError(`fetch is for GET here, not ${request.method}`)
    try {
      const fetching = {
        url: request.url,
        headers: Object.fromEntries(request.headers),
        maxBytes: FETCH_BYTES_MAX,
        timeoutMs: FETCH_TIMEOUT_MS,
        signal: init?.signal ?? (input instanceof Request ? input.signal : undefined),
      }
      return asResponse(await perform(fetching, redirectsOf(request.redirect)))
    } catch (error) {
      if (!(error instanceof HttpFailure)) throw error
      throw new TypeError(`fetch failed: ${error.message}`, { cause: error })
    }
  }
}

function redirectsOf(redirect: Request['redirect']): Redirects {
  if (redirect === 'manual') return 'manual'
  return redirect === 'error' ? 0 : FETCH_REDIRECTS_MAX
}

/** @throws HttpFailure `bad-response` for a status above 599 or a header that is no ByteString */
function asResponse({ response: { status, headers, body }, url, hops }: Followed): Response {
  try {
    const bytes = BODILESS.has(status) ? null : new Uint8Array(body)
    const response = new Response(bytes, { status, statusText: STATUS_CODES[status] ?? '', headers })
    return Object.defineProperties(response, { url: { value: url.href }, redirected: { value: hops > 0 } })
  } catch (error) {
    const message = `${url.host}: what it answered cannot be said as a Response: ${String(error)}`
    throw new HttpFailure('bad-response', message, { cause: error })
  }
}
