import { PgBoss } from 'pg-boss'
import type { HttpClient } from '../atproto/http.js'
import type { Identities } from '../atproto/identity.js'
import type { Config } from '../config.js'
import type { Tell } from '../events.js'
import { CollectionIds } from '../store/collections.js'
import type { Store } from '../store/database.js'
import { hostIds } from '../store/hosts.js'
import type { EngineContext } from './context.js'
import { discoverRepos } from './discover.js'
import { Dispatch } from './dispatch.js'
import { driveHost } from './drive.js'
import type { Gate } from './gate.js'
import { Relays } from './relays.js'
import { resolveRepos } from './resolve.js'
import { LISTING_RETRY, REPO_RETRY, type RetryPolicy } from './retry.js'
import { Settler } from './settle.js'
import { SWEEP_EVERY_MS, sweepUntil } from './sweep.js'
import { Writer } from './writer.js'

export interface EngineOptions {
  readonly config: Config
  readonly store: Store
  readonly http: HttpClient
  readonly identities: (beforeRequest: () => Promise<void>) => Identities
  /** Sets the pace at the directory for all of this process. */
  readonly directoryGate: Gate
  readonly tell: Tell
  readonly now: () => number
  readonly random: () => number
  readonly sweepEveryMs?: number
  readonly retry?: { readonly repo?: RetryPolicy; readonly listing?: RetryPolicy }
}

/** Discoveries that one process takes part in at the same time. */
const DISCOVERIES = 4

/** Without a sweep for this long, work may be waiting unseen. */
const STALLED_MS = 30_000

/** How often pg-boss looks for dead tasks; the least it allows with its own cost in mind. */
const SUPERVISE_SECONDS = 5

/**
 * What makes work happen: discovers, resolves and drives hosts, in as many processes as are started on one
 * database. Everything it knows is in rows; stopping or killing it loses nothing but the pages in flight.
 */
export class Engine implements AsyncDisposable {
  readonly #ctx: EngineContext
  readonly #boss: PgBoss
  readonly #settler: Settler
  readonly #stop = new AbortController()
  readonly #loops: Promise<void>[]
  #sweptAt: number

  private constructor(ctx: EngineContext, boss: PgBoss, settler: Settler) {
    this.#ctx = ctx
    this.#boss = boss
    this.#settler = settler
    this.#sweptAt = ctx.now()
    const { signal } = this.#stop
    this.#loops = [
      ctx.dispatch.work('discover', DISCOVERIES, (job, stop) => discoverRepos(ctx, job, stop), signal),
      ctx.dispatch.work('resolve', 1, (directory, stop) => resolveRepos(ctx, directory, stop), signal),
      ctx.dispatch.work('drive', ctx.config.engine.hosts, (host, stop) => driveHost(ctx, host, stop), signal),
      sweepUntil(ctx, signal, () => {
        this.#sweptAt = ctx.now()
      }),
    ]
  }

  /** Starts working on every job that runs. The schema must be up to date. */
  static async start(options: EngineOptions): Promise<Engine> {
    const { config, store, tell, now } = options
    const boss = new PgBoss({
      db: { executeSql: (text, values) => store.pool.query(text, values as unknown[]) },
      schedule: false,
      superviseIntervalSeconds: SUPERVISE_SECONDS,
      monitorIntervalSeconds: SUPERVISE_SECONDS,
    })
    boss.on('error', (error: Error) => tell('dispatch.warning', { err: error }))
    await boss.start()
    const dispatch = new Dispatch(boss, tell)
    await dispatch.prepare()
    const settler = new Settler({ db: store.db, tell, now })
    // A row of its own, even where a PDS answers at the same origin: each has its driver.
    const directory = `${config.network.directoryUrl}#directory`
    const directoryHost = (await hostIds(store.db, [directory])).get(directory)!
    const ctx: EngineContext = {
      ...options,
      db: store.db,
      dispatch,
      writer: new Writer(store.pool, (steps) => settler.noticed(steps)),
      collections: new CollectionIds(store.db),
      directoryHost,
      relays: new Relays(store.db, config.network.hostRpm, now),
      sweepEveryMs: options.sweepEveryMs ?? SWEEP_EVERY_MS,
      retry: { repo: options.retry?.repo ?? REPO_RETRY, listing: options.retry?.listing ?? LISTING_RETRY },
      identitiesPaced: options.identities,
    }
    tell('engine.started', { hosts: config.engine.hosts })
    return new Engine(ctx, boss, settler)
  }

  /** Whether it has got through a sweep, and so reached its database, within the last half minute. */
  isAlive(now: number): boolean {
    return now - this.#sweptAt < STALLED_MS
  }

  /** Lets go of everything under way, at its last durable step, and returns when nothing runs any more. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#stop.abort(new Error('the engine is stopping'))
    await Promise.all(this.#loops)
    await this.#settler.flush()
    await this.#boss.stop({ graceful: false, close: false })
    this.#ctx.tell('engine.stopped')
  }
}
