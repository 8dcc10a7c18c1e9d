import { RateLimited } from '../atproto/outcome.js'
import type { Query } from '../atproto/pds.js'
import { claimHost, deferHost, type HostClaim } from '../store/hosts.js'
import { type RunningJob, runningJobs } from '../store/jobs.js'
import { type DueRepo, dueRepos, hasRecords } from '../store/repos.js'
import type { EngineContext } from './context.js'
import { type Hold, JobStopped } from './engagements.js'
import { fetchRepo } from './fetch.js'
import { Gate } from './gate.js'
import { SHORT_PAUSE_MS, TURN_MS } from './limits.js'
import { ClaimLost } from './repo-state.js'
import { hostQuery } from './session.js'
import { Turns } from './turns.js'

/**
 * Driving a host: taking its due repos, a few at a time, each in its turn at the host's gate, until none is
 * due, the host asks for a pause, or the time is up. Whoever drives raises the host's epoch first, so a driver
 * that was taken for dead cannot write any more.
 */

/** Due repos read at once, for each job. */
const READ_AHEAD = 100

/** How soon the repos of a job that begins meanwhile get their turns, ms. */
const LOOK_EVERY_MS = 1_000

/** Those under way wait for a pause of up to this long, so often in a row. Hosts that say no time mean a minute. */
const WAITED_OUT_MS = 90_000
const REFUSALS_MAX = 5

/** @returns when there is nothing more to do on this host for now */
export async function driveHost(ctx: EngineContext, hostId: number, signal: AbortSignal): Promise<void> {
  const claim = await claimHost(ctx.db, hostId)
  if (!claim || claim.nextRequestAt.getTime() - ctx.now() > SHORT_PAUSE_MS) return
  ctx.tell('host.claimed', { host: claim.origin, epoch: claim.epoch })
  const gate = new Gate(ctx.config.network.hostRpm, claim.nextRequestAt.getTime(), ctx.now)
  const driver = new Driver(ctx, claim, gate, signal)
  try {
    await driver.run()
    if (driver.outOfTime) await ctx.dispatch.wake('drive', [hostId])
  } finally {
    await deferHost(ctx.db, claim, new Date(gate.nextAt))
    ctx.tell('host.released', { host: claim.origin, repos: driver.repos })
  }
}

class Driver {
  repos = 0
  readonly #ctx: EngineContext
  readonly #claim: HostClaim
  readonly #gate: Gate
  /** Aborted when the driver must let go at once: shutdown, or the host is driven by somebody else. */
  readonly #stop = new AbortController()
  readonly #signal: AbortSignal
  readonly #endsAt: number
  readonly #underWay = new Map<number, Promise<void>>()
  /** Repos begun in this turn, for whichever job: records of them may be stored by now. */
  readonly #begun = new Set<number>()
  #paused = false
  #error: unknown = null

  constructor(ctx: EngineContext, claim: HostClaim, gate: Gate, signal: AbortSignal) {
    this.#ctx = ctx
    this.#claim = claim
    this.#gate = gate
    this.#signal = AbortSignal.any([signal, this.#stop.signal])
    this.#endsAt = ctx.now() + TURN_MS
  }

