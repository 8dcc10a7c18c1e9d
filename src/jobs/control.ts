import { RequestError } from '../errors.js'
import { type DeletedDetails, deleteDetails } from '../store/details.js'
import { findJob, type JobRow } from '../store/jobs.js'
import {
  markForRetry,
  moveJob,
  moveQuietJob,
  reopenListings,
  requeueFailedRepos,
} from '../store/transitions.js'
import { FAILURE_CLASSES, type FailureClass, RETRYABLE_FAILURES } from '../verdict.js'
import type { Asker, JobsContext } from './context.js'
import { checkRunningJobs } from './quotas.js'
import { assertHasDetails, ownJob } from './read.js'
import { ENDED_STATUSES, hasEnded, type JobEvent, movesOf, TRANSITIONS } from './state.js'

/** What an event needs the job to be, for people. */
const NEEDS: Readonly<Record<'pause' | 'resume' | 'cancel' | 'retry', string>> = {
  pause: 'only a running job can be paused',
  resume: 'only a paused job can be resumed',
  cancel: 'it has ended already',
  retry: 'only a job that is completed or failed can be tried again',
}

/** How often a move is tried that somebody else's move came in between of. */
const MOVE_TRIES = 5

/**
 * Asks for a job to be paused: `pausing`, and `paused` once nothing of it is in flight any more.
 * @throws RequestError `JobNotFound`, `InvalidState`
 */
export async function pauseJob(ctx: JobsContext, asker: Asker, id: string): Promise<JobRow> {
  return comeToRest(ctx, await request(ctx, asker, id, 'pause'))
}

/**
 * Lets a paused job go on.
 * @throws RequestError `JobNotFound`, `InvalidState`
 */
export async function resumeJob(ctx: JobsContext, asker: Asker, id: string): Promise<JobRow> {
  return request(ctx, asker, id, 'resume')
}

/**
 * Asks for a job to be ended: `cancelling`, and `cancelled` once nothing of it is in flight any more.
 * @throws RequestError `JobNotFound`, `InvalidState`
 */
export async function cancelJob(ctx: JobsContext, asker: Asker, id: string): Promise<JobRow> {
  return comeToRest(ctx, await request(ctx, asker, id, 'cancel'))
}

/**
 * Takes up what failed in a job that has ended: repos that failed in one of these ways, and discovery that could
 * not reach its end.
 * @param classes absent: every class of which the failure may go away by itself
 * @throws RequestError `JobNotFound`, `InvalidState`, `DetailsDeleted`, `QuotaExceeded`, `InvalidRequest`
 */
export async function retryJob(
  ctx: JobsContext,
  asker: Asker,
  query: { job: string; classes?: readonly string[] },
): Promise<JobRow> {
  const classes = query.classes === undefined ? RETRYABLE_FAILURES : readClasses(query.classes)
  const job = await ownJob(ctx, asker, query.job)
  assertHasDetails(job)
  if (TRANSITIONS[job.status].retry === 'refused') throw refused(job, 'retry')
  const repos = await ctx.db.transaction().execute(async (trx) => {
    const { reposPerJob } = await checkRunningJobs(ctx, trx, job.caller)
    const moved = await moveJob(trx, job.key, movesOf('retry'), new Date(ctx.now()))
    if (!moved) throw notRetried((await findJob(trx, job.id)) ?? job)
    const requeued = await markForRetry(trx, job.key, { classes, repoLimit: reposPerJob })
    const reopened = await reopenListings(trx, job.key)
    if (requeued + reopened > 0) return requeued
    throw new RequestError('InvalidState', `Job ${job.id} is ${job.status} and has nothing to try again`)
  })
  // A portion with the request; the rest is the engine's.
  if (repos > 0) await requeueFailedRepos(ctx.db, job.key)
  ctx.tell('job.retried', { job: job.id, repos })
  return changed(ctx, job)
}

/**
 * Deletes the list of repos of a job that has ended.
 * @throws RequestError `JobNotFound`, `InvalidState`
 */
export async function deleteJobDetails(ctx: JobsContext, asker: Asker, id: string): Promise<DeletedDetails> {
  const job = await ownJob(ctx, asker, id)
  const deleted = await deleteDetails(ctx.db, { key: job.key }, ENDED_STATUSES)
  if (deleted.jobs === 0) {
    const now = (await findJob(ctx.db, id)) ?? job
    if (!hasEnded(now.status)) {
      throw new RequestError(
        'InvalidState',
        `Job ${id} is ${now.status}: only a job that has ended can lose its details`,
      )
    }
    return deleted
  }
  ctx.tell('job.details-deleted', { job: id })
  ctx.notices.tell([job.key])
  return deleted
}

/** Deletes the lists of repos of all jobs of the asker that have ended. */
export async function deleteAllJobDetails(ctx: JobsContext, asker: Asker): Promise<DeletedDetails> {
  const deleted = await deleteDetails(ctx.db, { caller: asker.did }, ENDED_STATUSES)
  if (deleted.jobs > 0) ctx.tell('job.details-deleted', { caller: asker.did, jobs: deleted.jobs })
  return deleted
}

/** Moves a job at a caller's request; of two that race, the table says what the later one is told. */
async function request(
  ctx: JobsContext,
  asker: Asker,
  id: string,
  event: 'pause' | 'resume' | 'cancel',
): Promise<JobRow> {
  for (let tries = 1; ; tries += 1) {
    const job = await ownJob(ctx, asker, id)
    const next = TRANSITIONS[job.status][event]
    if (next === 'same') return job
    if (next === 'refused' || tries > MOVE_TRIES) throw refused(job, event)
    const moved = await moveJob(ctx.db, job.key, movesOf(event), new Date(ctx.now()))
    if (!moved) continue
    ctx.tell(`job.${moved.status}`, { job: id })
    const now = await changed(ctx, job)
    // Told as it was asked for, even if it has stopped meanwhile.
    return event === 'resume' ? now : { ...now, status: moved.status, stage: job.stage }
  }
}

/** Brings a job to rest at once of which nothing is in flight; whoever works on it does it otherwise. */
async function comeToRest(ctx: JobsContext, job: JobRow): Promise<JobRow> {
  const moved = await moveQuietJob(ctx.db, job.key, movesOf('quiet'), new Date(ctx.now()))
  if (moved) {
    ctx.tell(`job.${moved.status}`, { job: job.id })
    ctx.notices.tell([job.key])
  }
  // As it was at the request: the caller is told the same whether or not there was something to wait for.
  return job
}

async function changed(ctx: JobsContext, job: JobRow): Promise<JobRow> {
  ctx.notices.tell([job.key])
  return (await findJob(ctx.db, job.id)) ?? job
}

function refused(job: JobRow, event: keyof typeof NEEDS & JobEvent): RequestError {
  return new RequestError('InvalidState', `Job ${job.id} is ${job.status}: ${NEEDS[event]}`)
}

function notRetried(job: JobRow): RequestError {
  assertHasDetails(job)
  return refused(job, 'retry')
}

function readClasses(classes: readonly string[]): FailureClass[] {
  const known = new Set<string>(FAILURE_CLASSES)
  const unknown = classes.filter((name) => !known.has(name))
  if (unknown.length > 0) {
    const names = unknown.map((name) => JSON.stringify(name.slice(0, 100))).join(', ')
    throw new RequestError('InvalidRequest', `classes: ${names}: must be among ${FAILURE_CLASSES.join(', ')}`)
  }
  return [...new Set(classes)] as FailureClass[]
}
