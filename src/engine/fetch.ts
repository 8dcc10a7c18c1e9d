import { Failure, Unavailable } from '../atproto/outcome.js'
import { type Query, RepoNotFound } from '../atproto/pds.js'
import { SpoolTrouble } from '../atproto/repo/spool.js'
import type { CarQuery } from '../atproto/sync.js'
import { IDENTITY_EXPIRED_MS } from '../store/did-cache.js'
import type { OptionalMethod } from '../store/host-support.js'
import { type HostClaim, hostIds } from '../store/hosts.js'
import type { RunningJob } from '../store/jobs.js'
import type { FailureClass } from '../verdict.js'
import type { EngineContext } from './context.js'
import type { KnownRepo } from './due-queue.js'
import { LivesElsewhere, type LookUp, LookUpHeld } from './look-up.js'
import { RepoReader } from './methods.js'
import { methodOf } from './reading.js'
import { RepoState } from './repo-state.js'
import { standingVerdict } from './unchanged.js'

/** Until a repo is sent again for which there was no room on our disk. */
const FILE_PAUSE_MS = 5 * 60_000

export interface Assignment {
  readonly claim: HostClaim
  readonly job: RunningJob
  readonly repo: KnownRepo
  readonly query: Query
  /** The same host, asked for bytes. */
  readonly car: CarQuery
  /** What the host does not offer; the driver's own list, which grows. */
  readonly unsupported: Set<OptionalMethod>
  /**
   * Whether driver and job go on; a reading ends at a page otherwise.
   * @param canGoOnLater whether the reading can be gone on with; one that cannot does not end because time is up
   */
  readonly goesOn: (canGoOnLater: boolean) => boolean
  /** For the account's document, where the host alone does not do. */
  readonly lookUp: LookUp
  /** Told when nothing more is to be asked of the host for this repo. */
  readonly allRead: () => void
}

/**
 * Takes one repo to its outcome, or to a later try.
 * @throws RateLimited, ClaimLost, JobStopped, SpoolTrouble, or what the database or a shutdown threw: the repo stays
 *   as last written
 */
export async function fetchRepo(ctx: EngineContext, assignment: Assignment): Promise<void> {
  const state = new RepoState(ctx, assignment)
  try {
    await read(ctx, assignment, state).catch((error: unknown) => {
      if (!mayHaveMoved(error, ctx.retry.repo.attempts - assignment.repo.attempts)) throw error
      return follow(ctx, assignment, state, error)
    })
  } catch (error) {
    if (error instanceof LookUpHeld) await state.deferred(error.until)
    else if (error instanceof Unavailable) await state.unavailable(error)
    else if (error instanceof Failure) await state.failed(error)
    else if (error instanceof SpoolTrouble) {
      // Larger than all the room there is, perhaps: others come first when there is some.
      await state.deferred(new Date(ctx.now() + FILE_PAUSE_MS))
      throw error
    } else throw error
  }
}

async function read(ctx: EngineContext, assignment: Assignment, state: RepoState): Promise<void> {
  const { claim, job, goesOn, allRead, repo, lookUp } = assignment
  // Its host may have been found days ago. Of a job that is younger no repo needs that look.
  const expiredAt = ctx.now() - IDENTITY_EXPIRED_MS
  if (job.createdAt.getTime() < expiredAt) await lookUp.assertLivesAt(claim.origin, expiredAt)
  // Of most repos nothing is known, and nothing to be waited for.
  const standing = repo.receipts.length > 0 ? await standingVerdict(assignment) : null
  if (standing) {
    allRead()
    return state.unchanged(standing)
  }
  let written: Promise<void> = Promise.resolve()
  try {
    await new RepoReader(ctx, assignment, state).read(async (reading) => {
      await written
      written = state.store(reading)
      // Awaited with the next page in hand, or below: a failure before that must not count as unhandled.
      written.catch(() => {})
      const canGoOnLater = methodOf(reading.progress) === 'list-records'
      if (reading.kind !== 'complete' && !goesOn(canGoOnLater)) return false
      await ctx.writer.room()
      return true
    })
    allRead()
  } finally {
    // When the reading fails too: what is written of the failure must not overtake the page before it.
    await written
  }
}

/** What a host says, or signs, of an account that has moved is no verdict on it. */
type PerhapsMoved = RepoNotFound | Unavailable | Failure | LivesElsewhere

/** Nobody answers where the account is said to live. */
const AWAY: ReadonlySet<FailureClass> = new Set(['dns-failure', 'connection-failed', 'timeout'])

/** @param triesLeft this one included; before the last one of a host that does not answer the directory is asked, too */
function mayHaveMoved(error: unknown, triesLeft: number): error is PerhapsMoved {
  if (error instanceof Failure) {
    return error.failure === 'bad-signature' || (triesLeft === 2 && AWAY.has(error.failure))
  }
  return error instanceof RepoNotFound || error instanceof Unavailable || error instanceof LivesElsewhere
}

/**
 * The host does not have the repo, or not any more, or not as it is by now, or is not there, so perhaps it has moved: an
 * account that moves is deactivated or deleted where it was, or should be. The directory is asked before this is a
 * verdict.
 */
async function follow(
  ctx: EngineContext,
  { claim, lookUp }: Assignment,
  state: RepoState,
  gone: PerhapsMoved,
): Promise<void> {
  // A signature was judged by the document of this moment.
  const isFresh = gone instanceof Failure && gone.failure === 'bad-signature'
  const { origin } = gone instanceof LivesElsewhere ? gone : await lookUp.locate(!isFresh)
  if (origin === claim.origin) throw verdict(gone, claim.origin)
  const hosts = await hostIds(ctx.db, [origin])
  await state.moved(hosts.get(origin)!, origin)
}

function verdict(gone: PerhapsMoved, origin: string): Error {
  if (!(gone instanceof RepoNotFound)) return gone
  return new Failure('repo-not-found', `${origin} does not know this account`)
}
