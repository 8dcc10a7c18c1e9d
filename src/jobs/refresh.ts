import { createHash } from 'node:crypto'
import { hostnameToOrigin } from '../atproto/host.js'
import { RequestError } from '../errors.js'
import type { Trx } from '../store/database.js'
import { insertJob, type JobRow } from '../store/jobs.js'
import { didsOf, holdDetails, queueFormerRepos } from '../store/refresh.js'
import type { Asker, JobsContext } from './context.js'
import { fromOf, jobOfToken, startJob } from './create.js'
import { assertScope, checkText, type NamedHost, type Scope } from './input.js'
import { checkRepos } from './quotas.js'
import { ownJob } from './read.js'
import { hasEnded } from './state.js'

/** Repos queued with the request; the rest is the engine's. */
const PORTION = 5_000

export interface RefreshInput {
  readonly job: string
  readonly name?: string
  readonly clientToken?: string
}

/**
 * Starts a job that repeats one which has ended: with its repos, and with those that are discovered today if it
 * discovered them.
 * @throws RequestError `JobNotFound`, `InvalidState`, `DetailsDeleted`, `InvalidHost`, `ScopeTooBroad`,
 *   `ClientTokenConflict`, `QuotaExceeded`
 */
export async function refreshJob(ctx: JobsContext, asker: Asker, input: RefreshInput): Promise<JobRow> {
  const former = await ownJob(ctx, asker, input.job)
  const name = checkText('name', input.name)
  const clientToken = checkText('clientToken', input.clientToken)
  const token = { clientToken, hash: hashOf(former, name) }
  const before = await jobOfToken(ctx, asker, token)
  if (before) return before
  if (!hasEnded(former.status)) {
    throw new RequestError(
      'InvalidState',
      `Job ${former.id} is ${former.status}: only a job that has ended can be refreshed`,
    )
  }
  const scope = scopeOf(ctx, former)
  assertScope(scope, asker)
  const { relays } = ctx.config.network
  return startJob(ctx, asker, token, async (trx, quotas, id) => {
    const queues = await holdDetails(trx, former.key)
    const repos = scope.repos && (await namedRepos(trx, former, queues))
    checkRepos(quotas, asker.did, queues ? former.total : (repos?.length ?? null))
    const inserted = await insertJob(trx, {
      id,
      caller: asker.did,
      clientToken,
      inputHash: token.hash,
      name: name ?? former.name,
      collections: former.collections,
      method: former.method,
      level: former.level,
      createdAt: new Date(ctx.now()),
      repoLimit: quotas.reposPerJob,
      from: repos ? { repos } : fromOf(scope, relays),
      cursorsOf: relays,
      refreshes: { job: former.id, queueRepos: queues },
    })
    if (inserted && queues) await queueFormerRepos(trx, id, PORTION)
    return inserted
  })
}

/** @throws RequestError `InvalidRequest` for a job of which nobody can tell what has changed */
export function assertRefreshes(job: JobRow): void {
  if (job.refreshes !== null) return
  const said = `changes: job ${job.id} refreshes no other one; it has everything`
  throw new RequestError('InvalidRequest', said)
}

function hashOf(former: JobRow, name: string | null): string {
  return createHash('sha256')
    .update(JSON.stringify(['refresh', former.id, name]))
    .digest('base64url')
}

/** Of what and whom a job was; of one that named its repos, how many there are does not matter here. */
function scopeOf({ config }: JobsContext, { collections, repo_count, hosts }: JobRow): Scope {
  return { collections, repos: repo_count === null ? null : [], hosts: hosts && namedHosts(config, hosts) }
}

function namedHosts({ network }: JobsContext['config'], hostnames: readonly string[]): NamedHost[] {
  return hostnames.map((hostname) => {
    const origin = hostnameToOrigin(hostname, network)
    if (origin !== null) return { hostname, origin }
    throw new RequestError(
      'InvalidHost',
      `The job was limited to ${hostname}, which may not be asked any more`,
    )
  })
}

async function namedRepos(trx: Trx, former: JobRow, areKept: boolean): Promise<string[]> {
  if (areKept) return didsOf(trx, former.key)
  throw new RequestError(
    'DetailsDeleted',
    `The details of job ${former.id} were deleted, and with them the list of the repos that it named`,
  )
}
