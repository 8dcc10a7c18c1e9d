import { XRPCError } from '@atproto/xrpc-server'
import { FeedError } from '../jobs/feed-error.js'
import { JobFeeds } from '../jobs/feed-follow.js'
import { getJob } from '../jobs/read.js'
import { type ApiContext, askerOf } from './context.js'
import { toXrpcError } from './errors.js'
import type { Methods } from './index.js'
import { jobMessage } from './messages.js'

export function subscribeJob(methods: Methods, ctx: ApiContext): void {
  const feeds = new JobFeeds(ctx.notices, {
    db: ctx.db,
    tell: ctx.tell,
    render: (event) => jobMessage(event, ctx.now()),
  })
  const auth = ctx.auth('read')
  methods.subscribeJob({
    auth: (request) => auth(request).catch((error: unknown) => refuse(ctx, error)),
    handler: async function* ({ params, auth, signal }) {
      const ends = AbortSignal.any([signal, ctx.stopping])
      try {
        const job = await getJob(ctx, askerOf(auth.credentials), params.job)
        yield* feeds.follow(job, params.cursor, ends)
      } catch (error) {
        refuse(ctx, error)
      }
    },
  })
}

/** The server's error parser is not asked for what ends a stream. */
function refuse(ctx: Pick<ApiContext, 'tell'>, error: unknown): never {
  if (error instanceof FeedError) throw new XRPCError(400, error.message, error.code)
  const parsed = toXrpcError(error)
  if (parsed.statusCode >= 500) ctx.tell('request.failed', { err: parsed.cause ?? error })
  throw parsed
}
