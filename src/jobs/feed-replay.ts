import { pause } from '../pause.js'
import { readChanges } from '../store/changes.js'
import type { Db } from '../store/database.js'
import type { JobRow } from '../store/jobs.js'
import { eventsOf, type FeedEvent } from './feed-event.js'
import { type FeedLoop, LOOK_EVERY_MS } from './feed-loop.js'

/** Repos read at once for somebody who comes back with a cursor. */
const REPLAY_PAGE = 500

/** A part of what has changed since a number. */
export interface Replay<M> {
  /** Null: what has changed is not known any more. */
  readonly messages: readonly M[] | null
  /** Everything up to this number is in it. */
  readonly through: number
}

/**
 * The repos that changed after a number and not after the one that the job was seen with, and up to which they are
 * all there; null when some may be gone.
 */
export async function readPage(db: Db, job: JobRow, after: number, limit: number) {
  const { details, repos } = await readChanges(db, { job: job.key, after, through: job.seq, limit })
  if (details !== 'kept') return null
  const last = repos.length < limit ? undefined : repos.at(-1)
  return { repos, through: last?.seq ?? job.seq }
}

export interface ReplayOptions<M> {
  readonly db: Db
  readonly render: (event: FeedEvent) => M
}

/** Reads what has changed for those who come back: once for all who ask for the same at the same time. */
export class Replays<M> {
  readonly #options: ReplayOptions<M>
  readonly #loop: FeedLoop
  readonly #seen: () => JobRow
  readonly #reading = new Map<number, Promise<Replay<M>>>()

  /** @param seen the job, with the number up to which it is to be read */
  constructor(options: ReplayOptions<M>, loop: FeedLoop, seen: () => JobRow) {
    this.#options = options
    this.#loop = loop
    this.#seen = seen
  }

  /** The next part after a number. Tries for as long as the loop runs. */
  after(number: number): Promise<Replay<M>> {
    const asked = this.#reading.get(number)
    if (asked) return asked
    const reading = this.#read(number).finally(() => this.#reading.delete(number))
    this.#reading.set(number, reading)
    return reading
  }

  async #read(after: number): Promise<Replay<M>> {
    const { stopped } = this.#loop
    for (;;) {
      stopped.throwIfAborted()
      const replay = await this.#loop.attempt(() => this.#readOnce(after))
      if (replay) return replay
      await pause(LOOK_EVERY_MS, stopped)
    }
  }

  async #readOnce(after: number): Promise<Replay<M>> {
    const { db, render } = this.#options
    const job = this.#seen()
    const page = await readPage(db, job, after, REPLAY_PAGE)
    if (page === null) return { messages: null, through: job.seq }
    const { repos, through } = page
    return { messages: eventsOf(job, repos, { after, through }, null).map(render), through }
  }
}
