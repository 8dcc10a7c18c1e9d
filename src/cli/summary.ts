import { EXIT } from './exit.js'
import type { JobCounters } from './progress.js'
import { count, counted, plain } from './text.js'

/** What the end of a job is told from. */
export interface EndedJob extends JobCounters {
  readonly completedRepos: number
  readonly failures?: readonly {
    readonly class: string
    readonly count: number
    readonly retryable: boolean
  }[]
  readonly error?: string
}

/** What came of a job, for people. Pure. */
export function summaryOf(job: EndedJob, path: string | null = null): string {
  const lines = [
    headline(job),
    `  ${count(job.completedRepos)} of ${counted(job.totalRepos, 'repo')} completed, ` +
      `${counted(job.totalRecords, 'record')}${path === null ? '' : ` in ${path}`}`,
  ]
  if (job.unavailableRepos > 0) {
    lines.push(`  ${count(job.unavailableRepos)} unavailable (deactivated, taken down or deleted)`)
  }
  for (const failure of job.failures ?? []) {
    const again = failure.retryable ? ' (may go away by itself)' : ''
    lines.push(`  ${count(failure.count)} failed: ${plain(failure.class)}${again}`)
  }
  return `${lines.join('\n')}\n`
}

function headline({ status, error, failedRepos }: EndedJob): string {
  if (status === 'completed') return failedRepos > 0 ? 'Done, but not for every repo.' : 'Done.'
  if (status === 'failed') return `Failed: ${plain(error ?? 'no reason is given')}`
  return status === 'cancelled' ? 'Cancelled.' : `The job is ${plain(status)}.`
}

/** The exit code that tells a script how a job ended. */
export function exitCodeOf(job: Pick<EndedJob, 'status' | 'failedRepos'>): number {
  if (job.status !== 'completed') return EXIT.failed
  return job.failedRepos > 0 ? EXIT.incomplete : EXIT.done
}
