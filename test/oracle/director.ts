import { setTimeout as sleep } from 'node:timers/promises'
import { XRPCError } from '@atproto/xrpc'
import type { JobView } from '../../codegen/client/types/network/example/backfill/defs.js'
import { hasEnded } from '../../src/jobs/state.js'
import { FAILURE_CLASSES, type JobStatus } from '../../src/verdict.js'
import { Random } from '../support/simulation/random.js'
import type { Action, Deed } from './plan-actions.js'
import type { PlannedJob } from './plan-jobs.js'
import { challenge } from './rival.js'
import type { Run, RunJob } from './run.js'

const LOOK_EVERY_MS = 40

/** Nothing has been asked for so long: there is no use in waiting with the next deed, ms. */
const IDLE_MS = 150

export interface DirectorOptions {
  /** The longest that everything may take. */
  readonly patienceMs: number
  /** Whether nothing more need be done. */
  isEnough(): boolean
}

/** Has a run's deeds done, each at its time, and its jobs brought to their ends. */
export class Director {
  readonly #run: Run
  readonly #endsAt: number
  readonly #isEnough: () => boolean
  readonly #underWay: Promise<void>[] = []
  readonly #following = new AbortController()
  readonly #follows: Promise<void>[] = []

  constructor(run: Run, { patienceMs, isEnough }: DirectorOptions) {
    this.#run = run
    this.#endsAt = Date.now() + patienceMs
    this.#isEnough = isEnough
  }

