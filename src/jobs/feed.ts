import { RequestError } from '../errors.js'
import type { Tell } from '../events.js'
import { readChanges } from '../store/changes.js'
import type { Db } from '../store/database.js'
import { findJob, type JobRow } from '../store/jobs.js'
import type { JobStage } from '../verdict.js'
import { countersOf, eventsOf, type FeedEvent } from './feed-event.js'
import { FeedQueue, type Message, type QueueLimits } from './feed-queue.js'
import { pause, unlessAborted } from './feed-wait.js'
import { hasEnded } from './state.js'

/** How often the database is looked at when nobody says that something has changed, */
const LOOK_EVERY_MS = 1_000
/** and the shortest time between two looks when somebody does. */
const LOOK_PAUSE_MS = 100

/** Counters are told no more often than this. */
const COUNTERS_EVERY_MS = 1_000

/** Repos read at once: while the job goes on, and for somebody who comes back with a cursor. */
const LIVE_PAGE = 1_000
const REPLAY_PAGE = 500

/** Half of either has room for a page of the largest messages. */
const QUEUE_LIMITS: QueueLimits = { messages: 5_000, bytes: 8 * 1024 * 1024 }

/** How long subscribers get to take one page before the next of the same look, if there is a next one. */
const TAKE_MS = 200
const TAKE_LOOK_MS = 10

export interface FeedOptions<M extends Message> {
  readonly db: Db
  readonly tell: Tell
  /** Makes what is sent out of what happened: once, for all who are told. */
  readonly render: (event: FeedEvent) => M
  readonly limits?: QueueLimits
}

/** A part of what has changed since a cursor. */
export interface Replay<M> {
  /** Null: what has changed is not known any more. */
  readonly messages: readonly M[] | null
  /** Everything up to this number is in it. */
  readonly through: number
}

/**
 * One job as it goes, for all who follow it in this process. It looks at the job's rows from time to time, sooner
 * after a hint, and gives what has changed to everybody's queue. When the database cannot be asked it goes on
 * trying.
 */
export class JobFeed<M extends Message> {
  readonly id: string
  readonly #options: FeedOptions<M>
  readonly #stop = new AbortController()
  readonly #queues = new Set<FeedQueue<M>>()
  /** Queues that are to get the counters even if they have not changed. */
  readonly #owed = new Set<FeedQueue<M>>()
  readonly #replays = new Map<number, Promise<Replay<M>>>()
  #job: JobRow | null = null
  /** Everything up to this number has been given to the queues. */
  #at = 0
  #toldStage: JobStage | null = null
  #toldCounters = ''
  #toldCountersAt = Number.NEGATIVE_INFINITY
  #lookedAt = Number.NEGATIVE_INFINITY
  #hinted = false
  #inTrouble = false
  #failure: Error | null = null
  #wait = new AbortController()
  #nextLook = Promise.withResolvers<void>()
  #snapshot: { job: JobRow; at: number; message: M } | null = null

  constructor(id: string, options: FeedOptions<M>) {
    this.id = id
    this.#options = options
    void this.#run()
  }

  get key(): number | null {
    return this.#job?.key ?? null
  }

  /** Something has changed, perhaps. */
  hint(): void {
    this.#hinted = true
    this.#wait.abort()
  }

  stop(): void {
    this.#stop.abort()
    this.#wait.abort()
  }

