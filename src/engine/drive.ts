import { RateLimited } from '../atproto/outcome.js'
import type { Query } from '../atproto/pds.js'
import { pause } from '../pause.js'
import { Pulse } from '../pulse.js'
import { AnySignal } from '../signals.js'
import { jobsWantingRevs } from '../store/host-revs.js'
import { type OptionalMethod, unsupportedBy } from '../store/host-support.js'
import { claimHost, deferHost, type HostClaim, hostHasWork, saveHost } from '../store/hosts.js'
import { jobsWanting, type RunningJob } from '../store/jobs.js'
import { Turns } from '../turns.js'
import type { SavedBudget } from './budget.js'
import type { EngineContext } from './context.js'
import { listingsOf, readHostPage } from './discover-host.js'
import { DueQueue, type KnownRepo } from './due-queue.js'
import { type Hold, JobStopped } from './engagements.js'
import { fetchRepo } from './fetch.js'
import { HostGate } from './host-gate.js'
import { readAllHostRevs } from './host-revs.js'
import { SHORT_PAUSE_MS, TURN_MS } from './limits.js'
import { LookUp } from './look-up.js'
import { ClaimLost } from './repo-state.js'
import { RevsAgenda } from './revs-agenda.js'
import { hostCar, hostQuery, PROBE, probeHost, type Signals } from './session.js'

/**
 * Driving a host: taking its due repos, a few at a time, each in its turn at the host's gate, until none is
 * due, the host asks for a pause or is parked, or the time is up. Whoever drives raises the host's epoch first, so
 * a driver that was taken for dead cannot write any more.
 */

/** Repos of one host that are read and wait to be written: as many as come in while a batch is under way. */
const UNWRITTEN_MAX = 32

/** The place of the reading of revs among those under way: no repo has this number. */
const REVS = 0

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

/** Nobody depends on the revs, so the host has less time for them. */
function revsQuery(...[ctx, origin, gate, signals]: Parameters<typeof hostQuery>): Query {
  return hostQuery(ctx, origin, gate, signals, ctx.revsMs)
}

class Driver {
  repos = 0
  readonly #ctx: EngineContext
  readonly #claim: HostClaim
  readonly #gate: HostGate
  /** Aborted when the driver must let go at once: shutdown, or the host is driven by somebody else. */
  readonly #stop = new AbortController()
  readonly #engine: AbortSignal
  readonly #over: AnySignal
  readonly #endsAt: number
  /** Repos and listings begun, and not written to their end. */
  readonly #underWay = new Map<number, Promise<void>>()
  /** Of these, the ones that the host may still be asked about. */
  #reading = 0
  /** How many repos and listings have ended. */
  #ended = 0
  /** Whenever one of them is read, or has ended. */
  readonly #moved = new Pulse()
  /** Repos begun in this turn, for whichever job: records of them may be stored by now. */
  readonly #begun = new Set<number>()
  readonly #turns = new Turns<DueQueue>()
  readonly #queues = new Map<number, DueQueue>()
  /** Of these, the ones that have nothing to begin for now. */
  readonly #idle = new Set<DueQueue>()
  readonly #revs = new RevsAgenda()
  /** What the host does not offer. */
  #unsupported = new Set<OptionalMethod>()
  #lookedAt = Number.NEGATIVE_INFINITY
  #error: unknown = null

  constructor(ctx: EngineContext, claim: HostClaim, signal: AbortSignal) {
    const { hostStartRpm: startRpm, hostRpm: maxRpm } = ctx.config.network
    this.#ctx = ctx
    this.#claim = claim
    this.#engine = signal
    this.#over = new AnySignal(signal, this.#stop.signal)
    this.#endsAt = ctx.now() + TURN_MS
    this.#gate = new HostGate({
      limits: { startRpm, maxRpm },
      standing: claim.standing,
      budget: claim.budget as SavedBudget | null,
      notBefore: ctx.clock.toLocal(claim.nextRequestAt),
      now: ctx.now,
      random: ctx.random,
      parkMs: ctx.parkMs,
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
      this.#unsupported = await unsupportedBy(this.#ctx.db, this.#claim.host, this.#ctx.clock.now())
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
    const mayGoOn = !this.#signal.aborted && this.#ctx.spool.why === null
    return mayGoOn && !this.#rests && this.#error === null && !this.outOfTime
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
    await this.#readRevs(jobs)
    return this.#beginListings(jobs)
  }

