import { randomUUID } from 'node:crypto'
import type { Db } from '../store/database.js'
import {
  disengage,
  engage,
  engagementsOf,
  type HeldTask,
  removeWorker,
  reportAlive,
} from '../store/workers.js'

/** How long a process may be silent before it counts as dead. */
const SILENT_MS = 10_000

/** The job is to stop: what is under way ends at its next page, and nothing new is begun. */
export class JobStopped extends Error {
  override readonly name = 'JobStopped'
}

/** Leave to work on a job, until it is released. */
export interface Hold extends Disposable {
  /** Aborted when the job is to stop. For whatever waits, not for a request under way: its page is kept. */
  readonly signal: AbortSignal
}

interface Engagement {
  holds: number
  readonly stop: AbortController
  /** Whether the row that says so is there; false when the job did not run. */
  readonly recorded: Promise<boolean>
  isRecorded: boolean
  /** Under way while the row is being taken back. */
  leaving?: Promise<void> | undefined
}

/**
 * What this process may have in flight, job by job. Whoever works on a job takes a hold of it first; the first
 * hold is noted in the database, and no job counts as paused or cancelled before the note is gone.
 */
export class Engagements {
  readonly #db: Db
  readonly #onLeft: (job: number) => Promise<void>
  readonly #tasks: () => HeldTask[]
  readonly #silentMs: number
  readonly #worker = randomUUID()
  readonly #jobs = new Map<number, Engagement>()
  #reported = false

  /**
   * @param onLeft called when this process has nothing of a stopped job in flight any more
   * @param tasks what this process is at, for whoever takes over should it die
   * @param silentMs how long it may be silent before it counts as dead
   */
  constructor(
    db: Db,
    onLeft: (job: number) => Promise<void>,
    tasks: () => HeldTask[],
    silentMs: number = SILENT_MS,
  ) {
    this.#db = db
    this.#onLeft = onLeft
    this.#tasks = tasks
    this.#silentMs = silentMs
  }

  /** Whether this process has work of a job in flight, or had a moment ago. */
  has(job: number): boolean {
    return this.#jobs.has(job)
  }

  /** @returns null when the job does not run */
  async enter(job: number): Promise<Hold | null> {
    const engagement = this.#jobs.get(job) ?? {
      holds: 0,
      stop: new AbortController(),
      recorded: engage(this.#db, job, this.#worker),
      isRecorded: false,
    }
    const { signal } = engagement.stop
    if (signal.aborted) return null
    this.#jobs.set(job, engagement)
    engagement.holds += 1
    let recorded = false
    try {
      recorded = await engagement.recorded
      engagement.isRecorded = recorded
    } finally {
      if (!recorded && this.#jobs.get(job) === engagement) this.#jobs.delete(job)
    }
    if (!recorded) return null
    const release = () => {
      engagement.holds -= 1
      if (engagement.holds === 0 && signal.aborted) void this.#leave(job, engagement).catch(() => {})
    }
    if (!signal.aborted) return { signal, [Symbol.dispose]: release }
    release()
    return null
  }

  /** Says that this process is alive. When it had been taken for dead, it lets go of everything. */
  async report(): Promise<void> {
    const known = await reportAlive(this.#db, this.#worker, this.#silentMs, this.#tasks())
    if (this.#reported && !known) for (const [job, each] of [...this.#jobs]) await this.#stop(job, each)
    this.#reported = true
  }

  /**
   * Looks which jobs are to stop, and sets right what has gone wrong: a row that could not be taken back, one that
   * was written though nobody learnt of it.
   */
  async refresh(): Promise<void> {
    const before = [...this.#jobs].filter(([, { isRecorded }]) => isRecorded)
    const rows = await engagementsOf(this.#db, this.#worker)
    for (const [job, engagement] of before) {
      if (rows.get(job) !== true || engagement.stop.signal.aborted) await this.#stop(job, engagement)
    }
    for (const job of rows.keys()) {
      if (this.#jobs.has(job)) continue
      await disengage(this.#db, job, this.#worker)
      await this.#onLeft(job)
    }
  }

  /** Forgets this process. Nothing may be held any more. */
  async end(): Promise<void> {
    const jobs = [...this.#jobs.keys()]
    this.#jobs.clear()
    await removeWorker(this.#db, this.#worker)
    for (const job of jobs) await this.#onLeft(job)
  }

  async #stop(job: number, engagement: Engagement): Promise<void> {
    engagement.stop.abort(new JobStopped('the job is to stop'))
    if (engagement.holds === 0) await this.#leave(job, engagement).catch(() => {})
  }

  /** Once at a time: a second one could take back the row of whoever enters next. Where it fails, the next look does it. */
  #leave(job: number, engagement: Engagement): Promise<void> {
    if (this.#jobs.get(job) !== engagement) return Promise.resolve()
    engagement.leaving ??= this.#takeBack(job).finally(() => {
      engagement.leaving = undefined
    })
    return engagement.leaving
  }

  /** Until the row is gone nobody enters. */
  async #takeBack(job: number): Promise<void> {
    await disengage(this.#db, job, this.#worker)
    this.#jobs.delete(job)
    await this.#onLeft(job)
  }
}