  /**
   * Waits until the feed has come as far as this number.
   * @throws RequestError `JobNotFound` when there is no such job any more
   */
  async reach(seq: number, signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      if (this.#failure) throw this.#failure
      if (this.#job !== null && this.#at >= seq) return
      this.hint()
      await unlessAborted(this.#nextLook.promise, signal)
    }
  }

  /** The whole job, and all that comes after. With a notice first when that was not what was asked for. */
  joinWithSnapshot(outdated: boolean): FeedQueue<M> {
    const queue = new FeedQueue<M>(this.#limits)
    const job = this.#known()
    if (outdated) queue.push(this.#options.render({ kind: 'outdated', job, seq: this.#at }))
    queue.push(this.#snapshotOf(job))
    return this.#join(queue)
  }

  /** What comes after a number, for somebody who has all up to it; undefined if that is not as far as this feed. */
  join(after: number, cursor: number): FeedQueue<M> | undefined {
    if (after < this.#at) return undefined
    const queue = new FeedQueue<M>(this.#limits)
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

  /** The next part of what changed since a number; read once for all who ask for it at the same time. */
  replay(after: number): Promise<Replay<M>> {
    const asked = this.#replays.get(after)
    if (asked) return asked
    const reading = this.#readReplay(after).finally(() => this.#replays.delete(after))
    this.#replays.set(after, reading)
    return reading
  }

  get #limits(): QueueLimits {
    return this.#options.limits ?? QUEUE_LIMITS
  }

  #known(): JobRow {
    if (this.#job === null) throw new Error(`the feed of job ${this.id} has not looked yet`)
    return this.#job
  }

  #isOver(job: JobRow): boolean {
    return hasEnded(job.status) && this.#at === job.seq
  }

  #join(queue: FeedQueue<M>): FeedQueue<M> {
    const job = this.#known()
    if (this.#failure) queue.fail(this.#failure)
    else if (this.#isOver(job)) {
      queue.push(this.#options.render({ kind: 'completed', job, seq: this.#at }))
      queue.end()
    } else this.#queues.add(queue)
    return queue
  }

  #snapshotOf(job: JobRow): M {
    const at = this.#at
    if (this.#snapshot?.job !== job || this.#snapshot.at !== at)
      this.#snapshot = { job, at, message: this.#options.render({ kind: 'snapshot', job, seq: at }) }
    return this.#snapshot.message
  }

  async #run(): Promise<void> {
    const { signal } = this.#stop
    while (!signal.aborted && this.#failure === null) {
      this.#lookedAt = performance.now()
      const looked = await this.#attempt(() => this.#look())
      if (looked) {
        this.#nextLook.resolve()
        this.#nextLook = Promise.withResolvers()
      }
      await this.#pauseUntilNextLook(looked)
    }
  }

  /** Until the next look is due, or a hint comes; in any case for the shortest pause. */
  async #pauseUntilNextLook(looked: boolean): Promise<void> {
    const { signal } = this.#stop
    const sinceLook = () => performance.now() - this.#lookedAt
    this.#wait = new AbortController()
    if (signal.aborted) return
    if (!looked) await pause(LOOK_EVERY_MS, signal)
    else if (!this.#hinted) {
      const counters = this.#countersWait() ?? LOOK_EVERY_MS
      await pause(Math.min(LOOK_EVERY_MS - sinceLook(), counters), this.#wait.signal)
    }
    this.#hinted = false
    await pause(LOOK_PAUSE_MS - sinceLook(), signal)
  }

  /** @returns whether the database could be asked; if not, the operator is told once */
  async #attempt(ask: () => Promise<void>): Promise<boolean> {
    try {
      await ask()
      this.#inTrouble = false
      return true
    } catch (error) {
      if (!this.#inTrouble && !this.#stop.signal.aborted)
        this.#options.tell('database.connection-lost', {
          err: error,
          job: this.id,
          triedAgainInMs: LOOK_EVERY_MS,
        })
      this.#inTrouble = true
      return false
    }
  }

  async #look(): Promise<void> {
    const job = await findJob(this.#options.db, this.id)
    if (!job) {
      this.#fail(new RequestError('JobNotFound', `There is no job ${this.id}`))
      return
    }
    const first = this.#job === null
    this.#job = job
    if (first) {
      this.#at = job.seq
      this.#toldStage = job.stage
      this.#toldCounters = countersOf(job)
    }
    await this.#catchUp(job)
    this.#tellCounters(job)
    if (this.#isOver(job) && this.#countersWait() === null) this.#complete(job)
  }

  /** Gives everybody what has changed up to the number that the job was seen with. */
  async #catchUp(job: JobRow): Promise<void> {
    while (this.#at < job.seq && !this.#stop.signal.aborted) {
      // With nobody to tell it to, nothing needs reading.
      if (this.#queues.size === 0) {
        this.#skipTo(job)
        return
      }
      const after = this.#at
      const page = await this.#read(job, after, LIVE_PAGE)
      if (page === null) {
        this.#skipTo(job)
        this.#tell({ kind: 'outdated', job, seq: this.#at })
        for (const queue of this.#queues) this.#give(queue, this.#snapshotOf(job))
        return
      }
      for (const event of eventsOf(job, page.repos, { after, through: page.through }, this.#toldStage)) {
        this.#tell(event)
        if (event.kind === 'stage') this.#toldStage = job.stage
      }
      this.#at = page.through
      if (this.#at < job.seq) await this.#letTake()
    }
  }

  #skipTo(job: JobRow): void {
    this.#at = job.seq
    this.#toldStage = job.stage
  }

  /** The repos that changed after a number, and up to which; null when they are not all there any more. */
  async #read(job: JobRow, after: number, limit: number) {
    const { details, repos } = await readChanges(this.#options.db, {
      job: job.key,
      after,
      through: job.seq,
      limit,
    })
    if (details !== 'kept') return null
    const last = repos.length < limit ? undefined : repos.at(-1)
    return { repos, through: last?.seq ?? job.seq }
  }

  async #readReplay(after: number): Promise<Replay<M>> {
    let replay: Replay<M> | null = null
    while (replay === null) {
      this.#stop.signal.throwIfAborted()
      const read = async () => {
        // No further than the queues have come: from there on they have it.
        const job = { ...this.#known(), seq: this.#at }
        const page = await this.#read(job, after, REPLAY_PAGE)
        if (page === null) replay = { messages: null, through: job.seq }
        else {
          const events = eventsOf(job, page.repos, { after, through: page.through }, null)
          replay = { messages: events.map(this.#options.render), through: page.through }
        }
      }
      if (!(await this.#attempt(read))) await pause(LOOK_EVERY_MS, this.#stop.signal)
    }
    return replay
  }

  /** Waits for everybody to take what there is, though not for long: one who takes nothing holds nobody up. */
  async #letTake(): Promise<void> {
    const until = performance.now() + TAKE_MS
    const isFull = () => this.#queues.values().some((queue) => !queue.hasRoom)
    while (isFull() && performance.now() < until) await pause(TAKE_LOOK_MS, this.#stop.signal)
  }

  #tell(event: FeedEvent): void {
    if (this.#queues.size === 0) return
    const message = this.#options.render(event)
    for (const queue of this.#queues) this.#give(queue, message)
  }

  #give(queue: FeedQueue<M>, message: M): void {
    queue.push(message)
    if (!queue.isOpen) this.leave(queue)
  }

  /** How long the counters are still to be held back; null when there is nothing new in them. */
  #countersWait(): number | null {
    if (this.#job === null || this.#failure) return null
    if (countersOf(this.#job) === this.#toldCounters && this.#owed.size === 0) return null
    return Math.max(0, this.#toldCountersAt + COUNTERS_EVERY_MS - performance.now())
  }

  #tellCounters(job: JobRow): void {
    if (this.#countersWait() !== 0) return
    const counters = countersOf(job)
    const told = counters === this.#toldCounters ? this.#owed : this.#queues
    const message = this.#options.render({ kind: 'counters', job, seq: this.#at })
    for (const queue of [...told]) this.#give(queue, message)
    this.#owed.clear()
    this.#toldCounters = counters
    this.#toldCountersAt = performance.now()
  }

  #complete(job: JobRow): void {
    this.#tell({ kind: 'completed', job, seq: this.#at })
    for (const queue of this.#queues) queue.end()
    this.#queues.clear()
  }

  #fail(error: Error): void {
    this.#failure = error
    for (const queue of this.#queues) queue.fail(error)
    this.#queues.clear()
    this.#owed.clear()
  }
}
