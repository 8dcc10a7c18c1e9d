import { InvalidRequestError, XRPCError } from '@atproto/xrpc-server'
import { notPermitted } from '../auth/errors.js'
import { RequestError } from '../errors.js'
import { Standings } from '../jobs/callers.js'
import { FeedError } from '../jobs/feed-error.js'
import { Places } from '../jobs/places.js'
import { streamsOf } from '../jobs/quotas.js'
import { maySee } from '../jobs/read.js'
import { type ApiContext, askerOf } from './context.js'
import { toXrpcError } from './errors.js'

/** What methods that answer with a stream have in common. */

/** How often it is looked whether who follows a job still may, ms. */
const RIGHTS_EVERY_MS = 5_000

/** The server takes whatever is no number for 0, and would tell everything again. */
export function checkCursor(url = ''): void {
  const cursor = new URL(url, 'http://localhost').searchParams.get('cursor')
  if (cursor !== null && !/^\d{1,15}$/.test(cursor))
    throw new InvalidRequestError('cursor is not a number that this method gave out')
}

/** Of a process's connections to the database, so many may read for deliveries: one of as many as this. */
const CONNECTIONS_PER_PLACE = 3

/** The streams of a process: so many of each caller, which read their records page by page, in a few places. */
export class Streams {
  readonly places: Places
  readonly #ctx: Pick<ApiContext, 'config' | 'db'>
  readonly #open = new Map<string, number>()

  constructor(ctx: Pick<ApiContext, 'config' | 'db'>) {
    const { connections } = ctx.config.database
    this.places = new Places(Math.max(1, Math.floor(connections / CONNECTIONS_PER_PLACE)))
    this.#ctx = ctx
  }

  /**
   * Lets a caller have one more stream, until the function is called.
   * @throws RequestError `QuotaExceeded`
   */
  async begin(did: string): Promise<() => void> {
    const most = await streamsOf(this.#ctx, did)
    const open = this.#open.get(did) ?? 0
    if (most !== null && open >= most) {
      const streams = open === 1 ? '1 stream' : `${open} streams`
      const said = `${did} has ${streams} open, and may have ${most} at the same time`
      throw new RequestError('QuotaExceeded', said)
    }
    this.#open.set(did, open + 1)
    let hasEnded = false
    return () => {
      if (hasEnded) return
      hasEnded = true
      const left = this.#open.get(did)! - 1
      if (left > 0) this.#open.set(did, left)
      else this.#open.delete(did)
    }
  }
}

/** Rights may be taken away while a stream is open. */
export class Rights {
  readonly #now: () => number
  readonly #standings: Standings

  constructor(ctx: ApiContext) {
    this.#now = ctx.now
    this.#standings = new Standings(ctx, RIGHTS_EVERY_MS)
  }

  /**
   * To be asked again and again by whoever hands a job on to somebody: looks now and then whether they still may.
   * The function throws XRPCError where they may not any more.
   */
  ofFollower(did: string, job: { readonly id: string; readonly caller: string }): () => Promise<void> {
    let checkedAt = this.#now()
    return async () => {
      if (this.#now() - checkedAt < RIGHTS_EVERY_MS) return
      const { permissions, jobsOf } = await this.#standings.of(did)
      if (!permissions.has('read')) throw notPermitted(did, 'read')
      if (!maySee(askerOf({ did, permissions, jobsOf }), job.caller)) {
        throw new XRPCError(400, `There is no job ${job.id}`, 'JobNotFound')
      }
      checkedAt = this.#now()
    }
  }
}

/** Whether a stream ended because what came was not taken. */
export function isTooSlow(error: unknown): boolean {
  return error instanceof FeedError && error.code === 'ConsumerTooSlow'
}

/** The server's error parser is not asked for what ends a stream. */
export function refuse(ctx: Pick<ApiContext, 'tell'>, error: unknown): never {
  if (error instanceof FeedError) throw new XRPCError(400, error.message, error.code)
  const parsed = toXrpcError(error)
  if (parsed.statusCode >= 500) ctx.tell('request.failed', { err: parsed.cause ?? error })
  throw parsed
}
