import { JobFeeds } from '../jobs/feed-follow.js'
import { getJob } from '../jobs/read.js'
import { AnySignal } from '../signals.js'
import { type ApiContext, askerOf } from './context.js'
import type { Methods } from './index.js'
import { jobMessage } from './messages.js'
import { checkCursor, isTooSlow, Rights, refuse, type Streams } from './streams.js'

export function subscribeJob(methods: Methods, ctx: ApiContext, streams: Streams): void {
  const feeds = new JobFeeds(ctx.notices, {
    db: ctx.db,
    tell: ctx.tell,
    render: (event) => jobMessage(event, ctx.now()),
  })
  ctx.metrics.watchQueues(() => feeds.mostWaiting)
  const rights = new Rights(ctx)
  const auth = ctx.auth('read')
  methods.subscribeJob({
    auth: (request) => auth(request).catch((error: unknown) => refuse(ctx, error)),
    handler: async function* ({ params, auth, req, signal }) {
      using ends = new AnySignal(signal, ctx.stopping)
      let end: (() => void) | null = null
      try {
        checkCursor(req.url)
        end = await streams.begin(auth.credentials.did)
        const job = await getJob(ctx, askerOf(auth.credentials), params.job)
        const assertMay = rights.ofFollower(auth.credentials.did, job)
        const messages = feeds.follow(job, params.cursor, ends.signal)
        for await (const message of ctx.metrics.followed('subscribeJob', messages, isTooSlow)) {
          await assertMay()
          yield message
        }
      } catch (error) {
        refuse(ctx, error)
      } finally {
        end?.()
      }
    },
  })
}
