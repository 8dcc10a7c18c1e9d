import { Counter, Gauge, Histogram, Registry } from 'prom-client'
import type { Exchanged } from './atproto/http.js'
import { type EventName, LOUD_EVENTS } from './events.js'
import { hostClassOf, type NamedHosts } from './metrics/host-class.js'
import { processMetrics } from './metrics/process.js'
import type { Load } from './store/load.js'
import type { RepoStep } from './store/steps.js'
import { FAILURE_CLASSES } from './verdict.js'
import { VERSION } from './version.js'

/** The streams that somebody may follow. */
export const STREAMS = ['subscribeJob', 'subscribeRecords'] as const
export type StreamName = (typeof STREAMS)[number]

/** What a process knows of itself at the moment of a scrape. */
export interface Moment {
  /** Null where the database did not say in time. */
  readonly load: Load | null
  /** Null where the process does no work. */
  readonly engine: { readonly isHalted: boolean; readonly hostsDriven: number } | null
}

const REQUEST_BUCKETS = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10, 60]
const BATCH_BUCKETS = [0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 15]

/** A message that was given to whoever follows a stream, and not taken yet. */
interface Follower {
  givenAt: number | null
}

/**
 * What is counted while a service runs, in a registry of its own. The values of each label come from closed lists:
 * no host, account or collection is ever one. Counters are of this process since it started; what is read from the
 * database is the same in every process on it.
 */
