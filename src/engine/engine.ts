import { PgBoss } from 'pg-boss'
import type { HttpClient } from '../atproto/http.js'
import type { Identities } from '../atproto/identity.js'
import { checkSpoolDirectory } from '../atproto/repo/spool.js'
import type { Config } from '../config.js'
import type { Tell } from '../events.js'
import type { Metrics } from '../metrics.js'
import type { ServiceKey } from '../service-key.js'
import { CollectionIds } from '../store/collections.js'
import type { Store } from '../store/database.js'
import type { JobNotices } from '../store/notices.js'
import type { EngineContext } from './context.js'
import { DatabaseClock } from './database-clock.js'
import { freeTasksUntil } from './dead-workers.js'
import { discoverRepos } from './discover.js'
import { QUIET_MS } from './discover-start.js'
import { Dispatch } from './dispatch.js'
import { driveHost } from './drive.js'
import { Engagements } from './engagements.js'
import { REVS_MS } from './host-revs.js'
import { HOUSE_EVERY_MS, keepHouseUntil } from './janitor.js'
import { LargeRepos } from './large-repos.js'
import { makeManifestsUntil } from './manifest.js'
import { Relays } from './relays.js'
import { resolveRepos } from './resolve.js'
import { LISTING_RETRY, REPO_RETRY, type RetryPolicy } from './retry.js'
import { Settler, settleStopping } from './settle.js'
import type { SharedGate } from './shared-gate.js'
import { PARKED_MS } from './standing.js'
import { databaseTrouble, Standstill, spoolTrouble } from './standstill.js'
import { SWEEP_EVERY_MS, sweepUntil } from './sweep.js'
import { ALIVE_EVERY_MS, JobWatch } from './watch.js'
import { Writer } from './writer.js'

/** What tests set otherwise, because the real ones take long to show; in milliseconds. */
export interface EngineTuning {
  readonly retry?: { readonly repo?: RetryPolicy; readonly listing?: RetryPolicy }
  /** Whatever waits in rows is taken up no sooner than this. */
  readonly sweepEveryMs?: number
  /** Between two looks at what has had its time. */
  readonly houseEveryMs?: number
  /** How long a host is parked for the first time. */
  readonly parkMs?: number
  /** Between two times that the engine says it is alive, and looks which of its jobs are to stop. */
  readonly aliveEveryMs?: number
  /** How long an engine may be silent before it counts as dead. */
  readonly silentMs?: number
  /** How long an engine in trouble stands still for the first time. */
  readonly haltMs?: number
  /** How long repos wait for the revs of their host. */
  readonly revsMs?: number
  /** How long the firehose of a relay may be silent before it counts as quiet. */
  readonly quietMs?: number
}

export interface EngineOptions {
  readonly config: Config
  /** Signs the manifests of jobs that have ended. */
  readonly serviceKey: ServiceKey
  readonly store: Store
  readonly http: HttpClient
  readonly identities: (beforeRequest: () => Promise<void>) => Identities
  readonly directoryGate: SharedGate
  readonly notices: JobNotices
  readonly metrics: Metrics
  readonly tell: Tell
  readonly now: () => number
  readonly random: () => number
  readonly tuning: EngineTuning
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
  readonly #unlisten: () => void
  readonly #stop = new AbortController()
  readonly #loops: Promise<void>[]
  #sweptAt: number

