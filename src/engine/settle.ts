import { completeJob } from '../store/jobs.js'
import type { RepoStep } from '../store/steps.js'
import type { EngineContext } from './context.js'

type Needs = Pick<EngineContext, 'db' | 'tell' | 'now'>

/** Ends a job that has nothing left to do. Any number of calls do no harm: one of them ends it. */
export async function settleJob(ctx: Needs, key: number): Promise<void> {
  const id = await completeJob(ctx.db, key, new Date(ctx.now()))
  if (id !== null) ctx.tell('job.completed', { job: id })
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
    for (const job of jobs) {
      // The sweep looks at every running job anyway; a lost connection here delays the end, no more.
      await settleJob(this.#ctx, job).catch((error: unknown) => {
        this.#ctx.tell('engine.sweep-failed', { err: error })
      })
    }
  }
}
