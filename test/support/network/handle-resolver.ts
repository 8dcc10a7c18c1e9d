import { LoopbackServer, methodOf, type RequestCounts, sendError, sendJson } from './loopback.js'
import type { TestPds } from './pds.js'

const RESOLVE_HANDLE = 'com.atproto.identity.resolveHandle'

/** Answers `com.atproto.identity.resolveHandle` for a whole network without DNS. */
export interface HandleResolver extends AsyncDisposable {
  readonly url: string
  readonly requests: RequestCounts
  /** Has a handle stand for a DID, whatever a PDS says: for handles that no PDS has, and for lies. */
  set(handle: string, did: string): void
  /** Refuses connections until `restart`. */
  stop(): Promise<void>
  restart(): Promise<void>
}

/**
 * Starts a resolver that asks the PDS whose domain a handle ends in. A handle of no PDS is refused here:
 * a PDS would look for it in the DNS.
 */
export async function startHandleResolver(pdses: readonly TestPds[]): Promise<HandleResolver> {
  const fixed = new Map<string, string>()
  const server = await LoopbackServer.start(async (url, _request, response) => {
    if (methodOf(url) !== RESOLVE_HANDLE) {
      return sendError(response, 501, 'MethodNotImplemented', 'Method Not Implemented')
    }
    const handle = url.searchParams.get('handle')?.toLowerCase() ?? ''
    const did = fixed.get(handle)
    if (did !== undefined) return sendJson(response, 200, { did })
    const pds = pdses.find(({ handleDomain }) => handle.endsWith(handleDomain))
    if (pds === undefined) return sendError(response, 400, 'HandleNotFound', 'Unable to resolve handle')
    const answer = await fetch(new URL(`${url.pathname}${url.search}`, pds.url)).catch(() => null)
    if (answer === null) sendError(response, 502, 'UpstreamFailure', `the PDS of ${handle} is down`)
    else sendJson(response, answer.status, await answer.json())
  })
  return {
    url: server.url,
    requests: server.requests,
    set: (handle, did) => void fixed.set(handle.toLowerCase(), did),
    stop: () => server.stop(),
    restart: () => server.restart(),
    [Symbol.asyncDispose]: () => server.stop(),
  }
}