  async run(): Promise<void> {
    try {
      // Until a look at all jobs finds nothing that can be begun.
      while (await this.#round()) {
        // What was under way may have become due again, or be done: seen only when it has ended.
        await Promise.all(this.#underWay.values())
        if (!this.#goesOn()) break
      }
    } catch (error) {
      this.#error ??= error
      this.#stop.abort()
    }
    // Whatever happened: whoever drives the host next must not meet one of these.
    await Promise.all(this.#underWay.values())
    if (this.#error !== null) throw this.#error
  }

  get outOfTime(): boolean {
    return this.#ctx.now() >= this.#endsAt
  }

  #goesOn(): boolean {
    return !this.#signal.aborted && !this.#paused && this.#error === null && !this.outOfTime
  }

  /** Begins every repo that is due, in fair turns. @returns whether there was one */
  async #round(): Promise<boolean> {
    const turns = new Turns<DueQueue>()
    const queues = new Map<number, DueQueue>()
    const idle = new Set<DueQueue>()
    let lookedAt = Number.NEGATIVE_INFINITY
    let begun = false
    for (;;) {
      if (this.#ctx.now() - lookedAt >= LOOK_EVERY_MS) {
        lookedAt = this.#ctx.now()
        for (const job of await runningJobs(this.#ctx.db)) {
          const queue = queues.get(job.key) ?? new DueQueue(this.#ctx, this.#claim.host, job)
          if (!queues.has(job.key) || idle.delete(queue)) turns.add(job.caller, queue)
          queues.set(job.key, queue)
        }
      }
      const queue = turns.next()
      if (!queue) return begun
      const repo = await queue.next()
      const hold = repo ? await this.#ctx.engagements.enter(queue.job.key) : null
      if (!repo || !hold) {
        turns.remove(queue)
        idle.add(queue)
        continue
      }
      if (!(await this.#begin(queue.job, repo, hold))) return false
      begun = true
    }
  }

  /** Begins one repo when there is room for it. @returns false when the driver is to end */
  async #begin(job: RunningJob, repo: DueRepo, hold: Hold): Promise<boolean> {
    // Two jobs may want the same repo: one after the other.
    await this.#underWay.get(repo.repo)
    while (this.#underWay.size >= this.#ctx.config.network.hostConcurrency) {
      await Promise.race(this.#underWay.values())
    }
    if (!this.#goesOn()) {
      hold[Symbol.dispose]()
      return false
    }
    this.repos += 1
    const done = this.#fetch(job, repo, hold.signal).finally(() => {
      this.#underWay.delete(repo.repo)
      hold[Symbol.dispose]()
    })
    this.#underWay.set(repo.repo, done)
    return true
  }

  /** Never rejects: nobody may be listening when it ends. */
  async #fetch(job: RunningJob, repo: DueRepo, hold: AbortSignal): Promise<void> {
    const signals = { stop: this.#signal, hold }
    const query = this.#patient(hostQuery(this.#ctx, this.#claim.origin, this.#gate, signals))
    const goesOn = () => !this.#signal.aborted && !hold.aborted && this.#error === null && !this.outOfTime
    const turnAtDirectory = () => this.#ctx.directoryGate.pass(AbortSignal.any([this.#signal, hold]))
    try {
      const stored = repo.stored || (await this.#storedMeanwhile(repo))
      const assignment = { claim: this.#claim, job, repo: { ...repo, stored }, query, goesOn }
      await fetchRepo(this.#ctx, { ...assignment, turnAtDirectory })
    } catch (error) {
      // A pause too long to be waited out, or a job that is to stop: the repo is due as it was.
      if (this.#signal.aborted || error instanceof RateLimited || error instanceof JobStopped) return
      if (error instanceof ClaimLost) this.#letGo()
      else this.#error ??= error
    }
  }

  /**
   * Asks again what was refused for the time being: what a reading has in hand would be lost with it, and a host
   * that grants few requests at a time would never see its end.
   */
  #patient(query: Query): Query {
    return async (...request) => {
      for (let refusals = 1; ; refusals += 1) {
        try {
          return await query(...request)
        } catch (error) {
          if (!(error instanceof RateLimited)) throw error
          await this.#pause(error.until)
          const wait = error.until.getTime() - this.#ctx.now()
          if (wait > WAITED_OUT_MS || refusals === REFUSALS_MAX) throw error
        }
      }
    }
  }

  /** Read ahead, the repo may have been looked at before another job had it fetched. */
  async #storedMeanwhile({ repo }: DueRepo): Promise<boolean> {
    if (this.#begun.has(repo)) return hasRecords(this.#ctx.db, repo)
    this.#begun.add(repo)
    return false
  }

  async #pause(until: Date): Promise<void> {
    this.#gate.holdUntil(until.getTime())
    if (until.getTime() - this.#ctx.now() > SHORT_PAUSE_MS) this.#paused = true
    this.#ctx.tell('host.cooling', { host: this.#claim.origin, until })
    await deferHost(this.#ctx.db, this.#claim, until)
  }

  #letGo(): void {
    if (!this.#stop.signal.aborted) this.#ctx.tell('host.claim-lost', { host: this.#claim.origin })
    this.#stop.abort()
  }
}

/** A job's due repos on a host in the order they were queued, read ahead in small portions. */
class DueQueue {
  readonly #ctx: EngineContext
  readonly #host: number
  #ready: DueRepo[] = []
  #after = 0

  constructor(
    ctx: EngineContext,
    host: number,
    readonly job: RunningJob,
  ) {
    this.#ctx = ctx
    this.#host = host
  }

  /** @returns undefined when none is left for now; of those that come later, the ones queued behind it are seen */
  async next(): Promise<DueRepo | undefined> {
    if (this.#ready.length === 0) {
      const due = { host: this.#host, job: this.job.key, after: this.#after, limit: READ_AHEAD }
      this.#ready = await dueRepos(this.#ctx.db, due)
      this.#after = this.#ready.at(-1)?.id ?? this.#after
    }
    return this.#ready.shift()
  }
}
