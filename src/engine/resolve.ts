import type { DidDocument } from '@atproto/common-web'
import { type Identities, type Located, locatedIn } from '../atproto/identity.js'
import { Failure, RateLimited, Unavailable } from '../atproto/outcome.js'
import { AnySignal } from '../signals.js'
import { IDENTITY_EXPIRED_MS } from '../store/did-cache.js'
import { claimHost, deferHost, type HostClaim, hostIds } from '../store/hosts.js'
import { findIdentities, type StoredIdentity } from '../store/identities.js'
import { type RunningJob, runningJobs } from '../store/jobs.js'
import { unresolvedRepos } from '../store/repos.js'
import type { Move } from '../store/steps.js'
import { reachStage } from '../store/transitions.js'
import { Turns } from '../turns.js'
import type { EngineContext } from './context.js'
import { DirectoryStanding } from './directory-standing.js'
import { type Hold, JobStopped } from './engagements.js'
import type { Gate } from './gate.js'
import { whyGivenUp } from './give-up.js'
import { SHORT_PAUSE_MS, TURN_MS } from './limits.js'
import { provesSince } from './look-up.js'
import { afterFailure } from './retry.js'

/**
 * Finding the PDS of each waiting repo. One resolver runs at a time, as the driver of the directory's host: so
 * the directory has one budget, and a resolver that was taken for dead cannot write.
 */

/**
 * Repos looked at together: one query for the documents at hand, one wake-up for each host found. As many as the
 * writer takes at once, which then does not wait for more.
 */
const BATCH = 1_000

/** Look-ups in flight. The gate sets the pace; this bounds what a slow did:web host can hold up. */
const CONCURRENCY = 32

/** Batches that may wait to be written. One that cannot be written stops the resolver at this many. */
const UNWRITTEN_MAX = 2

type Unresolved = Awaited<ReturnType<typeof unresolvedRepos>>[number]

/** @returns when no repo waits for its PDS any more, the directory asks for a pause, or the turn is over */
export async function resolveRepos(
  ctx: EngineContext,
  directory: number,
  signal: AbortSignal,
): Promise<void> {
  await ctx.clock.compare(ctx.db)
  const claim = await claimHost(ctx.db, directory)
  if (!claim) return
  const heldUntil = ctx.clock.toLocal(claim.nextRequestAt)
  if (heldUntil - ctx.now() > SHORT_PAUSE_MS) return
  const gate = ctx.directoryGate
  gate.holdUntil(heldUntil)
  const resolver = new Resolver(ctx, claim, gate, signal)
  const endsAt = ctx.now() + TURN_MS
  await resolver.run(endsAt)
  if (ctx.now() >= endsAt) await ctx.dispatch.wake('resolve', [directory])
}

class Resolver {
  readonly #ctx: EngineContext
  readonly #claim: HostClaim
  readonly #gate: Gate
  readonly #directory: DirectoryStanding
  readonly #signal: AbortSignal
  /** Numbers of the hosts met during this turn, by origin. */
  readonly #hosts = new Map<string, number>()
  /** Batches that are looked up, and not yet written. */
  readonly #unwritten = new Set<Promise<void>>()
  #paused = false
  #lost = false

  constructor(ctx: EngineContext, claim: HostClaim, gate: Gate, signal: AbortSignal) {
    this.#ctx = ctx
    this.#claim = claim
    this.#gate = gate
    this.#directory = new DirectoryStanding(ctx, claim, gate)
    this.#signal = signal
  }

