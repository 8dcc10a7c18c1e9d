import { createHash } from 'node:crypto'
import { TID } from '@atproto/common-web'
import { hostnameToOrigin } from '../atproto/host.js'
import { RequestError } from '../errors.js'
import type { Trx } from '../store/database.js'
import { findJob, insertJob, type JobRow, type NewJob } from '../store/jobs.js'
import { didsOf, holdDetails, queueFormerRepos } from '../store/refresh.js'
import type { Asker, JobsContext } from './context.js'
import { fromOf, insertWithinQuotas, jobOfToken } from './create.js'
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
  const labels = {
    clientToken: checkText('clientToken', input.clientToken),
    name: checkText('name', input.name),
  }
  const hash = hashOf(former, labels.name)
  const before = await jobOfToken(ctx, asker, labels, hash)
  if (before) return before
  if (!hasEnded(former.status)) {
    throw new RequestError(
      'InvalidState',
      `Job ${former.id} is ${former.status}: only a job that has ended can be refreshed`,
    )
  }
  const scope = scopeOf(ctx, former)
  assertScope(scope, asker)
  const id = TID.nextStr()
  const { relays } = ctx.config.network
  const refused = await insertWithinQuotas(ctx, asker.did, async (trx, quotas) => {
    const queues = await holdDetails(trx, former.key)
    const repos = scope.repos && (await namedRepos(trx, former, queues))
    checkRepos(quotas, asker.did, queues ? former.total : (repos?.length ?? null))
    const from: NewJob['from'] = repos ? { repos } : fromOf(scope, relays)
    const inserted = await insertJob(trx, {
      id,
      caller: asker.did,
      clientToken: labels.clientToken,
      inputHash: hash,
      name: labels.name ?? former.name,
      collections: former.collections,
      method: former.method,
      level: former.level,
      createdAt: new Date(ctx.now()),
      repoLimit: quotas.reposPerJob,
      from,
      cursorsOf: relays,
      refreshes: { job: former.id, queueRepos: queues },
    })
    if (inserted && queues) await queueFormerRepos(trx, id, PORTION)
    return inserted
  })
  if (refused) {
    // Somebody else may have used the token meanwhile: then its job is the answer.
    const theirs = await jobOfToken(ctx, asker, labels, hash)
    if (theirs) return theirs
    throw refused
  }
  const job = await findJob(ctx.db, id)
  if (!job) throw new Error('the job is gone right after it was made')
  ctx.tell('job.created', {
    job: id,
    caller: asker.did,
    collections: job.collections,
    refreshes: former.id,
    ...(job.hosts && { hosts: job.hosts }),
  })
  return job
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
