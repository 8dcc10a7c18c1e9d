import { firehosePosition, NoFirehose } from '../atproto/firehose.js'
import { Failure, RateLimited } from '../atproto/outcome.js'
import type { RunningJob } from '../store/jobs.js'
import { deferCursor, type OpenCursor, openCursors, settleCursor } from '../store/start-cursors.js'
import { type FailureClass, isRetryable } from '../verdict.js'
import type { EngineContext } from './context.js'
import { JobStopped } from './engagements.js'
import { whyGivenUp } from './give-up.js'
import { SHORT_PAUSE_MS } from './limits.js'
import { backoffMs } from './retry.js'

/**
 * Before anything of a job is read, the position of each relay's firehose is taken: so whatever is read later is at
 * least as new as everything before the position, and a consumer that replays from there misses nothing. A position
 * is taken and stored before the job begins, or never: there is no moment at which a process that dies could leave
 * a job that has begun without one (docs/decisions/0009).
 */

/** An event comes within milliseconds where anything is going on. A firehose that is silent for so long is quiet. */
export const QUIET_MS = 3_000

/** Tries where the relay is there but does not give its position. Long waits are for relays that are away. */
const ATTEMPTS_MAX = 3

/** Nobody answers: a listing of the same relay would fail alike. */
const AWAY: ReadonlySet<FailureClass> = new Set(['dns-failure', 'connection-failed', 'timeout'])

/**
 * @param patient wait for a relay that is away as long as for a listing of it, which is needed as well
 * @returns whether the job has begun: every position is taken, or will not be
 */
export async function takeStartCursors(
  ctx: EngineContext,
  job: RunningJob,
  patient: boolean,
  signal: AbortSignal,
): Promise<boolean> {
  const open = await openCursors(ctx.db, job.key)
  if (open.length === 0) return true
  const due = open.filter(({ retryAt }) => retryAt === null || retryAt.getTime() <= ctx.now())
  const takings = await Promise.allSettled(due.map((cursor) => take(ctx, job, cursor, patient, signal)))
  for (const taking of takings) if (taking.status === 'rejected') throw taking.reason
  if ((await openCursors(ctx.db, job.key)).length > 0) return false
  // Repos that the caller named have waited for this.
  await ctx.dispatch.wake('resolve', [ctx.directoryHost])
  return true
}

async function take(
  ctx: EngineContext,
  job: RunningJob,
  { relay, attempts }: OpenCursor,
  patient: boolean,
  signal: AbortSignal,
): Promise<void> {
  const { db, http, now, random } = ctx
  const gate = await ctx.relays.gate(relay)
  if (gate.heldUntil > now() || gate.nextAt - now() > SHORT_PAUSE_MS) {
    return deferCursor(db, job.key, relay, { attempts, retryAt: new Date(gate.nextAt) })
  }
  try {
    const passage = await gate.pass(signal)
    // What a relay says of its listings is of other requests than this one.
    passage.dropped()
    const seq = await firehosePosition(relay, { http, quietMs: ctx.quietMs, signal, now, random })
    await settleCursor(db, job.key, relay, { seq })
    ctx.tell('discovery.start-cursor', { job: job.id, relay, seq })
  } catch (error) {
    if (signal.aborted || error instanceof JobStopped) return
    if (error instanceof RateLimited) {
      const why = whyGivenUp(ctx, await ctx.relays.pause(relay, error.until))
      if (why !== null) await goWithout(ctx, job, relay, `host-unavailable: ${why}`)
      else await deferCursor(db, job.key, relay, { attempts, retryAt: error.until })
    } else if (error instanceof Failure) await failed(ctx, job, relay, attempts + 1, error, patient)
    else if (error instanceof NoFirehose) await goWithout(ctx, job, relay, error.message)
    else throw error
  }
}

async function failed(
  ctx: EngineContext,
  job: RunningJob,
  relay: string,
  attempts: number,
  { failure, message }: Failure,
  patient: boolean,
): Promise<void> {
  const { listing } = ctx.retry
  const most = patient && AWAY.has(failure) ? listing.attempts : Math.min(ATTEMPTS_MAX, listing.attempts)
  if (!isRetryable(failure) || attempts >= most) return goWithout(ctx, job, relay, `${failure}: ${message}`)
  const retryAt = new Date(ctx.now() + backoffMs(listing, attempts, ctx.random()))
  await deferCursor(ctx.db, job.key, relay, { attempts, retryAt })
  ctx.tell('discovery.deferred', {
    job: job.id,
    origin: relay,
    lists: 'events',
    attempts,
    retryAt,
    why: message,
  })
}

/** The job does not fail for it: records are what it is for. That the relay has no position is there to be seen. */
async function goWithout(ctx: EngineContext, job: RunningJob, relay: string, why: string): Promise<void> {
  await settleCursor(ctx.db, job.key, relay, { failure: why })
  ctx.tell('discovery.no-start-cursor', { job: job.id, relay, why })
}