  async run(endsAt: number): Promise<void> {
    try {
      await this.#resolveAll(endsAt)
    } finally {
      await Promise.allSettled(this.#unwritten)
    }
    await Promise.all(this.#unwritten)
  }

  async #resolveAll(endsAt: number): Promise<void> {
    // Batches in fair turns, until there is nothing left and no job that has come up meanwhile has anything.
    const after = new Map<number, number>()
    const turns = new Turns<RunningJob>()
    const inTurns = new Map<number, RunningJob>()
    const look = async () => {
      for (const job of await runningJobs(this.#ctx.db)) {
        if (inTurns.has(job.key)) continue
        inTurns.set(job.key, job)
        turns.add(job.caller, job)
      }
    }
    await look()
    for (let found = false; ; ) {
      if (this.#isOver() || this.#ctx.now() >= endsAt) return
      const job = turns.next()
      if (!job) {
        if (!found) return
        found = false
        await look()
        continue
      }
      const from = after.get(job.key) ?? 0
      const repos = await unresolvedRepos(this.#ctx.db, { job: job.key, after: from, limit: BATCH })
      const last = repos.at(-1)
      const hold = last ? await this.#ctx.engagements.enter(job.key) : null
      if (!last || !hold) {
        turns.remove(job)
        inTurns.delete(job.key)
        continue
      }
      found = true
      after.set(job.key, last.id)
      await this.#resolveBatch(job, repos, hold)
      while (this.#unwritten.size >= UNWRITTEN_MAX) await Promise.race(this.#unwritten)
      await look()
    }
  }

  #isOver(): boolean {
    return this.#signal.aborted || this.#paused || this.#lost
  }

  /** Looks up a batch. The next one need not wait until this one is written. */
  async #resolveBatch(job: RunningJob, repos: readonly Unresolved[], hold: Hold): Promise<void> {
    const hosts = new Set<number>()
    const writes: Promise<void>[] = []
    try {
      await this.#lookUpBatch(job, repos, hold, { hosts, writes })
    } finally {
      const written = this.#finishBatch(writes, hosts, hold)
      this.#unwritten.add(written)
      // One that fails stays, and is met at the end.
      written.then(
        () => this.#unwritten.delete(written),
        () => {},
      )
    }
  }

  async #finishBatch(
    writes: readonly Promise<void>[],
    hosts: ReadonlySet<number>,
    hold: Hold,
  ): Promise<void> {
    using _ = hold
    const written = await Promise.allSettled(writes)
    await this.#ctx.dispatch.wake('drive', hosts)
    for (const result of written) if (result.status === 'rejected') throw result.reason
  }

  async #lookUpBatch(
    job: RunningJob,
    repos: readonly Unresolved[],
    hold: Hold,
    { hosts, writes }: { hosts: Set<number>; writes: Promise<void>[] },
  ): Promise<void> {
    using waiting = new AnySignal(this.#signal, hold.signal)
    const identities = this.#ctx.identitiesPaced(async () => {
      await this.#gate.pass(waiting.signal)
    })
    await reachStage(this.#ctx.db, job.key, 'resolving-and-fetching', new Date(this.#ctx.now()))
    const atHand = await this.#documentsAtHand(repos)
    const queue = repos.values()
    const worker = async () => {
      for (const repo of queue) {
        if (this.#isOver() || hold.signal.aborted) return
        const move = await this.#lookUp(job, repo, atHand.get(repo.did), identities)
        if (move?.movedTo !== undefined) hosts.add(move.movedTo)
        if (!move) continue
        // Not awaited here: the next look-up need not wait for the batch this one is written in.
        const written = this.#write(job, repo, move)
        written.catch(() => {})
        writes.push(written)
      }
    }
    const workers = await Promise.allSettled(Array.from({ length: CONCURRENCY }, worker))
    for (const result of workers) if (result.status === 'rejected') throw result.reason
  }

  /** Good enough to find a host by; what is signed there takes newer ones. */
  async #documentsAtHand(repos: readonly Unresolved[]): Promise<Map<string, StoredIdentity>> {
    const identities = await findIdentities(
      this.#ctx.db,
      repos.map((repo) => repo.did),
    )
    const oldest = this.#ctx.now() - IDENTITY_EXPIRED_MS
    const usable = identities.filter((identity) => identity.updatedAt.getTime() > oldest)
    return new Map(usable.map((identity) => [identity.did, identity]))
  }

  /** @returns what becomes of the repo; null to leave it as it is for now */
  async #lookUp(
    job: RunningJob,
    repo: Unresolved,
    atHand: StoredIdentity | undefined,
    identities: Identities,
  ): Promise<Move | null> {
    try {
      const located = this.#locatedAtHand(job, atHand)
      const { origin } = located ?? (await this.#located(repo.did, identities, !!atHand))
      return { status: 'resolved', movedTo: await this.#hostOf(origin), firstResolved: true, attempts: 0 }
    } catch (error) {
      if (error instanceof RateLimited) return this.#limited(job, repo, error)
      if (error instanceof Unavailable) return { status: 'unavailable', reason: error.reason }
      if (error instanceof Failure && (await this.#isLeftAlone(repo, error))) return null
      if (error instanceof Failure) return this.#failed(job, repo, error)
      if (this.#signal.aborted || error instanceof JobStopped) return null
      throw error
    }
  }

  async #located(did: string, identities: Identities, fresh: boolean): Promise<Located> {
    const isPlc = did.startsWith('did:plc:')
    try {
      const located = await identities.locate(did, fresh)
      if (isPlc) await this.#directory.answered()
      return located
    } catch (error) {
      const isAnswer =
        error instanceof Unavailable ||
        (error instanceof Failure && error.failure !== 'directory-unavailable')
      if (isPlc && isAnswer) await this.#directory.answered()
      throw error
    }
  }

  async #isLeftAlone({ did }: Unresolved, { failure }: Failure): Promise<boolean> {
    if (failure !== 'directory-unavailable' || !(await this.#directory.failed(did))) return false
    this.#paused = true
    return true
  }

  /** @returns null where the document does not do: that it names no usable host is no verdict if it is old */
  #locatedAtHand(job: RunningJob, atHand: StoredIdentity | undefined): Located | null {
    if (!atHand) return null
    try {
      return locatedIn(atHand.did, atHand.document as DidDocument, this.#ctx.config.network)
    } catch (error) {
      if (!(error instanceof Failure) || atHand.updatedAt.getTime() >= provesSince(job, this.#ctx.now()))
        throw error
      return null
    }
  }

  async #hostOf(origin: string): Promise<number> {
    const known = this.#hosts.get(origin) ?? (await hostIds(this.#ctx.db, [origin])).get(origin)!
    this.#hosts.set(origin, known)
    return known
  }

  /**
   * The directory's own limit stops the resolver; a did:web host's costs only the one repo a wait. Neither
   * costs an attempt; but one that asks for nothing else has its repo given up as any host does.
   */
  async #limited(job: RunningJob, repo: Unresolved, limited: RateLimited): Promise<Move | null> {
    if (!repo.did.startsWith('did:plc:')) {
      const why = whyGivenUp(this.#ctx, repo.queuedAt)
      if (why === null) return { status: 'waiting', retryAt: limited.until }
      const failed = {
        failure: 'host-unavailable',
        message: `${repo.did}: ${why}`,
        attempts: repo.attempts,
      } as const
      this.#ctx.tell('repo.failed', { job: job.id, did: repo.did, ...failed })
      return { ...failed, status: 'failed' }
    }
    this.#gate.holdUntil(limited.until.getTime())
    this.#paused ||= limited.until.getTime() - this.#ctx.now() > SHORT_PAUSE_MS
    this.#ctx.tell('host.cooling', { host: this.#claim.origin, until: limited.until })
    const until = this.#ctx.clock.toDatabase(limited.until.getTime())
    await deferHost(this.#ctx.db, this.#claim, until)
    return null
  }

  #failed(job: RunningJob, repo: Unresolved, failure: Failure): Move {
    const attempts = repo.attempts + 1
    const next = afterFailure(failure.failure, attempts, this.#ctx.retry.repo, this.#ctx.random())
    const why = { failure: failure.failure, message: failure.message, attempts }
    this.#ctx.tell(next.kind === 'give-up' ? 'repo.failed' : 'repo.deferred', {
      job: job.id,
      did: repo.did,
      ...why,
    })
    if (next.kind === 'give-up') return { ...why, status: 'failed' }
    return { ...why, status: 'waiting', retryAt: new Date(this.#ctx.now() + next.delayMs) }
  }

  async #write(job: RunningJob, repo: Unresolved, move: Move): Promise<void> {
    const applied = await this.#ctx.writer.write({
      job: job.key,
      did: repo.did,
      repo: repo.repo,
      fence: { host: this.#claim.host, epoch: this.#claim.epoch },
      attempts: repo.attempts,
      records: repo.records,
      recordsAdded: 0,
      level: 'none',
      rev: null,
      rows: [],
      ...move,
    })
    // Somebody else resolves by now, or the repo has its outcome: the rows are read afresh by whoever is next.
    if (!applied) this.#lost = true
  }
}