  /**
   * Learns at which revs the host's repos are, where that is worth it: before a repo is asked for its own, if the
   * host is quick to tell.
   */
  async #readRevs(jobs: readonly RunningJob[]): Promise<void> {
    const keys = jobs.map(({ key }) => key)
    if (this.#underWay.has(REVS) || !this.#revs.isDue(keys, this.#ctx.now())) return
    const [first] = jobs
    const hold = first ? await this.#ctx.engagements.enter(first.key) : null
    if (!hold) return
    const query = this.#queryUnder(revsQuery, hold.signal)
    const goesOn = () => this.#goesOn() && !hold.signal.aborted
    const { promise: doubt, resolve: onDoubt } = Promise.withResolvers<void>()
    const { host } = this.#claim
    this.#begin(REVS, hold, () =>
      this.#attempt(async () => {
        const proves = !this.#unsupported.has('getRecord') || !this.#unsupported.has('getRepo')
        const wanting = new Set(await jobsWantingRevs(this.#ctx.db, host, keys, proves))
        const served = jobs.filter(({ key }) => wanting.has(key))
        await readAllHostRevs(this.#ctx, host, served, query, goesOn, onDoubt)
        this.#revs.looked(keys, this.#ctx.now())
      }),
    )
    await this.#within(this.#ctx.revsMs, Promise.race([this.#underWay.get(REVS), doubt]))
  }

  #queryUnder<Way>(
    way: (ctx: EngineContext, origin: string, gate: HostGate, signals: Signals) => Way,
    hold: AbortSignal,
  ): Way {
    return way(this.#ctx, this.#claim.origin, this.#gate, { stop: this.#signal, hold })
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
      const query = this.#queryUnder(hostQuery, hold.signal)
      this.#begin(place, hold, () => this.#attempt(() => readHostPage(this.#ctx, job, listing, query)))
    }
    return begun
  }

  /** Begins something, which is among those under way until it has ended. */
  #begin(place: number, hold: Hold, work: (allRead: () => void) => Promise<void>): void {
    this.#reading += 1
    let isRead = false
    const allRead = () => {
      if (isRead) return
      isRead = true
      this.#reading -= 1
      this.#moved.beat()
    }
    const done = work(allRead).finally(() => {
      allRead()
      this.#underWay.delete(place)
      // Nothing of the revs has been written that repos would wait for.
      if (place !== REVS) this.#ended += 1
      hold[Symbol.dispose]()
      this.#moved.beat()
    })
    this.#underWay.set(place, done)
  }

  /** Until one of those under way has ended, or there is to be another look. */
  async #untilNext(): Promise<void> {
    await this.#within(LOOK_EVERY_MS, this.#moved.next)
  }

  /** Waits for something, but not for longer than this. */
  async #within(milliseconds: number, something: Promise<unknown>): Promise<void> {
    const over = new AbortController()
    using any = new AnySignal(over.signal, this.#signal)
    await Promise.race([something, pause(milliseconds, any.signal)])
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
    await this.#untilThereIsRoom()
    if (!this.#goesOn()) {
      hold[Symbol.dispose]()
      return true
    }
    this.repos += 1
    this.#begin(repo.repo, hold, (allRead) => this.#fetch(queue, repo, hold.signal, allRead))
    return true
  }

  /**
   * A repo has its place until it is read. While its last step waits to be written others may be read: only as many
   * as were written before, so that hosts are not asked for what a database in trouble does not take.
   */
  async #untilThereIsRoom(): Promise<void> {
    const { hostConcurrency } = this.#ctx.config.network
    const isFull = () =>
      this.#reading >= hostConcurrency ||
      this.#underWay.size >= hostConcurrency + Math.min(UNWRITTEN_MAX, this.#ended)
    while (this.#goesOn() && isFull()) await this.#moved.next
    await this.#ctx.writer.room()
  }

  async #fetch(queue: DueQueue, due: KnownRepo, hold: AbortSignal, allRead: () => void): Promise<void> {
    const query = this.#queryUnder(hostQuery, hold)
    const car = this.#queryUnder(hostCar, hold)
    const goesOn = (canGoOnLater: boolean) =>
      !this.#signal.aborted && !hold.aborted && this.#error === null && !(canGoOnLater && this.outOfTime)
    const turnAtDirectory = async () => {
      using waiting = new AnySignal(this.#signal, hold)
      await this.#ctx.directoryGate.pass(waiting.signal)
    }
    await this.#attempt(async () => {
      // Read ahead, it may have been looked at before another job had it fetched.
      const repo = this.#begun.has(due.repo) ? await queue.again(due) : due
      this.#begun.add(due.repo)
      const assignment = {
        claim: this.#claim,
        job: queue.job,
        repo,
        query,
        car,
        unsupported: this.#unsupported,
      }
      const lookUp = new LookUp(this.#ctx, repo.did, turnAtDirectory)
      await fetchRepo(this.#ctx, { ...assignment, goesOn, lookUp, allRead })
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
      if (this.#ctx.spool.notice(error, this.#engine)) return
      if (error instanceof ClaimLost) this.#letGo()
      else this.#error ??= error
    }
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
