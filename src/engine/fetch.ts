import { Failure, RateLimited, Unavailable } from '../atproto/outcome.js'
import { type Query, RepoNotFound } from '../atproto/pds.js'
import { type HostClaim, hostIds } from '../store/hosts.js'
import type { RunningJob } from '../store/jobs.js'
import type { DueRepo } from '../store/repos.js'
import type { EngineContext } from './context.js'
import { type Progress, readByListRecords } from './list-records.js'
import { RepoState } from './repo-state.js'

export interface Assignment {
  readonly claim: HostClaim
  readonly job: RunningJob
  readonly repo: DueRepo
  readonly query: Query
}

/**
 * Takes one repo to its outcome, or to a later try.
 * @throws RateLimited, ClaimLost, or what the database or a shutdown threw: the repo stays as last written
 */
export async function fetchRepo(ctx: EngineContext, assignment: Assignment): Promise<void> {
  const state = new RepoState(ctx, assignment)
  try {
    await read(ctx, assignment, state).catch((error: unknown) => {
      if (error instanceof RepoNotFound) return follow(ctx, assignment, state)
      throw error
    })
  } catch (error) {
    if (error instanceof Unavailable) await state.unavailable(error)
    else if (error instanceof Failure) await state.failed(error)
    else throw error
  }
}

async function read(ctx: EngineContext, { job, repo, query }: Assignment, state: RepoState): Promise<void> {
  const earlier = repo.progress as Progress | null
  // A reading that replaces rows holds their keys in memory; begun in another process, it starts over.
  const from = earlier?.replaces ? null : earlier
  const wish = {
    did: repo.did,
    collections: job.collections,
    level: job.level,
    stored: repo.stored && from === null,
  }
  let written: Promise<void> = Promise.resolve()
  for await (const reading of readByListRecords(query, wish, from, ctx.now)) {
    await written
    written = state.store(reading)
    // Awaited with the next page in hand, or below: a failure before that must not count as unhandled.
    written.catch(() => {})
  }
  await written
}

/** The host does not know the repo, so perhaps it has moved: the directory is asked before this is a verdict. */
async function follow(ctx: EngineContext, { claim, repo }: Assignment, state: RepoState): Promise<void> {
  try {
    const located = await ctx.identities.locate(repo.did, true)
    if (located.origin === claim.origin) {
      throw new Failure('repo-not-found', `${claim.origin} does not know this account`)
    }
    const hosts = await hostIds(ctx.db, [located.origin])
    await state.moved(hosts.get(located.origin)!, located.origin)
  } catch (error) {
    // Not this host's cooldown, but the directory's.
    if (error instanceof RateLimited) await state.deferred(error.until)
    else throw error
  }
}
