import { coveredCounts } from '../jobs/covers.js'
import { type NamedRev, revsFor, type StandingReceipt, standingReceipts } from '../store/host-revs.js'
import type { RunningJob } from '../store/jobs.js'
import { type DueRepo, dueRepos, storedOf } from '../store/repos.js'
import type { EngineContext } from './context.js'

/** Due repos read at once, for each job. */
const READ_AHEAD = 100

/** A due repo, with what earlier jobs have left of it. */
export interface KnownRepo extends DueRepo {
  /** Receipts that may still hold, the best first. */
  readonly receipts: readonly StandingReceipt[]
  /** The rev that the host's own listing names, if it has since the job began. */
  readonly listed: NamedRev | undefined
  /** Records of the collections wanted by an earlier receipt. */
  readonly lastRecords: number | undefined
}

/**
 * A job's due repos on a host in the order they were queued, read ahead in small portions. A repo that is under
 * way, for whichever job, is passed over until the queue starts over.
 */
export class DueQueue {
  readonly #ctx: EngineContext
  readonly #host: number
  #ready: KnownRepo[] = []
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
  async next(underWay: ReadonlyMap<number, unknown>): Promise<KnownRepo | undefined> {
    for (;;) {
      const repo = this.#ready.shift()
      if (repo && !underWay.has(repo.repo)) return repo
      if (!repo && !(await this.#readAhead(underWay))) return undefined
    }
  }

  /** A repo that was read ahead, as it is now: another job may have had it fetched meanwhile. */
  async again(repo: DueRepo): Promise<KnownRepo> {
    const stored = await storedOf(this.#ctx.db, repo.repo)
    const [known] = await this.#withReceipts([{ ...repo, ...stored }])
    return known!
  }

  async #readAhead(underWay: ReadonlyMap<number, unknown>): Promise<boolean> {
    // What is under way now may be done before the answer is here, which does not show it as done then.
    const before = new Set(underWay.keys())
    const due = { host: this.#host, job: this.job.key, after: this.#after, limit: READ_AHEAD }
    const found = await dueRepos(this.#ctx.db, due)
    this.#after = found.at(-1)?.id ?? this.#after
    this.#ready = await this.#withReceipts(found.filter(({ repo }) => !before.has(repo)))
    return found.length > 0
  }

  async #withReceipts(found: readonly DueRepo[]): Promise<KnownRepo[]> {
    const repos = found.filter(({ lastRev }) => lastRev !== null).map(({ repo }) => repo)
    // Of a network that nobody has read before there is nothing to look up.
    if (repos.length === 0) return found.map((repo) => ({ ...repo, ...NOTHING_KNOWN }))
    const { key: job, scope, level } = this.job
    const receiptsOf = await standingReceipts(this.#ctx.db, { repos, scope, level })
    const revOf = await revsFor(this.#ctx.db, { host: this.#host, job, repos })
    return found.map((repo) => {
      const receipts = receiptsOf.get(repo.repo) ?? []
      return { ...repo, receipts, listed: revOf.get(repo.repo), lastRecords: this.#recordsIn(receipts) }
    })
  }

  #recordsIn(receipts: readonly StandingReceipt[]): number | undefined {
    for (const { collections, counts } of receipts) {
      const covered = coveredCounts(collections, counts, this.job.collections)
      if (covered) return Object.values(covered).reduce((sum, count) => sum + count, 0)
    }
    return undefined
  }
}

const NOTHING_KNOWN = { receipts: [], listed: undefined, lastRecords: undefined }
