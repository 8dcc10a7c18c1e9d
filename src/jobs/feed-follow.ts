import type { JobRow } from '../store/jobs.js'
import type { JobNotices } from '../store/notices.js'
import { type FeedOptions, JobFeed } from './feed.js'
import { FeedError } from './feed-error.js'
import type { FeedQueue, Message } from './feed-queue.js'
import { unlessAborted } from './feed-wait.js'

/** A feed is there while somebody follows it. */
interface Followed<M extends Message> {
  readonly feed: JobFeed<M>
  followers: number
}

/** The feeds of a process: one for each job that somebody follows, whatever the number of those who do. */
export class JobFeeds<M extends Message> {
  readonly #options: FeedOptions<M>
  readonly #notices: Pick<JobNotices, 'on'>
  readonly #followed = new Map<string, Followed<M>>()
  #unlisten: (() => void) | null = null

  constructor(notices: Pick<JobNotices, 'on'>, options: FeedOptions<M>) {
    this.#notices = notices
    this.#options = options
  }

  /** The most messages that wait for one subscriber. */
  get mostWaiting(): number {
    return Math.max(0, ...this.#followed.values().map(({ feed }) => feed.mostWaiting))
  }

  /** How many jobs are followed. */
  get size(): number {
    return this.#followed.size
  }

  /**
   * Everything that happens in a job, until it ends or the signal is aborted. Without a cursor it begins with the
   * whole job; with one, with everything that has changed since, each repo in its latest state.
   * @param job as it is now
   * @throws FeedError `FutureCursor` for a cursor ahead of the job, `ConsumerTooSlow` when what comes is not taken
   */
  async *follow(
    job: JobRow,
    cursor: number | undefined,
    signal: AbortSignal,
  ): AsyncGenerator<M, void, undefined> {
    if (cursor !== undefined && cursor > job.seq)
      throw new FeedError('FutureCursor', `The cursor is ${cursor}, but the job is at ${job.seq}`)
    const followed = this.#enter(job)
    try {
      await followed.feed.reach(job.seq, signal)
      if (!signal.aborted) yield* stream(followed.feed, cursor, signal)
    } finally {
      this.#exit(followed)
    }
  }

  #enter(job: JobRow): Followed<M> {
    const followed = this.#followed.get(job.id) ?? { feed: new JobFeed(job.id, this.#options), followers: 0 }
    followed.followers += 1
    this.#followed.set(job.id, followed)
    this.#unlisten ??= this.#notices.on((key) => this.#hint(key))
    return followed
  }

  #exit(followed: Followed<M>): void {
    followed.followers -= 1
    if (followed.followers > 0) return
    followed.feed.stop()
    this.#followed.delete(followed.feed.id)
    if (this.#followed.size > 0) return
    this.#unlisten?.()
    this.#unlisten = null
  }

  #hint(key: number): void {
    for (const { feed } of this.#followed.values()) if (feed.key === key) feed.hint()
  }
}

async function* stream<M extends Message>(
  feed: JobFeed<M>,
  cursor: number | undefined,
  signal: AbortSignal,
): AsyncGenerator<M, void, undefined> {
  const queue = cursor === undefined ? feed.joinWithSnapshot(false) : yield* catchUp(feed, cursor, signal)
  if (queue === null) return
  try {
    yield* queue.take(signal)
  } finally {
    feed.leave(queue)
  }
}

/** Everything since a cursor, up to where the feed is; then its queue. Null when the signal is aborted. */
async function* catchUp<M extends Message>(
  feed: JobFeed<M>,
  cursor: number,
  signal: AbortSignal,
): AsyncGenerator<M, FeedQueue<M> | null, undefined> {
  let after = cursor
  for (;;) {
    const queue = feed.join(after, cursor)
    if (queue) return queue
    const replay = await unlessAborted(feed.replay(after), signal)
    if (replay === undefined) return null
    if (replay.messages === null) return feed.joinWithSnapshot(true)
    for (const message of replay.messages) yield message
    after = replay.through
  }
}
