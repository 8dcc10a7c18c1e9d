import { Failure, RateLimited, Unavailable } from '../atproto/outcome.js'
import { type Query, RepoNotFound } from '../atproto/pds.js'
import { type HostClaim, hostIds } from '../store/hosts.js'
import type { RunningJob } from '../store/jobs.js'
import type { DueRepo } from '../store/repos.js'
import type { EngineContext } from './context.js'
import { SHORT_PAUSE_MS } from './limits.js'
import { type Progress, readByListRecords } from './list-records.js'
import { pauseHost } from './relays.js'
import { RepoState } from './repo-state.js'

export interface Assignment {
  readonly claim: HostClaim
  readonly job: RunningJob
  readonly repo: DueRepo
  readonly query: Query
  /** Whether driver and job go on; a reading that can be gone on with later ends at a page otherwise. */
  readonly goesOn: () => boolean
  /** Waits for a request's turn at the directory. */
  readonly turnAtDirectory: () => Promise<void>
}

/**
 * Takes one repo to its outcome, or to a later try.
 * @throws RateLimited, ClaimLost, JobStopped, or what the database or a shutdown threw: the repo stays as last written
 */
export async function fetchRepo(ctx: EngineContext, assignment: Assignment): Promise<void> {
  const state = new RepoState(ctx, assignment)
  try {
    await read(ctx, assignment, state).catch((error: unknown) => {
      if (error instanceof RepoNotFound || error instanceof Unavailable) {
        return follow(ctx, assignment, state, error)
      }
      throw error
    })
  } catch (error) {
    if (error instanceof Unavailable) await state.unavailable(error)
    else if (error instanceof Failure) await state.failed(error)
    else throw error
  }
}

async function read(ctx: EngineContext, assignment: Assignment, state: RepoState): Promise<void> {
  const { job, repo, query, goesOn } = assignment
  const earlier = repo.progress as Progress | null
  // An older version kept the keys that such a reading found in memory only: it starts over.
  const from = earlier?.replaces && earlier.reading === undefined ? null : earlier
  const wish = {
    did: repo.did,
    collections: job.collections,
    level: job.level,
    stored: repo.stored && from === null,
    lastRev: repo.lastRev,
  }
  let written: Promise<void> = Promise.resolve()
  try {
    for await (const reading of readByListRecords(query, wish, from, ctx.now)) {
      await written
      written = state.store(reading)
      // Awaited with the next page in hand, or below: a failure before that must not count as unhandled.
      written.catch(() => {})
      if (reading.kind !== 'complete' && !goesOn()) break
    }
  } finally {
    // When the reading fails too: what is written of the failure must not overtake the page before it.
    await written
  }
}

/**
 * The host does not have the repo, or not any more, so perhaps it has moved: an account that moves is deactivated
 * or deleted where it was. The directory is asked before this is a verdict.
 */
async function follow(
  ctx: EngineContext,
  { claim, repo, turnAtDirectory }: Assignment,
  state: RepoState,
  gone: RepoNotFound | Unavailable,
): Promise<void> {
  const { directoryGate } = ctx
  // Nobody waits for a directory in a place that another repo could have.
  if (directoryGate.heldUntil - ctx.now() > SHORT_PAUSE_MS) {
    return state.deferred(new Date(directoryGate.heldUntil))
  }
  try {
    const located = await ctx.identitiesPaced(turnAtDirectory).locate(repo.did, true)
    if (located.origin === claim.origin) throw verdict(gone, claim.origin)
    const hosts = await hostIds(ctx.db, [located.origin])
    await state.moved(hosts.get(located.origin)!, located.origin)
  } catch (error) {
    if (!(error instanceof RateLimited)) throw error
    // Not this host's cooldown, but the directory's, or that of one did:web.
    if (repo.did.startsWith('did:plc:')) {
      directoryGate.holdUntil(error.until.getTime())
      await pauseHost(ctx.db, ctx.directoryHost, ctx.clock.toDatabase(error.until.getTime()))
    }
    await state.deferred(error.until)
  }
}

function verdict(gone: RepoNotFound | Unavailable, origin: string): Error {
  if (gone instanceof Unavailable) return gone
  return new Failure('repo-not-found', `${origin} does not know this account`)
}