export class Metrics {
  readonly #named: NamedHosts
  readonly #registry = new Registry()
  readonly #followers: Record<StreamName, Set<Follower>> = {
    subscribeJob: new Set(),
    subscribeRecords: new Set(),
  }

  readonly #requestsOut = this.#counter(
    'aquifer_outbound_requests_total',
    'Requests to other hosts that came to an end, redirects by themselves, by what became of them.',
    ['host_class', 'outcome'],
  )
  readonly #bytesIn = this.#counter(
    'aquifer_outbound_received_bytes_total',
    'Bytes of bodies received from other hosts, as they came over the wire.',
    ['host_class'],
  )
  readonly #events = this.#counter('aquifer_events_total', 'Lines of the log by event, printed or not.', [
    'event',
  ])
  readonly #completed = this.#counter(
    'aquifer_repos_completed_total',
    'Repos of jobs that were completed, by how they were read and how far that is proven.',
    ['method', 'level'],
  )
  readonly #unavailable = this.#counter(
    'aquifer_repos_unavailable_total',
    'Repos of jobs whose account is not to be had.',
    ['reason'],
  )
  readonly #failed = this.#counter('aquifer_repos_failed_total', 'Repos of jobs that were given up.', [
    'class',
  ])
  readonly #retries = this.#counter(
    'aquifer_repo_retries_total',
    'Failures of repos after which there will be another try.',
    ['class'],
  )
  readonly #records = this.#counter(
    'aquifer_records_written_total',
    'Records in steps that became durable; one that is read again counts again.',
    [],
  )
  readonly #batches = this.#histogram(
    'aquifer_write_batch_duration_seconds',
    'Time for which a batch of steps was under way to the database.',
    ['outcome'],
    BATCH_BUCKETS,
  )
  readonly #requestsIn = this.#counter(
    'aquifer_http_requests_total',
    'Requests answered, streams excepted.',
    ['method', 'status'],
  )
  readonly #requestTime = this.#histogram(
    'aquifer_http_request_duration_seconds',
    'Time from a request to the end of its answer.',
    ['method'],
    REQUEST_BUCKETS,
  )
  readonly #messages = this.#counter(
    'aquifer_stream_messages_total',
    'Messages taken by followers of streams.',
    ['stream'],
  )
  readonly #tooSlow = this.#counter(
    'aquifer_stream_too_slow_total',
    'Followers of streams that were let go because they did not keep up.',
    ['stream'],
  )
  readonly #subscribers = this.#gauge('aquifer_stream_subscribers', 'Followers of streams.', ['stream'])
  readonly #lag = this.#gauge(
    'aquifer_stream_lag_seconds',
    'The longest time for which a message has been waiting for its follower to take it.',
    ['stream'],
  )
  readonly #waiting = this.#gauge(
    'aquifer_stream_waiting_messages',
    'The most messages that wait in memory for one follower of a job.',
    [],
  )
  readonly #databaseUp = this.#gauge(
    'aquifer_database_up',
    'Whether the database answered this scrape in time; if not, what is read from it is left out.',
    [],
  )
  readonly #jobs = this.#gauge('aquifer_jobs', 'Jobs that have not ended, in the database.', ['status'])
  readonly #queue = this.#gauge(
    'aquifer_queue_repos',
    'Repos without an outcome in running jobs, in the database: before and after their PDS is known.',
    ['status'],
  )
  readonly #hosts = this.#gauge(
    'aquifer_hosts',
    'Hosts that are left alone, in the database: at their own wish, or because they do not answer.',
    ['state'],
  )
  readonly #halted = this.#gauge(
    'aquifer_engine_halted',
    'Whether the engine stands still because of its database, or of the files of whole repos.',
    [],
  )
  readonly #driven = this.#gauge('aquifer_engine_hosts_driven', 'Hosts that this process is driving.', [])

  #mostWaiting: () => number = () => 0

  constructor(named: NamedHosts) {
    this.#named = named
    // What takes time to be measured is measured from now on.
    processMetrics()
    this.#gauge('aquifer_build_info', 'The version that runs.', ['version']).set({ version: VERSION }, 1)
    // What appears with its first count has not increased, to whoever watches it.
    for (const event of LOUD_EVENTS) this.#events.inc({ event }, 0)
    for (const failure of FAILURE_CLASSES) this.#failed.inc({ class: failure }, 0)
    for (const stream of STREAMS) this.#tooSlow.inc({ stream }, 0)
  }

  /** A request to another host has come to its end. */
  exchanged({ url, outcome }: Exchanged): void {
    this.#requestsOut.inc({ host_class: hostClassOf(url, this.#named), outcome })
  }

  /** A part of a body has come in. */
  received(url: URL, bytes: number): void {
    this.#bytesIn.inc({ host_class: hostClassOf(url, this.#named) }, bytes)
  }

  /** Something happened that the operator is told. */
  happened(event: EventName): void {
    this.#events.inc({ event })
  }

  /** Steps of repos have become durable. */
  stepped(steps: readonly RepoStep[]): void {
    let records = 0
    for (const { status, method, level, reason, failure, rows } of steps) {
      records += rows.length
      if (status === 'completed') this.#completed.inc({ method: method ?? 'unknown', level })
      else if (status === 'unavailable') this.#unavailable.inc({ reason: reason ?? 'unknown' })
      else if (failure !== undefined)
        (status === 'failed' ? this.#failed : this.#retries).inc({ class: failure })
    }
    this.#records.inc(records)
  }

  /** Repos were given up together with their host. */
  gaveUp(repos: number): void {
    this.#failed.inc({ class: 'host-unavailable' }, repos)
  }

  /** A batch of steps has come back from the database. */
  batched(seconds: number, written: boolean): void {
    this.#batches.observe({ outcome: written ? 'written' : 'failed' }, seconds)
  }

  /** A request to us has been answered. */
  answered(method: string, status: number, seconds: number): void {
    this.#requestsIn.inc({ method, status })
    this.#requestTime.observe({ method }, seconds)
  }

  /** Hands on what goes to one follower of a stream, and sees how soon it is taken. */
  async *followed<M>(
    stream: StreamName,
    messages: AsyncIterable<M>,
    isTooSlow: (error: unknown) => boolean,
  ): AsyncGenerator<M, void, undefined> {
    const follower: Follower = { givenAt: null }
    this.#followers[stream].add(follower)
    try {
      for await (const message of messages) {
        follower.givenAt = performance.now()
        yield message
        follower.givenAt = null
        this.#messages.inc({ stream })
      }
    } catch (error) {
      if (isTooSlow(error)) this.#tooSlow.inc({ stream })
      throw error
    } finally {
      this.#followers[stream].delete(follower)
    }
  }

  /** Has the queues of followers looked at when somebody asks. */
  watchQueues(mostWaiting: () => number): void {
    this.#mostWaiting = mostWaiting
  }

  /** Everything, as Prometheus reads it. */
  async text({ load, engine }: Moment): Promise<string> {
    this.#showStreams()
    this.#showLoad(load)
    for (const gauge of [this.#halted, this.#driven]) gauge.remove()
    if (engine) {
      this.#halted.set(engine.isHalted ? 1 : 0)
      this.#driven.set(engine.hostsDriven)
    }
    return Registry.merge([this.#registry, processMetrics()]).metrics()
  }

  /** Of what `text` gives. */
  get contentType(): string {
    return this.#registry.contentType
  }

  #showStreams(): void {
    this.#waiting.set(this.#mostWaiting())
    const now = performance.now()
    for (const stream of STREAMS) {
      const followers = [...this.#followers[stream]]
      const lags = followers.map(({ givenAt }) => (givenAt === null ? 0 : (now - givenAt) / 1_000))
      this.#subscribers.set({ stream }, followers.length)
      this.#lag.set({ stream }, Math.max(0, ...lags))
    }
  }

  #showLoad(load: Load | null): void {
    this.#databaseUp.set(load === null ? 0 : 1)
    for (const gauge of [this.#jobs, this.#queue, this.#hosts]) gauge.reset()
    if (load === null) return
    for (const status of ['running', 'pausing', 'paused', 'cancelling'] as const)
      this.#jobs.set({ status }, load[status])
    for (const status of ['waiting', 'resolved'] as const) this.#queue.set({ status }, load[status])
    for (const state of ['cooling', 'parked'] as const) this.#hosts.set({ state }, load[state])
  }

  #counter<L extends string>(name: string, help: string, labelNames: L[]): Counter<L> {
    return new Counter({ name, help, labelNames, registers: [this.#registry] })
  }

  #gauge<L extends string>(name: string, help: string, labelNames: L[]): Gauge<L> {
    return new Gauge({ name, help, labelNames, registers: [this.#registry] })
  }

  #histogram<L extends string>(name: string, help: string, labelNames: L[], buckets: number[]): Histogram<L> {
    return new Histogram({ name, help, labelNames, buckets, registers: [this.#registry] })
  }
}
