import type { JobMessage, JobView, PdsSummary } from '../client/index.js'

/** What is known of a job that is being watched. */
export interface Watched {
  readonly job: JobView
  /** null while nobody has been asked, or where they are not to be had. */
  readonly hosts: PdsSummary | null
  /** Since when the connection is lost, ms since the epoch. */
  readonly lostAt: number | null
}

const ENDS: readonly string[] = ['completed', 'failed', 'cancelled']

/** Whether nothing happens to a job any more by itself. */
export function isOver({ status }: JobView): boolean {
  return ENDS.includes(status)
}

/** What is known once a message has come. Pure. */
export function heard(watched: Watched, message: JobMessage): Watched {
  const { job } = watched
  const connected = { ...watched, lostAt: null }
  switch (message.type) {
    case 'jobSnapshot':
      return { ...connected, job: message.view }
    case 'jobCounters': {
      const { type: _, seq: _seq, job: _job, time: _time, failures = [], ...counters } = message
      return { ...connected, job: { ...job, ...counters, failures } }
    }
    case 'jobStageChanged':
      return { ...connected, job: { ...job, stage: message.stage } }
    case 'jobCompleted':
      return { ...connected, job: { ...job, status: message.status } }
    // The counters say what these come to.
    default:
      return connected
  }
}
