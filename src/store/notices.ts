import { once } from 'node:events'
import pg from 'pg'
import { pause } from '../pause.js'
import type { Pool } from './database.js'

const CHANNEL = 'aquifer_job'

/** What there is to tell goes out at once, and then no more often than this: all of a pause in one query. */
const TELL_EVERY_MS = 250

/** Notices keep no process from ending. */
const UNNOTICED = { ref: false }

/** The pauses between attempts to listen again double from the first to the longest. */
const LISTEN_PAUSE_MS = 250
const LISTEN_PAUSE_MS_MAX = 10_000

/** How long a connection may take to end in good order. */
const END_MS = 1_000

type Listener = (job: number) => void

/**
 * Word between processes that something of a job has changed. A hint and nothing more: one may be lost, and
 * whoever waits for a change looks for it from time to time anyway. Nothing here ever throws.
 *
 * Listening has a connection of its own, one for the process, made with the first listener and made again
 * whenever it breaks. Telling uses the pool.
 */
export class JobNotices implements AsyncDisposable {
  readonly #pool: Pool
  readonly #listeners = new Set<Listener>()
  readonly #closing = new AbortController()
  readonly #untold = new Set<number>()
  #listening: Promise<void> | undefined
  #telling: Promise<void> | undefined

  constructor(pool: Pool) {
    this.#pool = pool
  }

  /** Tells every process that something of these jobs has changed. To be called after the commit. */
  tell(jobs: Iterable<number>): void {
    if (this.#closing.signal.aborted) return
    for (const job of jobs) this.#untold.add(job)
    this.#telling ??= this.#tellAll().finally(() => {
      this.#telling = undefined
    })
  }

  /** Calls back for each notice, of this process too. @returns what ends that */
  on(listener: Listener): () => void {
    // One set may hold a function once only; the same listener may be given twice.
    const own: Listener = (job) => listener(job)
    this.#listeners.add(own)
    if (!this.#closing.signal.aborted) this.#listening ??= this.#listen()
    return () => this.#listeners.delete(own)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#closing.abort()
    await this.#telling
    await this.#listening
  }

  async #tellAll(): Promise<void> {
    const { signal } = this.#closing
    do {
      const jobs = [...this.#untold]
      this.#untold.clear()
      if (jobs.length === 0) return
      const text = 'select pg_notify($1, job::text) from unnest($2::int[]) as job'
      await this.#pool.query(text, [CHANNEL, jobs]).catch(() => {})
    } while (await pause(TELL_EVERY_MS, signal, UNNOTICED))
  }

  async #listen(): Promise<void> {
    const { signal } = this.#closing
    let pauseMs = LISTEN_PAUSE_MS
    const began = () => {
      pauseMs = LISTEN_PAUSE_MS
    }
    do {
      await this.#listenOnce(began, signal).catch(() => {})
      pauseMs = Math.min(2 * pauseMs, LISTEN_PAUSE_MS_MAX)
    } while (await pause(pauseMs / 2, signal, UNNOTICED))
  }

  /** Listens until the connection is lost. The pool's options say anew each time where the server is. */
  async #listenOnce(began: () => void, signal: AbortSignal): Promise<void> {
    const client = new pg.Client({ ...this.#pool.options, keepAlive: true })
    client.on('error', () => {})
    client.on('notification', ({ payload }) => this.#heard(Number(payload)))
    // Fails with the first error of the connection, and when all is to end.
    const ended = once(client, 'end', { signal })
    try {
      await Promise.race([client.connect(), ended])
      await Promise.race([client.query(`listen ${CHANNEL}`), ended])
      began()
      await ended
    } finally {
      const end = client.end().catch(() => {})
      await Promise.race([end, pause(END_MS, undefined, UNNOTICED)])
    }
  }

  #heard(job: number): void {
    if (!Number.isSafeInteger(job)) return
    for (const listener of this.#listeners) listener(job)
  }
}
