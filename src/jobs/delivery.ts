import { RequestError } from '../errors.js'
import { pause } from '../pause.js'
import { type DeliveryPage, type DeliveryQuery, DeliveryReader, DetailsGone } from '../store/delivery.js'
import type { JobRow } from '../store/jobs.js'
import { isDatabaseTrouble } from '../store/trouble.js'
import type { Asker, JobsContext } from './context.js'
import { FeedError } from './feed-error.js'
import { unlessAborted } from './feed-wait.js'
import type { Places } from './places.js'
import { assertHasDetails, didOf, getJob } from './read.js'
import { assertRefreshes } from './refresh.js'
import { hasEnded } from './state.js'

/** How often a job that runs is looked at when nobody says that something has changed, */
const LOOK_EVERY_MS = 1_000
/** and the shortest time between two looks when somebody does. */
const LOOK_PAUSE_MS = 100

/** Larger pages are read faster; but there may be very many who follow, and each has two of them at hand. */
const EXPORT_PAGE_BYTES = 4 * 1024 * 1024
const FOLLOW_PAGE_BYTES = 1024 * 1024

/** An export tells a repo twice at most, or else this many: whoever moves repos on for ever makes none endless. */
const AGAIN_AT_LEAST = 1_000

/** How long one message may lie there. */
const TAKE_MS = 60_000

export interface DeliveryWish {
  readonly job: string
  readonly collection?: string | undefined
  readonly repo?: string | undefined
  /** Only what has changed since the job that this one refreshes. */
  readonly changes?: boolean | undefined
  /** The number of the last repo that is not wanted any more. */
  readonly cursor?: number | undefined
}

/** What a delivery works with: its pages take turns at a few places, so that they leave connections to others. */
export type DeliveryContext = JobsContext & { readonly places: Places }

/** What a job has come to, for one who asked. */
export class Delivery {
  readonly job: JobRow
  readonly #ctx: DeliveryContext
  readonly #asker: string
  readonly #query: Pick<DeliveryQuery, 'collection' | 'did' | 'changes'>
  readonly #cursor: number

  private constructor(
    ctx: DeliveryContext,
    asker: Asker,
    job: JobRow,
    wish: DeliveryWish,
    did: string | null,
  ) {
    this.#ctx = ctx
    this.#asker = asker.did
    this.job = job
    this.#query = { collection: wish.collection ?? null, did, changes: wish.changes ?? false }
    this.#cursor = wish.cursor ?? 0
  }

  /**
   * Opens what a job has come to.
   * @throws RequestError `JobNotFound`, `DetailsDeleted`, `InvalidRequest`; FeedError `FutureCursor`
   */
  static async open(ctx: DeliveryContext, asker: Asker, wish: DeliveryWish): Promise<Delivery> {
    const job = await getJob(ctx, asker, wish.job)
    assertHasDetails(job)
    if (wish.changes) assertRefreshes(job)
    if (wish.cursor !== undefined && wish.cursor > job.seq)
      throw new FeedError('FutureCursor', `The cursor is ${wish.cursor}, but the job is at ${job.seq}`)
    const did = wish.repo === undefined ? null : await didOf(ctx, wish.repo)
    return new Delivery(ctx, asker, job, wish, did)
  }

  /**
   * Everything that there was when the delivery was opened. A repo of it may have got a number beyond the job's since
   * then, as its account has changed: it comes at the end, whether it came before or not. The next page is read while
   * one is taken, and no further. The lines of a page hold until the next one is asked for.
   * @throws RequestError `DetailsDeleted`, `JobNotFound`; the reason of the signal
   */
  async *soFar(signal: AbortSignal): AsyncGenerator<DeliveryPage, void, undefined> {
    const reader = this.#reader(this.job.seq, EXPORT_PAGE_BYTES)
    let again = 0
    for (let next = this.#read(reader, signal); ; ) {
      const page = await next
      again += page.repos.filter(({ seq, begins }) => begins && seq > this.job.seq).length
      if (again > Math.max(this.job.completed, AGAIN_AT_LEAST)) {
        throw new Error(`repos of job ${this.job.id} move on as fast as they are handed over`)
      }
      if (page.more) next = this.#read(reader, signal)
      yield page
      if (!page.more) return
      reader.reuse(page)
    }
  }

