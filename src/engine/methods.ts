import { Failure } from '../atproto/outcome.js'
import { MethodUnsupported } from '../atproto/sync.js'
import { markUnsupported } from '../store/host-support.js'
import type { Level, RequestedMethod } from '../verdict.js'
import type { EngineContext } from './context.js'
import type { Assignment } from './fetch.js'
import { readByGetRepo } from './get-repo.js'
import { WholeRepo } from './large-repos.js'
import { GaveUpReading, type ListProgress, readByListRecords } from './list-records.js'
import { provesSince } from './look-up.js'
import {
  afterProbe,
  type DeadEnd,
  fallback,
  firstStep,
  type Obstacle,
  type PlanWish,
  type ReadMethod,
  type Step,
} from './plan.js'
import { methodOf, type Progress, type Reading } from './reading.js'
import type { RepoState } from './repo-state.js'
import type { SnapshotWish } from './snapshot.js'
import { probe, readBySparse, SparseMoved, SparseTooLarge } from './sparse.js'

/** The most of one repo that is taken: a file, and an index of it in memory. */
const REPO_BYTES_MAX = 2 * 1024 ** 3

/** One way of reading a repo, and what it gives out. */
interface Attempt {
  readonly method: ReadMethod
  readonly readings: AsyncIterable<Reading>
}

/** Where a repo's records come from: each method in its turn, until one gets to its end. */
export class RepoReader {
  readonly #ctx: EngineContext
  readonly #assignment: Assignment
  readonly #state: RepoState
  readonly #tried = new Set<ReadMethod>()
  /** What signatures were checked with. */
  #signingKey: string | null = null
  /** The account's document was looked up afresh for a signature that did not fit. */
  #isKeyFresh = false

  constructor(ctx: EngineContext, assignment: Assignment, state: RepoState) {
    this.#ctx = ctx
    this.#assignment = assignment
    this.#state = state
  }

  /**
   * Reads the repo to its end, or to where it is gone on with later.
   * @param take makes a reading durable; @returns false when it is enough for now
   * @throws Failure, Unavailable, RateLimited, RepoNotFound, LivesElsewhere, LookUpHeld, JobStopped
   */
  async read(take: (reading: Reading) => Promise<boolean>): Promise<void> {
    let step: Step | DeadEnd = this.#first()
    for (;;) {
      if (typeof step === 'object') throw new Failure(step.failure, step.message)
      let method: ReadMethod = step === 'probe' ? 'sparse' : step
      try {
        const attempt = await this.#begin(step)
        method = attempt.method
        for await (const reading of attempt.readings) if (!(await take(reading))) return
        return
      } catch (error) {
        if (await this.#hasNewKey(error)) continue
        step = await this.#after(method, error)
      }
    }
  }

  #first(): Step | DeadEnd {
    // A listing goes on where it stands; a reading at one commit starts over.
    const isListed = this.#progress !== null && methodOf(this.#progress) === 'list-records'
    return isListed && this.#level !== 'signed' ? 'list-records' : firstStep(this.#wish)
  }