  /** @returns whether all jobs have ended, and everybody has been told */
  async direct(): Promise<boolean> {
    for (const action of this.#run.plan.actions) {
      await this.#until(action)
      await this.#do(action.deed)
      if (this.#isEnough()) return false
    }
    await Promise.all(this.#underWay)
    if (this.#isEnough()) return false
    if (!(await this.#settled())) return false
    if (this.#run.plan.heals && (await this.#retry()) && !(await this.#settled())) return false
    return this.#told()
  }

  async close(): Promise<void> {
    this.#following.abort()
    await Promise.allSettled([...this.#underWay, ...this.#follows])
  }

  /** Waits until so much of the work is done, or nothing goes on. */
  async #until({ at }: Action): Promise<void> {
    const { stats } = this.#run.simulation
    const needed = this.#run.scopes.reduce((sum, { requests }) => sum + requests, 0)
    let [requests, changedAt] = [stats.totals.requests, Date.now()]
    while (requests < at * needed && Date.now() - changedAt < IDLE_MS) {
      await sleep(LOOK_EVERY_MS)
      if (stats.totals.requests !== requests) [requests, changedAt] = [stats.totals.requests, Date.now()]
    }
  }

  async #do(deed: Deed): Promise<void> {
    switch (deed.kind) {
      case 'create':
        return this.#create(this.#run.plan.jobs[deed.job]!)
      case 'pause':
        this.#underWay.push(this.#noting(`pause of job ${deed.job}`, this.#pause(deed.job, deed.forMs)))
        return
      case 'cancel':
        await accepted(() =>
          this.#job(deed.job)
            .backfill()
            .cancelJob({ job: this.#job(deed.job).id }),
        )
        return
      case 'change':
        return this.#change(deed.number)
      case 'outage':
        this.#underWay.push(this.#noting(`outage of host ${deed.host}`, this.#outage(deed.host, deed.forMs)))
        return
      case 'rival':
        this.#underWay.push(this.#noting('rival', challenge(this.#run, deed.host)))
        return
      default:
        return this.#run.crew.suffer(deed)
    }
  }

  async #create(planned: PlannedJob): Promise<void> {
    const run = this.#run
    const scope = run.scopes[planned.index]!
    // Between the two something happens.
    if (planned.repeats !== null) this.#change(10 + planned.index)
    const { world } = run.simulation
    const named = planned.accounts?.map((index) => {
      const { did, handle } = world.accountAt(index)
      return planned.byHandle.has(index) ? handle : did
    })
    const { hosts } = planned
    const hostnames = Array.isArray(hosts)
      ? hosts.map((host) => new URL(run.simulation.addresses.pds(host)).host)
      : null
    const input = {
      ...(planned.collections && { collections: [...planned.collections] }),
      ...(named && { repos: [...named, ...planned.strays] }),
      ...(hostnames && { hosts: hostnames }),
      method: planned.method,
      level: planned.level,
      clientToken: `job ${planned.index}`,
    }
    const { data } = await patiently(() => run.client(planned).createJob(input))
    const again = await patiently(() => run.client(planned).createJob(input))
    if (again.data.id !== data.id)
      run.differences.push(`job ${planned.index}: its client token gave another job`)
    const consumer = run.consumer(planned, data.id)
    run.jobs.set(planned.index, {
      id: data.id,
      createdAt: Date.parse(data.createdAt),
      scope,
      consumer,
      backfill: () => run.client(planned),
    })
    this.#follows.push(consumer.follow(this.#following.signal))
  }

  /** Has some of those repos change that may. */
  #change(number: number): void {
    const { plan, changeable, simulation } = this.#run
    const random = new Random(plan.seed, 7, number)
    for (const account of changeable) if (random.chance(0.5)) simulation.census.edit(account)
  }

  async #outage(host: number, forMs: number): Promise<void> {
    const { census } = this.#run.simulation
    const beganAt = Date.now()
    census.setDown(host, true)
    await sleep(forMs)
    census.setDown(host, false)
    this.#run.outages.push({ host, lastedMs: Date.now() - beganAt })
  }

  /** A paused job must not move, nor lose what it has. */
  async #pause(index: number, forMs: number): Promise<void> {
    const { id, scope, backfill } = this.#job(index)
    if (!(await accepted(() => backfill().pauseJob({ job: id })))) return
    if ((await this.#reached(index, (status) => status !== 'pausing')) !== 'paused') return
    const paused = (await patiently(() => backfill().getJobStatus({ job: id }))).data
    if (!scope.job.cancelled && (await accepted(() => backfill().deleteJobDetails({ job: id })))) {
      this.#run.differences.push(`job ${index}: its details could be deleted while it was paused`)
    }
    await sleep(forMs)
    const later = (await patiently(() => backfill().getJobStatus({ job: id }))).data
    if (later.status === 'paused' && JSON.stringify(later) !== JSON.stringify(paused)) {
      this.#run.differences.push(
        `job ${index}: moved while it was paused, from ${counters(paused)} to ${counters(later)}`,
      )
    }
    await accepted(() => backfill().resumeJob({ job: id }))
  }

  /** Has every job go on to its end. */
  async #settled(): Promise<boolean> {
    for (const [index, { id, backfill }] of this.#run.jobs) {
      const status = await this.#reached(index, (is) => hasEnded(is) || is === 'paused')
      if (status === 'paused') await accepted(() => backfill().resumeJob({ job: id }))
      if ((await this.#reached(index, hasEnded)) === null) return false
    }
    return true
  }

  /** Puts right what can be, and has what failed tried again. @returns whether there is anything */
  async #retry(): Promise<boolean> {
    const random = new Random(this.#run.plan.seed, 4)
    this.#run.moments.heal()
    let any = false
    for (const { id, scope, backfill } of this.#run.jobs.values()) {
      const classes = random.chance(0.5) ? { classes: [...FAILURE_CLASSES] } : {}
      if (scope.job.cancelled) continue
      any = (await accepted(() => backfill().retryJob({ job: id, ...classes }))) || any
    }
    return any
  }

  /** Waits until every consumer has been told of its job's end. */
  async #told(): Promise<boolean> {
    this.#following.abort()
    await Promise.all(this.#follows)
    const late = AbortSignal.timeout(Math.max(20_000, this.#endsAt - Date.now()))
    const jobs = [...this.#run.jobs.values()]
    await Promise.all(jobs.map(({ consumer }) => consumer.follow(late, true)))
    return true
  }

  /** Waits for a job to be so. By the database: a token for each look would take more time than the work. */
  async #reached(index: number, isSo: (status: JobStatus) => boolean): Promise<JobStatus | null> {
    const { id, backfill } = this.#job(index)
    const look = this.#run.store.db.selectFrom('job').select('status').where('id', '=', id)
    for (;;) {
      const { status } = await this.#run.pace.timed(() => look.executeTakeFirstOrThrow())
      if (isSo(status)) return status
      if (this.#isEnough()) return null
      if (Date.now() > this.#endsAt) {
        const { data } = await patiently(() => backfill().getJobStatus({ job: id }))
        const open = await openRepos(this.#run, id)
        this.#run.differences.push(`job ${index}: goes on and on: ${counters(data)}, ${open}`)
        return null
      }
      await sleep(LOOK_EVERY_MS)
    }
  }

  #job(index: number): RunJob {
    const job = this.#run.jobs.get(index)
    if (!job) throw new Error(`job ${index} has not been created yet`)
    return job
  }

  /** What goes wrong in the background must not be lost, nor end the process. */
  async #noting(what: string, doing: Promise<void>): Promise<void> {
    await doing.catch((error: unknown) => {
      this.#run.differences.push(`${what}: ${error instanceof Error ? error.stack : error}`)
    })
  }
}

/** Whether a request was granted; of what may be refused, only that the job's status does not allow it. */
async function accepted(call: () => Promise<unknown>): Promise<boolean> {
  try {
    await patiently(call)
    return true
  } catch (error) {
    if (error instanceof XRPCError && error.error === 'InvalidState') return false
    throw error
  }
}

/** The longest that nobody answers after a process was killed, ms. */
const UNANSWERED_MS = 60_000

/** Asks again for as long as nobody is there to answer. */
async function patiently<T>(call: () => Promise<T>): Promise<T> {
  const endsAt = Date.now() + UNANSWERED_MS
  for (;;) {
    try {
      return await call()
    } catch (error) {
      const isAnswered = error instanceof XRPCError && error.status >= 400 && error.status < 500
      if (isAnswered || Date.now() > endsAt) throw error
      await sleep(LOOK_EVERY_MS)
    }
  }
}

function counters(view: JobView): string {
  const { status, totalRepos, resolvedRepos, processedRepos, totalRecords } = view
  return JSON.stringify({ status, totalRepos, resolvedRepos, processedRepos, totalRecords })
}

/** What a job still waits for, in a few lines. */
async function openRepos({ store }: Run, id: string): Promise<string> {
  const { rows } = await store.pool.query(
    `select r.did, r.status, r.attempts, r.retry_at, r.failure, host.origin, host.next_request_at
     from job_repo r join job on job.key = r.job left join host on host.id = r.host
     where job.id = $1 and r.status in ('waiting', 'resolved', 'fetching') limit 5`,
    [id],
  )
  return `it is ${new Date().toISOString()}, and these wait: ${JSON.stringify(rows)}`
}
