/**
 * The closed vocabulary of how work can end. Everything that names a status, a stage, a method, a level, a
 * failure class or a reason takes it from here; the database's enum types and the lexicons list the same words.
 */

export const JOB_STATUSES = [
  'running',
  'pausing',
  'paused',
  'cancelling',
  'cancelled',
  'completed',
  'failed',
] as const
export type JobStatus = (typeof JOB_STATUSES)[number]

/** Whether the list of a job's repos is there, goes away in small portions, or is gone. */
export type JobDetails = 'kept' | 'deleting' | 'deleted'

/** Whether the records that no other job needs are still going away, or are gone. */
export type JobPurge = 'purging' | 'purged'

export const JOB_STAGES = [
  'pending',
  'discovering-repos',
  'resolving-and-fetching',
  'completed',
  'failed',
  'cancelled',
] as const
export type JobStage = (typeof JOB_STAGES)[number]

export const REPO_STATUSES = [
  'waiting',
  'resolved',
  'fetching',
  'completed',
  'unavailable',
  'failed',
] as const
export type RepoStatus = (typeof REPO_STATUSES)[number]

/** How a repo's records are fetched; `unchanged` when a receipt already covered them. */
export const METHODS = ['list-records', 'get-repo', 'sparse', 'unchanged'] as const
export type Method = (typeof METHODS)[number]

/** What a caller may ask for: a method, or the choice left to us. */
export const REQUESTABLE_METHODS = ['auto', 'list-records', 'get-repo', 'sparse'] as const
export type RequestedMethod = (typeof REQUESTABLE_METHODS)[number]

/** How far a record is proven, weakest first (the database compares levels by this order). */
export const LEVELS = ['none', 'content', 'signed'] as const
export type Level = (typeof LEVELS)[number]

/** Nobody gave a definite answer, so asking again may help. */
export const RETRYABLE_FAILURES = [
  'host-unavailable',
  'dns-failure',
  'connection-failed',
  'timeout',
  'host-error',
  'bad-response',
  'incomplete-car',
  'too-slow',
  'directory-unavailable',
] as const

/** A definite answer: final until a caller asks again. */
export const FINAL_FAILURES = [
  'did-not-found',
  'did-invalid',
  'host-blocked',
  'repo-not-found',
  'body-too-large',
  'cursor-loop',
  'cid-mismatch',
  'bad-signature',
  'did-mismatch',
  'bad-tree',
  'rev-regressed',
  'unverifiable',
] as const

export const FAILURE_CLASSES = [...RETRYABLE_FAILURES, ...FINAL_FAILURES] as const
export type FailureClass = (typeof FAILURE_CLASSES)[number]

/** The account says so itself: not a failure, and not worth a retry. */
export const UNAVAILABLE_REASONS = ['deactivated', 'takendown', 'suspended', 'deleted', 'tombstoned'] as const
export type UnavailableReason = (typeof UNAVAILABLE_REASONS)[number]

/** Whether a host can be asked: while it wants to be left alone, it cools; given up for some time, it is parked. */
export const HOST_STATES = ['ok', 'cooling', 'parked'] as const
export type HostState = (typeof HOST_STATES)[number]

const retryable: ReadonlySet<string> = new Set(RETRYABLE_FAILURES)

/** Whether a failure of this class may go away by asking again. */
export function isRetryable(failure: FailureClass): boolean {
  return retryable.has(failure)
}
