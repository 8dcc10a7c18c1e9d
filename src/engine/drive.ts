import { setTimeout as sleep } from 'node:timers/promises'
import { RateLimited } from '../atproto/outcome.js'
import { AnySignal } from '../signals.js'
import { claimHost, deferHost, type HostClaim, hostHasWork, saveHost } from '../store/hosts.js'
import { jobsWanting, type RunningJob } from '../store/jobs.js'
import { type DueRepo, dueRepos, hasRecords } from '../store/repos.js'
import type { SavedBudget } from './budget.js'
import type { EngineContext } from './context.js'
import { listingsOf, readHostPage } from './discover-host.js'
import { JobStopped } from './engagements.js'
import { fetchRepo } from './fetch.js'
import { HostGate } from './host-gate.js'
import { SHORT_PAUSE_MS, TURN_MS } from './limits.js'
import { ClaimLost } from './repo-state.js'
import { hostQuery, PROBE, probeHost } from './session.js'
import { Turns } from './turns.js'

/**
 * Driving a host: taking its due repos, a few at a time, each in its turn at the host's gate, until none is
 * due, the host asks for a pause or is parked, or the time is up. Whoever drives raises the host's epoch first, so
 * a driver that was taken for dead cannot write any more.
 */

/** Due repos read at once, for each job. */
const READ_AHEAD = 100

/** How soon the repos of a job that begins meanwhile get their turns, ms; and those that are due again. */
const LOOK_EVERY_MS = 1_000

/** @returns when there is nothing more to do on this host for now */
export async function driveHost(ctx: EngineContext, hostId: number, signal: AbortSignal): Promise<void> {
  await ctx.clock.compare(ctx.db)
  const claim = await claimHost(ctx.db, hostId)
  if (!claim) return
  const wait = ctx.clock.toLocal(claim.nextRequestAt) - ctx.now()
  if (wait > (claim.standing.parked ? 0 : SHORT_PAUSE_MS)) return
  ctx.tell('host.claimed', { host: claim.origin, epoch: claim.epoch })
  const driver = new Driver(ctx, claim, signal)
  try {
    if (await driver.probe()) await driver.run()
    if (driver.outOfTime) await ctx.dispatch.wake('drive', [hostId])
  } finally {
    await driver.keep()
    ctx.tell('host.released', { host: claim.origin, repos: driver.repos })
  }
}

class Driver {
  repos = 0
  readonly #ctx: EngineContext
  readonly #claim: HostClaim
  readonly #gate: HostGate
  /** Aborted when the driver must let go at once: shutdown, or the host is driven by somebody else. */
  readonly #stop = new AbortController()
  readonly #over: AnySignal
  readonly #endsAt: number
  readonly #underWay = new Map<number, Promise<void>>()
  /** Repos begun in this turn, for whichever job: records of them may be stored by now. */
  readonly #begun = new Set<number>()
  readonly #turns = new Turns<DueQueue>()
  readonly #queues = new Map<number, DueQueue>()
  /** Of these, the ones that have nothing to begin for now. */
  readonly #idle = new Set<DueQueue>()
  #lookedAt = Number.NEGATIVE_INFINITY
  #error: unknown = null

