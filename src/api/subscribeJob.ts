import { InvalidRequestError, XRPCError } from '@atproto/xrpc-server'
import { notPermitted } from '../auth/errors.js'
import { Standings } from '../jobs/callers.js'
import { FeedError } from '../jobs/feed-error.js'
import { JobFeeds } from '../jobs/feed-follow.js'
import { getJob, maySee } from '../jobs/read.js'
import { AnySignal } from '../signals.js'
import { type ApiContext, askerOf } from './context.js'
import { toXrpcError } from './errors.js'
import type { Methods } from './index.js'
import { jobMessage } from './messages.js'

/** How often it is looked whether who follows a job still may, ms. */
export const RIGHTS_EVERY_MS = 5_000

export function subscribeJob(methods: Methods, ctx: ApiContext): void {
  const feeds = new JobFeeds(ctx.notices, {
    db: ctx.db,
    tell: ctx.tell,
    render: (event) => jobMessage(event, ctx.now()),
  })
  ctx.metrics.watchQueues(() => feeds.mostWaiting)
  const standings = new Standings(ctx, RIGHTS_EVERY_MS)
  const auth = ctx.auth('read')
  methods.subscribeJob({
    auth: (request) => auth(request).catch((error: unknown) => refuse(ctx, error)),
    handler: async function* ({ params, auth, req, signal }) {
      using ends = new AnySignal(signal, ctx.stopping)
      try {
        checkCursor(req.url)
        const job = await getJob(ctx, askerOf(auth.credentials), params.job)
        let checkedAt = ctx.now()
        const messages = feeds.follow(job, params.cursor, ends.signal)
        for await (const message of ctx.metrics.followed('subscribeJob', messages, isTooSlow)) {
          if (ctx.now() - checkedAt >= RIGHTS_EVERY_MS) {
            await assertStillMay(standings, auth.credentials.did, job)
            checkedAt = ctx.now()
          }
          yield message
        }
      } catch (error) {
        refuse(ctx, error)
      }
    },
  })
}

/** The server takes whatever is no number for 0, and would tell everything again. */
export function checkCursor(url = ''): void {
  const cursor = new URL(url, 'http://localhost').searchParams.get('cursor')
  if (cursor !== null && !/^\d{1,15}$/.test(cursor))
    throw new InvalidRequestError('cursor is not a number that this method gave out')
}

/** Rights may be taken away while a stream is open. */
export async function assertStillMay(
  standings: Standings,
  did: string,
  job: { readonly id: string; readonly caller: string },
): Promise<void> {
  const { permissions, jobsOf } = await standings.of(did)
  if (!permissions.has('read')) throw notPermitted(did, 'read')
  if (maySee(askerOf({ did, permissions, jobsOf }), job.caller)) return
  throw new XRPCError(400, `There is no job ${job.id}`, 'JobNotFound')
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
