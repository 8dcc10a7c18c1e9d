import { RequestError } from '../errors.js'
import type { Tell } from '../events.js'
import { pause } from '../pause.js'
import type { Db } from '../store/database.js'
import { findJob, type JobRow } from '../store/jobs.js'
import type { JobStage } from '../verdict.js'
import { countersOf, eventsOf, type FeedEvent } from './feed-event.js'
import { FeedLoop, LOOK_EVERY_MS } from './feed-loop.js'
import { FeedQueue, type Message, type QueueLimits } from './feed-queue.js'
import { type Replay, Replays, readPage } from './feed-replay.js'
import { unlessAborted } from './feed-wait.js'
import { hasEnded } from './state.js'

/** Counters are told no more often than this. */
const COUNTERS_EVERY_MS = 1_000

/** Repos read at once while the job goes on. */
const LIVE_PAGE = 1_000

/** Half of either has room for a page of the largest messages. */
const QUEUE_LIMITS: QueueLimits = { messages: 5_000, bytes: 8 * 1024 * 1024 }

/** How long subscribers get to take one page before the next of the same look, if there is a next one. */
const TAKE_MS = 1_000
const TAKE_LOOK_MS = 10

export interface FeedOptions<M extends Message> {
  readonly db: Db
  readonly tell: Tell
  /** Makes what is sent out of what happened: once, for all who are told. */
  readonly render: (event: FeedEvent) => M
  readonly limits?: QueueLimits
}

/**
 * One job as it goes, for all who follow it in this process. It looks at the job's rows from time to time, sooner
 * after a hint, and gives what has changed to everybody's queue. When the database cannot be asked it goes on
 * trying.
 */
export class JobFeed<M extends Message> {
  readonly id: string
  readonly #options: FeedOptions<M>
  readonly #loop: FeedLoop
  readonly #replays: Replays<M>
  readonly #queues = new Set<FeedQueue<M>>()
  /** Queues that are to get the counters even if they have not changed. */
  readonly #owed = new Set<FeedQueue<M>>()
  #job: JobRow | null = null
  /** Everything up to this number has been given to the queues. */
  #at = 0
  #toldStage: JobStage | null = null
  #toldCounters = ''
  #toldCountersAt = Number.NEGATIVE_INFINITY
  #gone: Error | null = null
  #snapshot: { job: JobRow; at: number; message: M } | null = null