  constructor(ctx: EngineContext, claim: HostClaim, signal: AbortSignal) {
    const { hostStartRpm: startRpm, hostRpm: maxRpm } = ctx.config.network
    this.#ctx = ctx
    this.#claim = claim
    this.#over = new AnySignal(signal, this.#stop.signal)
    this.#endsAt = ctx.now() + TURN_MS
    this.#gate = new HostGate({
      limits: { startRpm, maxRpm },
      standing: claim.standing,
      budget: claim.budget as SavedBudget | null,
      notBefore: ctx.clock.toLocal(claim.nextRequestAt),
      now: ctx.now,
      random: ctx.random,
      save: (why) => this.#save(why),
    })
  }

  get #signal(): AbortSignal {
    return this.#over.signal
  }

  get outOfTime(): boolean {
    return this.#ctx.now() >= this.#endsAt
  }

  /** Asks a parked host whether it is there again, if anybody wants it. @returns whether to go on */
  async probe(): Promise<boolean> {
    if (!this.#gate.parked) return true
    if (!(await hostHasWork(this.#ctx.db, this.#claim.host))) return false
    return probeHost(this.#ctx, this.#claim.origin, this.#gate.probe(PROBE), this.#signal)
  }

  async run(): Promise<void> {
    try {
      for (let more = true; more && this.#goesOn(); ) {
        more = await this.#beginAll()
        // A pause that is over by then ends no turn.
        await Promise.all(this.#underWay.values())
      }
    } catch (error) {
      this.#error ??= error
      this.#stop.abort()
    }
    // Whatever happened: whoever drives the host next must not meet one of these.
    await Promise.all(this.#underWay.values())
    if (this.#error !== null) throw this.#error
  }

  /** Ends the turn: keeps what was learned of the host. */
  async keep(): Promise<void> {
    this.#over[Symbol.dispose]()
    const { db, clock, now } = this.#ctx
    const { tried, nextAt } = this.#gate
    if (tried) await this.#saveAll()
    // A moment that is over holds nobody back: of a host with nothing to do there is nothing to keep.
    else if (nextAt > now()) await deferHost(db, this.#claim, clock.toDatabase(nextAt))
  }

  #goesOn(): boolean {
    return !this.#signal.aborted && !this.#rests && this.#error === null && !this.outOfTime
  }

  /** The host is left alone for longer than is worth waiting: nothing new is begun. */
  get #rests(): boolean {
    return this.#gate.parked || this.#gate.heldUntil - this.#ctx.now() > SHORT_PAUSE_MS
  }

  /** Begins every repo that is due, in fair turns. @returns whether there may be more when it has to stop */
  async #beginAll(): Promise<boolean> {
    // Whether the last look at everything was made with nothing under way: nothing can become due unseen.
    let sawAll = false
    while (this.#goesOn()) {
      if (this.#ctx.now() - this.#lookedAt >= LOOK_EVERY_MS && (await this.#look())) sawAll = false
      const queue = this.#turns.next()
      if (queue) {
        if (await this.#beginNext(queue)) sawAll = false
      } else if (this.#underWay.size > 0) {
        await this.#untilNext()
      } else {
        if (sawAll) return false
        sawAll = !(await this.#look())
      }
    }
    return true
  }

  /**
   * Looks for jobs that begin meanwhile, for repos that are due again, and for listings.
   * @returns whether it began something
   */
  async #look(): Promise<boolean> {
    this.#lookedAt = this.#ctx.now()
    const jobs = await jobsWanting(this.#ctx.db, this.#claim.host)
    for (const job of jobs) {
      const queue = this.#queues.get(job.key) ?? new DueQueue(this.#ctx, this.#claim.host, job)
      if (!this.#queues.has(job.key) || this.#idle.delete(queue)) {
        queue.startOver()
        this.#turns.add(job.caller, queue)
      }
      this.#queues.set(job.key, queue)
    }
    return this.#beginListings(jobs)
  }

  /**
   * Begins the next page of each listing that is due. Beside repos a listing goes on by a page with each look, which
   * is far quicker than repos can be fetched, and leaves them the host. @returns whether there was one
   */
  async #beginListings(jobs: readonly RunningJob[]): Promise<boolean> {
    let begun = false
    for (const { job, listing } of await listingsOf(this.#ctx, this.#claim.host, jobs)) {
      // Among those under way; no repo has a number below 1.
      const place = -job.key
      const hold = this.#underWay.has(place) ? null : await this.#ctx.engagements.enter(job.key)
      if (!hold) continue
      begun = true
      const query = hostQuery(this.#ctx, this.#claim.origin, this.#gate, {
        stop: this.#signal,
        hold: hold.signal,
      })
      const done = this.#attempt(() => readHostPage(this.#ctx, job, listing, query)).finally(() => {
        this.#underWay.delete(place)
        hold[Symbol.dispose]()
      })
      this.#underWay.set(place, done)
    }
    return begun
  }

  /** Until one of those under way has ended, or there is to be another look. */
  async #untilNext(): Promise<void> {
    const over = new AbortController()
    using any = new AnySignal(over.signal, this.#signal)
    const looking = sleep(LOOK_EVERY_MS, undefined, { signal: any.signal }).catch(() => {})
    await Promise.race([...this.#underWay.values(), looking])
    over.abort()
  }

  /** Begins a queue's next repo when there is room for it. @returns whether there was one */
  async #beginNext(queue: DueQueue): Promise<boolean> {
    const repo = await queue.next(this.#underWay)
    const hold = repo ? await this.#ctx.engagements.enter(queue.job.key) : null
    if (!repo || !hold) {
      this.#turns.remove(queue)
      this.#idle.add(queue)
      return false
    }
    while (this.#underWay.size >= this.#ctx.config.network.hostConcurrency) {
      await Promise.race(this.#underWay.values())
    }
    if (!this.#goesOn()) {
      hold[Symbol.dispose]()
      return true
    }
    this.repos += 1
    const done = this.#fetch(queue.job, repo, hold.signal).finally(() => {
      this.#underWay.delete(repo.repo)
      hold[Symbol.dispose]()
    })
    this.#underWay.set(repo.repo, done)
    return true
  }

  async #fetch(job: RunningJob, repo: DueRepo, hold: AbortSignal): Promise<void> {
    const query = hostQuery(this.#ctx, this.#claim.origin, this.#gate, { stop: this.#signal, hold })
    const goesOn = () => !this.#signal.aborted && !hold.aborted && this.#error === null && !this.outOfTime
    const turnAtDirectory = async () => {
      using waiting = new AnySignal(this.#signal, hold)
      await this.#ctx.directoryGate.pass(waiting.signal)
    }
    await this.#attempt(async () => {
      const stored = repo.stored || (await this.#storedMeanwhile(repo))
      const assignment = { claim: this.#claim, job, repo: { ...repo, stored }, query, goesOn }
      await fetchRepo(this.#ctx, { ...assignment, turnAtDirectory })
    })
  }

  /** Never rejects: nobody may be listening when it ends. */
  async #attempt(work: () => Promise<void>): Promise<void> {
    try {
      await work()
    } catch (error) {
      // A pause too long to be waited out, a parked host, or a job that is to stop: what was wanted is due as it was.
      if (this.#signal.aborted || error instanceof JobStopped) return
      if (error instanceof RateLimited) {
        // Also where only one of the host's buckets is empty: what needs it would be begun over and over.
        if (!this.#gate.parked) this.#gate.holdUntil(error.until.getTime())
        return
      }
      if (error instanceof ClaimLost) this.#letGo()
      else this.#error ??= error
    }
  }

  /** Read ahead, the repo may have been looked at before another job had it fetched. */
  async #storedMeanwhile({ repo }: DueRepo): Promise<boolean> {
    if (this.#begun.has(repo)) return hasRecords(this.#ctx.db, repo)
    this.#begun.add(repo)
    return false
  }

  async #save(why: 'cooling' | 'parked' | 'answering'): Promise<void> {
    const host = this.#claim.origin
    if (why !== 'answering') this.#ctx.tell(`host.${why}`, { host, until: new Date(this.#gate.heldUntil) })
    await this.#saveAll()
  }

  async #saveAll(): Promise<void> {
    const { db, clock } = this.#ctx
    const { known, unanswered, nextAt } = this.#gate
    const state = { ...known, unanswered, nextRequestAt: clock.toDatabase(nextAt) }
    await saveHost(db, this.#claim, state, clock.now())
  }

  #letGo(): void {
    if (!this.#stop.signal.aborted) this.#ctx.tell('host.claim-lost', { host: this.#claim.origin })
    this.#stop.abort()
  }
}

/**
 * A job's due repos on a host in the order they were queued, read ahead in small portions. A repo that is under
 * way, for whichever job, is passed over until the queue starts over.
 */
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

  startOver(): void {
    this.#ready = []
    this.#after = 0
  }

  /** @returns undefined when none is left for now */
  async next(underWay: ReadonlyMap<number, unknown>): Promise<DueRepo | undefined> {
    for (;;) {
      const repo = this.#ready.shift()
      if (repo && !underWay.has(repo.repo)) return repo
      if (!repo && !(await this.#readAhead(underWay))) return undefined
    }
  }

  async #readAhead(underWay: ReadonlyMap<number, unknown>): Promise<boolean> {
    // What is under way now may be done before the answer is here, which does not show it as done then.
    const before = new Set(underWay.keys())
    const due = { host: this.#host, job: this.job.key, after: this.#after, limit: READ_AHEAD }
    const found = await dueRepos(this.#ctx.db, due)
    this.#after = found.at(-1)?.id ?? this.#after
    this.#ready = found.filter(({ repo }) => !before.has(repo))
    return found.length > 0
  }
}
