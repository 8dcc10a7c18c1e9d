import { movesOf } from '../jobs/state.js'
import type { RepoStep } from '../store/steps.js'
import { jobsAtEnd, type MovedJob, moveDoneJob, moveGivenUpJob, moveQuietJob } from '../store/transitions.js'
import type { EngineContext } from './context.js'

type Needs = Pick<EngineContext, 'db' | 'tell' | 'now' | 'notices'>

/** Ends jobs that have nothing left to do. Any number of calls do no harm: one of them ends each. */
export async function settleJobs(ctx: Needs, keys: readonly number[] | null): Promise<void> {
  for (const job of await jobsAtEnd(ctx.db, keys)) {
    const now = new Date(ctx.now())
    const moved =
      (await moveDoneJob(ctx.db, job, movesOf('done'), now)) ??
      (await moveGivenUpJob(ctx.db, job, movesOf('done-with-gap'), now))
    tellMoved(ctx, job, moved)
  }
}

/** Brings a job to rest that is pausing or being cancelled, if nothing of it is in flight any more. */
export async function settleStopping(ctx: Needs, key: number): Promise<void> {
  tellMoved(ctx, key, await moveQuietJob(ctx.db, key, movesOf('quiet'), new Date(ctx.now())))
}

function tellMoved(ctx: Needs, key: number, moved: MovedJob | null): void {
  if (moved === null) return
  ctx.tell(`job.${moved.status}`, { job: moved.id })
  ctx.notices.tell([key])
}

const OUTCOMES: ReadonlySet<string> = new Set(['completed', 'unavailable', 'failed'])

/** How long outcomes gather before their jobs are looked at. */
const GATHER_MS = 100

/** Looks at jobs after repos of theirs reached an outcome, at most ten times a second. */
export class Settler {
  readonly #ctx: Needs
  readonly #jobs = new Set<number>()
  #timer: NodeJS.Timeout | null = null

  constructor(ctx: Needs) {
    this.#ctx = ctx
  }

  noticed(steps: readonly RepoStep[]): void {
    for (const step of steps) if (OUTCOMES.has(step.status)) this.#jobs.add(step.job)
    if (this.#jobs.size > 0) this.#timer ??= setTimeout(() => void this.flush(), GATHER_MS)
  }

  async flush(): Promise<void> {
    if (this.#timer) clearTimeout(this.#timer)
    this.#timer = null
    const jobs = [...this.#jobs]
    this.#jobs.clear()
    if (jobs.length === 0) return
    // The sweep looks at every running job anyway; a lost connection here delays the end, no more.
    await settleJobs(this.#ctx, jobs).catch((error: unknown) => {
      this.#ctx.tell('engine.sweep-failed', { err: error })
    })
  }
}
