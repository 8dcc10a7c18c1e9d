import type { ChangedRepo } from '../store/changes.js'
import type { JobRow } from '../store/jobs.js'
import type { JobStage } from '../verdict.js'

/** What there is to tell of a job, in the order of its numbers. Pure. */
export type FeedEvent = { readonly job: JobRow; readonly seq: number } & (
  | { readonly kind: 'snapshot' | 'counters' | 'stage' | 'completed' | 'outdated' }
  | { readonly kind: 'repo'; readonly repo: ChangedRepo }
)

/**
 * The changes after one number and not after another. The stage has a place among them if it was reached there,
 * and is left out when it is the one that was told already.
 */
export function eventsOf(
  job: JobRow,
  repos: readonly ChangedRepo[],
  range: { after: number; through: number },
  toldStage: JobStage | null,
): FeedEvent[] {
  const events: FeedEvent[] = repos.map((repo) => ({ kind: 'repo', job, seq: repo.seq, repo }))
  const seq = job.state_seq
  if (seq > range.after && seq <= range.through && job.stage !== toldStage) {
    const later = events.findIndex((event) => event.seq > seq)
    events.splice(later < 0 ? events.length : later, 0, { kind: 'stage', job, seq })
  }
  return events
}

/** What the counters' message tells, to compare one look with another. */
export function countersOf(job: JobRow): string {
  const { status, stage, discovery_complete, total, resolved, completed, unavailable, failed, records } = job
  const { failures } = job
  return JSON.stringify([
    [status, stage, discovery_complete],
    [total, resolved, completed, unavailable, failed, records],
    failures,
  ])
}
