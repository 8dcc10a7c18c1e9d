import { JOB_STATUSES, type JobStatus } from '../verdict.js'

/**
 * What becomes of a job's status, for every status and every event. Pure: the API asks it why a request is
 * refused, the store builds its guarded statements from it.
 */

export const JOB_EVENTS = [
  /** Requests of a caller. */
  'pause',
  'resume',
  'cancel',
  'retry',
  /** Nothing of the job is in flight any more, in any process. */
  'quiet',
  /** Discovery has reached its end without a gap, and every repo has its outcome. */
  'done',
  /** Every repo that was found has its outcome, but discovery cannot reach its end. */
  'done-with-gap',
] as const
export type JobEvent = (typeof JOB_EVENTS)[number]

/** The next status; `same`: the request is under way already; `refused`: the event does not fit the status. */
export type Transition = JobStatus | 'same' | 'refused'

export const TRANSITIONS: Readonly<Record<JobStatus, Readonly<Record<JobEvent, Transition>>>> = {
  running: {
    pause: 'pausing',
    resume: 'refused',
    cancel: 'cancelling',
    retry: 'refused',
    quiet: 'refused',
    done: 'completed',
    'done-with-gap': 'failed',
  },
  // A job whose last repo ends while it is pausing is paused all the same, and ends when it is resumed.
  pausing: {
    pause: 'same',
    resume: 'refused',
    cancel: 'cancelling',
    retry: 'refused',
    quiet: 'paused',
    done: 'refused',
    'done-with-gap': 'refused',
  },
  paused: {
    pause: 'refused',
    resume: 'running',
    cancel: 'cancelling',
    retry: 'refused',
    quiet: 'refused',
    done: 'refused',
    'done-with-gap': 'refused',
  },
  cancelling: {
    pause: 'refused',
    resume: 'refused',
    cancel: 'same',
    retry: 'refused',
    quiet: 'cancelled',
    done: 'refused',
    'done-with-gap': 'refused',
  },
  cancelled: {
    pause: 'refused',
    resume: 'refused',
    cancel: 'refused',
    retry: 'refused',
    quiet: 'refused',
    done: 'refused',
    'done-with-gap': 'refused',
  },
  completed: {
    pause: 'refused',
    resume: 'refused',
    cancel: 'refused',
    retry: 'running',
    quiet: 'refused',
    done: 'refused',
    'done-with-gap': 'refused',
  },
  failed: {
    pause: 'refused',
    resume: 'refused',
    cancel: 'refused',
    retry: 'running',
    quiet: 'refused',
    done: 'refused',
    'done-with-gap': 'refused',
  },
}

/** The moves an event can make: from which status to which. */
export function movesOf(event: JobEvent): { from: JobStatus; to: JobStatus }[] {
  return JOB_STATUSES.flatMap((from) => {
    const to = TRANSITIONS[from][event]
    return to === 'same' || to === 'refused' ? [] : [{ from, to }]
  })
}

/** A job that has ended: its counters stand, and its details may be deleted. */
export const ENDED_STATUSES = ['cancelled', 'completed', 'failed'] as const satisfies readonly JobStatus[]

export function hasEnded(status: JobStatus): boolean {
  return (ENDED_STATUSES as readonly JobStatus[]).includes(status)
}