  private constructor(ctx: EngineContext, boss: PgBoss, settler: Settler, serviceKey: ServiceKey) {
    this.#ctx = ctx
    this.#boss = boss
    this.#settler = settler
    this.#sweptAt = ctx.now()
    const { signal } = this.#stop
    const watch = new JobWatch(ctx)
    this.#unlisten = ctx.notices.on((job) => watch.hint(job))
    this.#loops = [
      ctx.dispatch.work('discover', DISCOVERIES, (job, stop) => discoverRepos(ctx, job, stop), signal),
      ctx.dispatch.work('resolve', 1, (directory, stop) => resolveRepos(ctx, directory, stop), signal),
      ctx.dispatch.work('drive', ctx.config.engine.hosts, (host, stop) => driveHost(ctx, host, stop), signal),
      sweepUntil(ctx, signal, () => {
        this.#sweptAt = ctx.now()
      }),
      watch.until(signal),
      freeTasksUntil(ctx, signal),
      keepHouseUntil(ctx, signal),
      makeManifestsUntil({ ...ctx, serviceKey }, signal),
    ]
  }

  /** Starts working on every job that runs. The schema must be up to date. */
  static async start(options: EngineOptions): Promise<Engine> {
    const { config, store, metrics, tell, now, tuning } = options
    const boss = new PgBoss({
      db: { executeSql: (text, values) => store.pool.query(text, values as unknown[]) },
      schedule: false,
      superviseIntervalSeconds: SUPERVISE_SECONDS,
      monitorIntervalSeconds: SUPERVISE_SECONDS,
    })
    boss.on('error', (error: Error) => tell('dispatch.warning', { err: error }))
    await boss.start()
    const settling = { db: store.db, tell, now, notices: options.notices }
    const settler = new Settler(settling)
    const engagements = new Engagements(
      store.db,
      (job) => settleStopping(settling, job),
      () => dispatch.held(),
      tuning.silentMs,
    )
    const look = () => engagements.report()
    const firstLookMs = tuning.haltMs
    const standstill = new Standstill({ reason: databaseTrouble, look, tell, now, firstLookMs })
    const checkSpool = () => checkSpoolDirectory(config.engine.spoolDirectory)
    const spool = new Standstill({ reason: spoolTrouble, look: checkSpool, tell, now, firstLookMs })
    const dispatch: Dispatch = new Dispatch(boss, tell, standstill, { drive: spool })
    await dispatch.prepare()
    // Before any work: nobody enters a job for a process that nobody knows.
    await engagements.report()
    const clock = new DatabaseClock(now)
    await clock.compare(store.db)
    const ctx: EngineContext = {
      ...options,
      db: store.db,
      dispatch,
      engagements,
      standstill,
      spool,
      writer: new Writer(
        store.pool,
        (steps) => {
          settler.noticed(steps)
          metrics.stepped(steps)
          options.notices.tell(steps.map((step) => step.job))
        },
        (seconds, written) => metrics.batched(seconds, written),
      ),
      collections: new CollectionIds(store.db),
      directoryHost: options.directoryGate.host,
      clock,
      largeRepos: new LargeRepos(),
      relays: new Relays({
        db: store.db,
        limits: { startRpm: config.network.hostStartRpm, maxRpm: config.network.hostRpm },
        clock,
        now,
        random: options.random,
      }),
      sweepEveryMs: tuning.sweepEveryMs ?? SWEEP_EVERY_MS,
      houseEveryMs: tuning.houseEveryMs ?? HOUSE_EVERY_MS,
      parkMs: tuning.parkMs ?? PARKED_MS,
      quietMs: tuning.quietMs ?? QUIET_MS,
      revsMs: tuning.revsMs ?? REVS_MS,
      aliveEveryMs: tuning.aliveEveryMs ?? ALIVE_EVERY_MS,
      retry: { repo: tuning.retry?.repo ?? REPO_RETRY, listing: tuning.retry?.listing ?? LISTING_RETRY },
      identitiesPaced: options.identities,
    }
    tell('engine.started', { hosts: config.engine.hosts })
    return new Engine(ctx, boss, settler, options.serviceKey)
  }

  /** Why it stands still, for people; null while it does not. */
  get halted(): string | null {
    return this.#ctx.standstill.why ?? this.#ctx.spool.why
  }

  /** Hosts that this process is driving. */
  get hostsDriven(): number {
    return this.#ctx.dispatch.held().filter(({ kind }) => kind === 'drive').length
  }

  /** Whether it has got through a sweep, and so reached its database, within the last half minute. */
  isAlive(now: number): boolean {
    return now - this.#sweptAt < STALLED_MS
  }

  /** Lets go of everything under way, at its last durable step, and returns when nothing runs any more. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#stop.abort(new Error('the engine is stopping'))
    this.#unlisten()
    await Promise.all(this.#loops)
    await this.#settler.flush()
    await this.#ctx.engagements.end().catch((error: unknown) => {
      this.#ctx.tell('engine.sweep-failed', { err: error })
    })
    await this.#boss.stop({ graceful: false, close: false })
    this.#ctx.tell('engine.stopped')
  }
}