  constructor(id: string, options: FeedOptions<M>) {
    this.id = id
    this.#options = options
    this.#loop = new FeedLoop({
      look: () => this.#look(),
      dueIn: () => this.#countersDueIn(),
      onTrouble: (err) =>
        options.tell('database.connection-lost', { err, job: id, triedAgainInMs: LOOK_EVERY_MS }),
    })
    // No further than the queues have come: from there on they have it.
    this.#replays = new Replays(options, this.#loop, () => ({ ...this.#known(), seq: this.#at }))
    void this.#loop.run()
  }

  /** The job's key, once it is known. */
  get key(): number | null {
    return this.#job?.key ?? null
  }

  /** The most messages that wait for one subscriber. */
  get mostWaiting(): number {
    return Math.max(0, ...this.#queues.values().map(({ length }) => length))
  }

  /** Something has changed, perhaps. */
  hint(): void {
    this.#loop.hint()
  }

  stop(): void {
    this.#loop.stop()
  }

  /**
   * Waits until the feed has come as far as this number.
   * @throws RequestError `JobNotFound` when there is no such job any more
   */
  async reach(seq: number, signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      if (this.#gone) throw this.#gone
      if (this.#job !== null && this.#at >= seq) return
      this.hint()
      await unlessAborted(this.#loop.next, signal)
    }
  }

  /**
   * The whole job, and all that comes after.
   * @param outdated whether to say first that this is not what was asked for
   */
  joinWithSnapshot(outdated: boolean): FeedQueue<M> {
    const queue = this.#newQueue()
    const job = this.#known()
    if (outdated) queue.push(this.#options.render({ kind: 'outdated', job, seq: this.#at }))
    queue.push(this.#snapshotOf(job))
    return this.#join(queue)
  }

  /**
   * What comes after a number, for somebody who has all up to it; undefined if that is not as far as this feed.
   * @param cursor what they had when they came
   */
  join(after: number, cursor: number): FeedQueue<M> | undefined {
    if (after < this.#at) return undefined
    const queue = this.#newQueue()
    const job = this.#known()
    if (!this.#isOver(job)) {
      this.#owed.add(queue)
      this.hint()
    } else if (cursor < this.#at) queue.push(this.#options.render({ kind: 'counters', job, seq: this.#at }))
    return this.#join(queue)
  }

  leave(queue: FeedQueue<M>): void {
    this.#queues.delete(queue)
    this.#owed.delete(queue)
  }

  /** The next part of what changed since a number, no further than this feed. */
  replay(after: number): Promise<Replay<M>> {
    return this.#replays.after(after)
  }

  #newQueue(): FeedQueue<M> {
    return new FeedQueue<M>(this.#options.limits ?? QUEUE_LIMITS)
  }

  #join(queue: FeedQueue<M>): FeedQueue<M> {
    const job = this.#known()
    if (this.#gone) queue.fail(this.#gone)
    else if (this.#isOver(job)) {
      queue.push(this.#options.render({ kind: 'completed', job, seq: this.#at }))
      queue.end()
    } else this.#queues.add(queue)
    return queue
  }

  #known(): JobRow {
    if (this.#job === null) throw new Error(`the feed of job ${this.id} has not looked yet`)
    return this.#job
  }

  #isOver(job: JobRow): boolean {
    return hasEnded(job.status) && this.#at === job.seq
  }

  #snapshotOf(job: JobRow): M {
    const at = this.#at
    if (this.#snapshot?.job !== job || this.#snapshot.at !== at)
      this.#snapshot = { job, at, message: this.#options.render({ kind: 'snapshot', job, seq: at }) }
    return this.#snapshot.message
  }

  async #look(): Promise<boolean> {
    const job = await findJob(this.#options.db, this.id)
    if (!job) {
      this.#fail(new RequestError('JobNotFound', `There is no job ${this.id}`))
      return false
    }
    if (this.#job === null) {
      this.#skipTo(job)
      this.#toldCounters = countersOf(job)
    }
    this.#job = job
    await this.#catchUp(job)
    if (this.#countersDueIn() === 0) this.#tellCounters(job)
    // Not before the last counters, which may have to wait.
    if (this.#isOver(job) && this.#countersDueIn() === null) this.#complete(job)
    return true
  }

  /** Gives everybody what has changed up to the number that the job was seen with. */
  async #catchUp(job: JobRow): Promise<void> {
    while (this.#at < job.seq && !this.#loop.stopped.aborted) {
      const after = this.#at
      // With nobody to tell it to, nothing needs reading.
      if (this.#queues.size === 0) return this.#skipTo(job)
      const page = await readPage(this.#options.db, job, after, LIVE_PAGE)
      if (page === null) return this.#startOver(job)
      const { repos, through } = page
      for (const event of eventsOf(job, repos, { after, through }, this.#toldStage)) {
        this.#tell(this.#queues, event)
        if (event.kind === 'stage') this.#toldStage = job.stage
      }
      this.#at = through
      if (through < job.seq) await this.#letTake()
    }
  }

  #skipTo(job: JobRow): void {
    this.#at = job.seq
    this.#toldStage = job.stage
  }

  /** For when what has changed is not known any more. */
  #startOver(job: JobRow): void {
    this.#skipTo(job)
    this.#tell(this.#queues, { kind: 'outdated', job, seq: this.#at })
    this.#tell(this.#queues, { kind: 'snapshot', job, seq: this.#at })
  }

  /** Waits for everybody to take what there is, though not for long: one who takes nothing holds nobody up. */
  async #letTake(): Promise<void> {
    const until = performance.now() + TAKE_MS
    const isFull = () => this.#queues.values().some((queue) => !queue.hasRoom)
    while (isFull() && performance.now() < until) await pause(TAKE_LOOK_MS, this.#loop.stopped)
  }

  /** How long the counters are still to be held back; null when there is nothing new in them. */
  #countersDueIn(): number | null {
    if (this.#job === null) return null
    if (countersOf(this.#job) === this.#toldCounters && this.#owed.size === 0) return null
    return Math.max(0, this.#toldCountersAt + COUNTERS_EVERY_MS - performance.now())
  }

  #tellCounters(job: JobRow): void {
    const counters = countersOf(job)
    const all = counters === this.#toldCounters ? this.#owed : this.#queues
    this.#tell(all, { kind: 'counters', job, seq: this.#at })
    this.#owed.clear()
    this.#toldCounters = counters
    this.#toldCountersAt = performance.now()
  }

  #tell(queues: ReadonlySet<FeedQueue<M>>, event: FeedEvent): void {
    if (queues.size === 0) return
    const message = this.#options.render(event)
    for (const queue of [...queues]) {
      queue.push(message)
      if (!queue.isOpen) this.leave(queue)
    }
  }

  #complete(job: JobRow): void {
    this.#tell(this.#queues, { kind: 'completed', job, seq: this.#at })
    for (const queue of this.#queues) queue.end()
    this.#queues.clear()
  }

  #fail(error: Error): void {
    this.#gone = error
    for (const queue of this.#queues) queue.fail(error)
    this.#queues.clear()
    this.#owed.clear()
  }
}
