import { Failure, type Unavailable } from '../atproto/outcome.js'
import type { EventName } from '../events.js'
import { namesEveryCollection, wantedCollections } from '../jobs/scope.js'
import type { PoolClient } from '../store/database.js'
import {
  entombMissing,
  forgetReadings,
  type Move,
  type ReceiptRow,
  type RepoStep,
  raiseRevs,
  storedCollections,
  weakenRecords,
} from '../store/steps.js'
import { isRetryable, type RepoStatus } from '../verdict.js'
import type { EngineContext } from './context.js'
import type { Assignment } from './fetch.js'
import { GaveUpReading } from './list-records.js'
import { methodOf, type Progress, type Reading } from './reading.js'
import { afterFailure } from './retry.js'
import type { StandingVerdict } from './unchanged.js'

/** The host has another driver by now, or the repo its outcome: nothing more of it is to be written. */
export class ClaimLost extends Error {
  override readonly name = 'ClaimLost'
}

/** One repo under a driver: what is durable of it, and the steps that move it on. */
export class RepoState {
  readonly #ctx: EngineContext
  readonly #assignment: Assignment
  #records: number
  /** As it is stored; where it replaces rows, the keys it found are stored too. */
  #progress: Progress | null
  #hasRows: boolean
  #hasSignedRows: boolean
  /** Nothing of it was asked for before, in this turn of the repo. */
  readonly #beganAt: number
  /** Until the last reading given is durable, or not to be had. */
  #storing: Promise<void> = Promise.resolve()

  constructor(ctx: EngineContext, assignment: Assignment) {
    this.#ctx = ctx
    this.#assignment = assignment
    this.#beganAt = ctx.now()
    this.#records = assignment.repo.records
    this.#progress = assignment.repo.progress as Progress | null
    this.#hasRows = this.#progress !== null
    this.#hasSignedRows = this.#progress?.level === 'signed'
  }

  /** Makes a reading durable; a complete one with its receipt. */
  store(reading: Reading): Promise<void> {
    const storing = this.#store(reading)
    this.#storing = storing.catch(() => {})
    return storing
  }

  async #store(reading: Reading): Promise<void> {
    const { kind, progress } = reading
    this.#hasRows ||= reading.records.length > 0
    this.#hasSignedRows ||= this.#hasRows && progress.level === 'signed'
    const ids = await this.#ctx.collections.of(progress.collections)
    const rows = reading.records.map(({ collection, rkey, cid, value }) => {
      return { collection: ids.get(collection)!, rkey, cid, value }
    })
    const content = {
      method: methodOf(progress),
      level: reading.level ?? progress.level,
      rev: progress.rev,
      rows,
      records: progress.records,
    }
    if (kind !== 'complete') {
      const move = { ...content, status: 'fetching', progress: JSON.stringify(progress) } as const
      if (kind === 'restarted') await this.#leave(move)
      else await this.#write({ ...move, reading: progress.replaces ? progress.reading : undefined })
      this.#progress = progress
      return
    }
    const receipt = { scope: this.#assignment.job.scope, counts: progress.counts, ...this.#proofOf(progress) }
    const step = this.#step({ ...content, status: 'completed', receipt, aliveAt: this.#aliveAt })
    if (progress.replaces) await this.#replace(step, progress, ids)
    else await this.#send(step)
    this.#tell('repo.completed', { records: progress.records, method: content.method, level: progress.level })
  }