  /**
   * Everything there is, and what comes, until the job has ended or the signal is aborted. While the database
   * cannot be asked it goes on trying. The lines of a page hold as long as in `soFar`.
   * @throws as `soFar`
   */
  async *follow(signal: AbortSignal): AsyncGenerator<DeliveryPage, void, undefined> {
    const reader = this.#reader(null, FOLLOW_PAGE_BYTES)
    const news = new News(this.#ctx, this.job.key)
    try {
      for (let next = this.#insist(reader, signal); ; ) {
        const page = await next
        if (page === undefined) return
        if (page.more) next = this.#insist(reader, signal)
        yield page
        if (page.more) {
          reader.reuse(page)
          continue
        }
        if (hasEnded(page.status)) return
        await news.wait(signal)
        next = this.#insist(reader, signal)
      }
    } finally {
      news.stop()
    }
  }

  #reader(through: number | null, pageBytes: number): DeliveryReader {
    const { key, scope } = this.job
    const query = { job: key, scope, through, pageBytes, ...this.#query }
    return new DeliveryReader(this.#ctx.db, query, this.#cursor)
  }

  /** The next page, however often it takes; undefined once the signal is aborted. */
  #insist(reader: DeliveryReader, signal: AbortSignal): Promise<DeliveryPage | undefined> {
    const page = this.#try(reader, signal)
    page.catch(() => {})
    return page
  }

  async #try(reader: DeliveryReader, signal: AbortSignal): Promise<DeliveryPage | undefined> {
    for (let isFirst = true; !signal.aborted; isFirst = false) {
      try {
        return await unlessAborted(this.#read(reader, signal), signal)
      } catch (error) {
        if (!isDatabaseTrouble(error)) throw error
        const told = { err: error, job: this.job.id, triedAgainInMs: LOOK_EVERY_MS }
        if (isFirst) this.#ctx.tell('database.connection-lost', told)
        await pause(LOOK_EVERY_MS, signal)
      }
    }
    return undefined
  }

  #read(reader: DeliveryReader, signal: AbortSignal): Promise<DeliveryPage> {
    const page = this.#ctx.places
      .run(this.#asker, () => reader.page(signal))
      .catch((error: unknown) => {
        if (!(error instanceof DetailsGone)) throw error
        throw error.details === null
          ? new RequestError('JobNotFound', 'The job is gone')
          : new RequestError('DetailsDeleted', 'The details of the job were deleted')
      })
    // Read ahead for somebody who may leave before.
    page.catch(() => {})
    return page
  }
}

/**
 * Hands messages on one by one, each when the one before has been taken.
 * @throws FeedError `ConsumerTooSlow` when that takes too long
 */
export async function* takenInTime<M>(
  messages: AsyncIterable<M>,
  takeMs = TAKE_MS,
): AsyncGenerator<M, void, undefined> {
  for await (const message of messages) {
    const gaveAt = performance.now()
    yield message
    if (performance.now() - gaveAt <= takeMs) continue
    const said = 'Records were not taken in time; come back with the seq of the last repo that was closed'
    throw new FeedError('ConsumerTooSlow', said)
  }
}

/** Word of one job. */
class News {
  readonly #unlisten: () => void
  #heard = false
  #wait = new AbortController()

  constructor({ notices }: Pick<JobsContext, 'notices'>, job: number) {
    this.#unlisten = notices.on((key) => {
      if (key !== job) return
      this.#heard = true
      this.#wait.abort()
    })
  }

  /** Waits for word, for not too short a time and for not too long. */
  async wait(signal: AbortSignal): Promise<void> {
    await pause(LOOK_PAUSE_MS, signal)
    if (!this.#heard) {
      this.#wait = new AbortController()
      await unlessAborted(pause(LOOK_EVERY_MS - LOOK_PAUSE_MS, this.#wait.signal), signal)
    }
    this.#heard = false
    this.#wait.abort()
  }

  stop(): void {
    this.#unlisten()
    this.#wait.abort()
  }
}
