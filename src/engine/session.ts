import { HttpFailure } from '../atproto/http.js'
import { Failure } from '../atproto/outcome.js'
import type { Query } from '../atproto/pds.js'
import { readAnswer } from '../atproto/xrpc.js'
import type { EngineContext } from './context.js'
import type { Gate } from './gate.js'

const TIMEOUT_MS = 60_000

/**
 * The way to ask one host: each query waits for its turn at the gate, goes out once, and comes back as an
 * answer or as a thrown Failure or RateLimited.
 * @param stop ends whatever waits or is under way, at once
 * @param hold ends only what waits: the answer to a request under way is worth having
 */
export function hostQuery(
  ctx: EngineContext,
  origin: string,
  gate: Gate,
  { stop: signal, hold }: { stop: AbortSignal; hold: AbortSignal },
): Query {
  const waiting = AbortSignal.any([signal, hold])
  return async (nsid, params, maxBytes) => {
    await gate.pass(waiting)
    const url = new URL(`/xrpc/${nsid}`, origin)
    for (const [name, value] of Object.entries(params)) {
      if (value !== undefined) url.searchParams.set(name, String(value))
    }
    try {
      const response = await ctx.http.get({
        url,
        accept: 'application/json',
        maxBytes,
        timeoutMs: TIMEOUT_MS,
        signal,
      })
      return readAnswer(response, ctx.now(), ctx.random())
    } catch (error) {
      if (error instanceof HttpFailure) throw new Failure(error.failure, error.message, { cause: error })
      throw error
    }
  }
}