  /** Completes the repo with an earlier verdict, which still holds. */
  async unchanged(verdict: StandingVerdict): Promise<void> {
    const { receipt, counts, unreadable, unreadableFirst, namedAt } = verdict
    const { rev, level, dataCid } = receipt
    const { scope } = this.#assignment.job
    const records = Object.values(counts).reduce((sum, count) => sum + count, 0)
    await this.#write({
      status: 'completed',
      method: 'unchanged',
      level,
      rev,
      records,
      receipt: { scope, rev, dataCid, counts, unreadable, unreadableFirst: unreadableFirst ?? [] },
      aliveAt: namedAt ?? this.#aliveAt,
    })
    this.#tell('repo.completed', { records, method: 'unchanged', level })
  }

  get progress(): Progress | null {
    return this.#progress
  }

  /** Whether rows of it may be stored by a reading of this job. */
  get hasRows(): boolean {
    return this.#hasRows
  }

  /**
   * Takes their level from rows that were signed, but are not all there is: an unsigned reading could not replace
   * them, and they would be taken for what is there now. Any job may have left some. Not to be called of a repo with
   * a signed receipt.
   */
  async weaken(): Promise<void> {
    const { claim, repo } = this.#assignment
    // What is still on its way would come too late.
    await this.#storing
    if (!this.#hasSignedRows && !repo.stored) return
    await weakenRecords(this.#ctx.db, { host: claim.host, epoch: claim.epoch }, repo.repo)
    this.#hasSignedRows = false
  }

  get #aliveAt(): Date {
    return this.#ctx.clock.toDatabase(this.#beganAt)
  }

  #proofOf(
    progress: Progress,
  ): Pick<ReceiptRow, 'rev' | 'dataCid' | 'unreadable' | 'unreadableFirst' | 'readFrom'> {
    if ('dataCid' in progress) return progress
    if (progress.rev !== null || progress.reading === undefined) return { rev: progress.rev, dataCid: null }
    return { rev: null, dataCid: null, readFrom: this.#ctx.clock.toDatabase(progress.reading) }
  }

  async unavailable(unavailable: Unavailable): Promise<void> {
    await this.#leave({ status: 'unavailable', reason: unavailable.reason })
    this.#tell('repo.unavailable', { reason: unavailable.reason })
  }

  /** Notes a failure: for another try later, or for good. */
  async failed(failure: Failure): Promise<void> {
    const { retry, random } = this.#ctx
    const attempts = this.#assignment.repo.attempts + 1
    const next = afterFailure(failure.failure, attempts, retry.repo, random())
    const why = { failure: failure.failure, message: failure.message, attempts }
    const move: Move =
      next.kind === 'give-up'
        ? { ...why, status: 'failed' }
        : { ...why, status: this.#status, retryAt: new Date(this.#ctx.now() + next.delayMs) }
    const over = failure instanceof GaveUpReading || !isRetryable(failure.failure)
    // Also for good this keeps what is read, if only an answer was missing: whoever asks for it goes on there.
    if (over) await this.#leave(move)
    else await this.#write({ ...this.#standing, ...move })
    this.#tell(next.kind === 'give-up' ? 'repo.failed' : 'repo.deferred', why)
  }

  /** Waits until then, at no cost to the repo. */
  async deferred(until: Date): Promise<void> {
    await this.#write({ ...this.#standing, status: this.#status, retryAt: until })
  }

  /** Hands the repo to the host it lives on now, where its reading starts over. */
  async moved(host: number, origin: string): Promise<void> {
    const attempts = this.#assignment.repo.attempts + 1
    if (attempts >= this.#ctx.retry.repo.attempts) {
      throw new Failure('repo-not-found', 'none of the hosts its identity named in turn knows this account')
    }
    await this.#leave({ status: 'resolved', movedTo: host, records: 0, attempts })
    this.#tell('repo.moved', { to: origin })
    await this.#ctx.dispatch.wake('drive', [host])
  }

  get #status(): RepoStatus {
    return this.#progress === null ? 'resolved' : 'fetching'
  }

  /** A step that does not name it drops it. */
  get #standing(): Pick<RepoStep, 'progress'> {
    return this.#progress === null ? {} : { progress: JSON.stringify(this.#progress) }
  }

  /** Completes the repo, and removes what the reading did not find. */
  async #replace(step: RepoStep, progress: Progress, read: ReadonlyMap<string, number>): Promise<void> {
    const { collections: wish } = this.#assignment.job
    const { job, repo, rev, rows, level } = step
    const reading = progress.reading!
    // Pages read before the repo moved were stored as of the rev that it moved from, whichever they were of.
    const hasMoved = progress.restarts > 0 && methodOf(progress) === 'list-records'
    await this.#sendWith(step, async (client) => {
      // A collection of which nothing is left is not among those that the host named.
      const stored = namesEveryCollection(wish) ? read : await storedCollections(client, repo)
      const collections = wantedCollections(wish, [...stored.keys()]).map((nsid) => stored.get(nsid)!)
      await entombMissing(client, { job, repo, reading, collections, rev, level, lastPage: rows })
      if (hasMoved && rev !== null) await raiseRevs(client, { repo, collections, rev })
      if (this.#keepsKeys) await forgetReadings(client, step)
    })
  }

  /** Makes a move with which the reading so far is over, and the keys it found are of no use any more. */
  async #leave(move: Move): Promise<void> {
    const step = this.#step(move)
    if (this.#keepsKeys) await this.#sendWith(step, (client) => forgetReadings(client, step))
    else await this.#send(step)
  }

  get #keepsKeys(): boolean {
    return this.#progress?.replaces === true
  }

  async #write(move: Move): Promise<void> {
    await this.#send(this.#step(move))
  }

  #step(move: Move): RepoStep {
    const { claim, job, repo } = this.#assignment
    const records = move.records ?? this.#records
    return {
      job: job.key,
      did: repo.did,
      repo: repo.repo,
      fence: { host: claim.host, epoch: claim.epoch },
      attempts: repo.attempts,
      level: 'none',
      rev: null,
      rows: [],
      ...move,
      records,
      recordsAdded: records - this.#records,
    }
  }

  async #send(step: RepoStep): Promise<void> {
    if (!(await this.#ctx.writer.write(step))) throw new ClaimLost()
    this.#records = step.records
  }

  async #sendWith(step: RepoStep, before: (client: PoolClient) => Promise<void>): Promise<void> {
    if (!(await this.#ctx.writer.writeWith(step, before))) throw new ClaimLost()
    this.#records = step.records
  }

  #tell(event: EventName, detail: object): void {
    const { job, repo, claim } = this.#assignment
    this.#ctx.tell(event, { job: job.id, did: repo.did, host: claim.origin, ...detail })
  }
}