  async #begin(step: Step): Promise<Attempt> {
    const { car } = this.#assignment
    const { now } = this.#ctx
    if (step === 'list-records') return this.#listing()
    const wish = await this.#snapshotWish()
    if (step === 'get-repo') return { method: step, readings: this.#wholeRepo(wish) }
    const probed = await probe(car, wish, now)
    const method = afterProbe(this.#wish, probed)
    if (method === 'sparse') return { method, readings: readBySparse(car, wish, probed, now) }
    if (method === 'get-repo') return { method, readings: this.#wholeRepo(wish) }
    return this.#listing()
  }

  async #listing(): Promise<Attempt> {
    await this.#state.weaken()
    const { query } = this.#assignment
    const readings = readByListRecords(query, this.#listWish(), this.#listProgress, this.#ctx.now)
    return { method: 'list-records', readings }
  }

  async *#wholeRepo(wish: SnapshotWish): AsyncGenerator<Reading> {
    const { config, largeRepos, now } = this.#ctx
    const { spoolDirectory } = config.engine
    using whole = new WholeRepo(largeRepos)
    const car = whole.watching(this.#assignment.car)
    yield* readByGetRepo(car, { ...wish, spoolDirectory, maxBytes: REPO_BYTES_MAX }, now)
  }

  /** What to do after a method did not get to its end. @throws the error, where nothing takes its place */
  async #after(method: ReadMethod, error: unknown): Promise<Step> {
    const obstacle = obstacleOf(error, this.#wish)
    if (obstacle === null) throw error
    const { claim } = this.#assignment
    if (error instanceof MethodUnsupported && error.isStated) {
      this.#assignment.unsupported.add(error.method)
      const now = this.#ctx.clock.toDatabase(this.#ctx.now())
      await markUnsupported(this.#ctx.db, { host: claim.host, epoch: claim.epoch }, error.method, now)
    }
    const next = fallback(method, obstacle, this.#wish)
    if (typeof next === 'object') {
      if (error instanceof Failure) throw error
      // What something in front of the host says, perhaps, is no verdict.
      const isUnclear = error instanceof MethodUnsupported && !error.isStated
      throw new Failure(isUnclear ? 'bad-response' : next.failure, next.message)
    }
    this.#tried.add(method)
    const { job, repo } = this.#assignment
    this.#ctx.tell('repo.fallback', {
      job: job.id,
      did: repo.did,
      host: claim.origin,
      method,
      obstacle,
      next,
    })
    return next
  }

  /** Keys rotate: a signature is only wrong if it is so by the account's document of this moment. */
  async #hasNewKey(error: unknown): Promise<boolean> {
    if (this.#isKeyFresh || !(error instanceof Failure) || error.failure !== 'bad-signature') return false
    this.#isKeyFresh = true
    const { claim, lookUp } = this.#assignment
    return (await lookUp.signingKey(claim.origin, Number.POSITIVE_INFINITY)) !== this.#signingKey
  }

  get #progress(): Progress | null {
    return this.#state.progress
  }

  get #listProgress(): ListProgress | null {
    const progress = this.#progress
    if (progress === null || !('at' in progress)) return null
    // An older version kept the keys that such a reading found in memory only: it starts over.
    return progress.replaces && progress.reading === undefined ? null : progress
  }

  /** What is signed is not replaced by what is not. */
  get #level(): Level {
    const { job, repo } = this.#assignment
    return repo.signed ? 'signed' : job.level
  }

  get #method(): RequestedMethod {
    const { job, repo } = this.#assignment
    return repo.signed && job.method === 'list-records' ? 'auto' : job.method
  }

  get #wish(): PlanWish {
    const { job, repo, unsupported } = this.#assignment
    const { lastRecords } = repo
    return {
      method: this.#method,
      level: this.#level,
      collections: job.collections,
      unsupported,
      tried: this.#tried,
      stored: repo.stored,
      ...(lastRecords !== undefined && { lastRecords }),
    }
  }

  #listWish() {
    const { job, repo } = this.#assignment
    return {
      did: repo.did,
      collections: job.collections,
      level: this.#level,
      stored: this.#isStored && this.#listProgress === null,
      lastRev: repo.lastRev,
    }
  }

  async #snapshotWish(): Promise<SnapshotWish> {
    const { job, repo, claim, lookUp } = this.#assignment
    const { did, lastRev } = repo
    const signingKey = await lookUp.signingKey(claim.origin, provesSince(job, this.#ctx.now()))
    this.#signingKey = signingKey
    return { did, signingKey, collections: job.collections, stored: this.#isStored, lastRev }
  }

  /** Whether rows are stored, be it by a method that did not get to its end. */
  get #isStored(): boolean {
    return this.#assignment.repo.stored || this.#state.hasRows
  }
}

/** What an error means for the choice of a method; null where it means nothing. */
function obstacleOf(error: unknown, { method, level }: PlanWish): Obstacle | null {
  if (error instanceof MethodUnsupported) return 'unsupported'
  if (error instanceof SparseMoved || error instanceof GaveUpReading) return 'moved'
  if (error instanceof SparseTooLarge) return 'too-large'
  if (!(error instanceof Failure)) return null
  switch (error.failure) {
    case 'body-too-large':
      return 'too-large'
    case 'cid-mismatch':
    case 'unverifiable':
      return error.failure
    case 'incomplete-car':
      return 'incomplete'
    case 'bad-response':
      // What answers, but not with what it should, may still be able to list records.
      return method === 'auto' && level !== 'signed' ? 'incomplete' : null
    default:
      return null
  }
}
