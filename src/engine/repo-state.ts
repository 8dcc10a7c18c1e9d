import { Failure, type Unavailable } from '../atproto/outcome.js'
import type { EventName } from '../events.js'
import { TextArray } from '../store/binary.js'
import { entombMissing, type Move, type RecordRow, type RepoStep } from '../store/steps.js'
import type { Method } from '../verdict.js'
import type { EngineContext } from './context.js'
import type { Assignment } from './fetch.js'
import type { Progress, Reading } from './list-records.js'
import { afterFailure } from './retry.js'

/** The host has another driver by now, or the repo its outcome: nothing more of it is to be written. */
export class ClaimLost extends Error {
  override readonly name = 'ClaimLost'
}

const METHOD: Method = 'list-records'

/** One repo under a driver: what is durable of it, and the steps that move it on. */
export class RepoState {
  readonly #ctx: EngineContext
  readonly #assignment: Assignment
  #records: number
  #progress: Progress | null
  /** The keys seen, where rows of an older state must be told from the ones that are still there. */
  #kept: { collections: number[]; rkeys: TextArray } | null = null

  constructor(ctx: EngineContext, assignment: Assignment) {
    this.#ctx = ctx
    this.#assignment = assignment
    this.#records = assignment.repo.records
    this.#progress = assignment.repo.progress as Progress | null
  }

  /** Makes a reading durable; a complete one with its receipt. */
  async store(reading: Reading): Promise<void> {
    const { kind, progress } = reading
    const ids = await this.#ctx.collections.of(progress.collections)
    const rows = reading.records.map(({ collection, ...row }) => ({
      collection: ids.get(collection)!,
      ...row,
    }))
    this.#remember(reading, rows)
    const content = {
      method: METHOD,
      level: progress.level,
      rev: progress.rev,
      rows,
      records: progress.records,
    }
    if (kind !== 'complete') {
      await this.#write({ ...content, status: 'fetching', progress: JSON.stringify(progress) })
      this.#progress = progress
      return
    }
    const receipt = {
      scope: this.#assignment.job.scope,
      rev: progress.rev,
      dataCid: null,
      counts: progress.counts,
    }
    const step = this.#step({ ...content, status: 'completed', receipt })
    if (this.#kept) await this.#replace(step, [...ids.values()], this.#kept)
    else await this.#send(step)
    this.#tell('repo.completed', { records: progress.records })
  }

  async unavailable(unavailable: Unavailable): Promise<void> {
    await this.#write({ status: 'unavailable', reason: unavailable.reason })
    this.#tell('repo.unavailable', { reason: unavailable.reason })
  }

  /** Notes a failure: for another try later, or for good. */
  async failed(failure: Failure): Promise<void> {
    const { retry, random } = this.#ctx
    const attempts = this.#assignment.repo.attempts + 1
    const next = afterFailure(failure.failure, attempts, retry.repo, random())
    const why = { failure: failure.failure, message: failure.message, attempts }
    if (next.kind === 'give-up') {
      await this.#write({ ...why, status: 'failed' })
      this.#tell('repo.failed', why)
      return
    }
    await this.#postpone({ ...why, retryAt: new Date(this.#ctx.now() + next.delayMs) })
    this.#tell('repo.deferred', why)
  }

  /** Waits until then, at no cost to the repo. */
  async deferred(until: Date): Promise<void> {
    await this.#postpone({ retryAt: until })
  }

  /** Hands the repo to the host it lives on now, where its reading starts over. */
  async moved(host: number, origin: string): Promise<void> {
    const attempts = this.#assignment.repo.attempts + 1
    if (attempts >= this.#ctx.retry.repo.attempts) {
      throw new Failure('repo-not-found', 'none of the hosts its identity named in turn knows this account')
    }
    await this.#write({ status: 'resolved', movedTo: host, records: 0, attempts })
    this.#tell('repo.moved', { to: origin })
    await this.#ctx.dispatch.wake('drive', [host])
  }

  async #postpone(move: Partial<RepoStep>): Promise<void> {
    const progress = this.#progress === null ? {} : { progress: JSON.stringify(this.#progress) }
    await this.#write({ status: this.#progress === null ? 'resolved' : 'fetching', ...progress, ...move })
  }

  /** Keeps the keys of a reading that replaces rows: at its end the rest is known to be gone. */
  #remember({ kind, progress }: Reading, rows: readonly RecordRow[]): void {
    if (!progress.replaces) return
    if (this.#kept === null || kind === 'restarted') this.#kept = { collections: [], rkeys: new TextArray() }
    for (const row of rows) {
      this.#kept.collections.push(row.collection)
      this.#kept.rkeys.push(row.rkey)
    }
  }

  async #replace(step: RepoStep, collections: number[], kept: { collections: number[]; rkeys: TextArray }) {
    const missing = { repo: step.repo, collections, rev: step.rev, kept }
    const applied = await this.#ctx.writer.writeWith(step, async (client) => {
      await entombMissing(client, missing)
    })
    if (!applied) throw new ClaimLost()
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

  #tell(event: EventName, detail: object): void {
    const { job, repo, claim } = this.#assignment
    this.#ctx.tell(event, { job: job.id, did: repo.did, host: claim.origin, ...detail })
  }
}
