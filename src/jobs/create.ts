import { TID } from '@atproto/common-web'
import { Failure, RateLimited, Unavailable } from '../atproto/outcome.js'
import { RequestError } from '../errors.js'
import type { Trx } from '../store/database.js'
import { findJob, findJobByToken, insertJob, type JobRow, type NewJob } from '../store/jobs.js'
import type { Asker, JobsContext } from './context.js'
import { assertScope, checkInput, inputHash, isWholeNetwork, type JobInput, type Scope } from './input.js'
import { checkRepos, checkRunningJobs, type Quotas } from './quotas.js'

/** Handles looked up at the same time for one request. */
const HANDLE_LOOKUPS = 8

/** After this long no further handle is looked up for one request: whoever asks is about to give up. */
const HANDLES_MS = 45_000

/**
 * Starts a job. All or nothing: one bad entry refuses the request.
 * The same client token with the same input gives the job it made before.
 * @throws RequestError
 */
export async function createJob(ctx: JobsContext, asker: Asker, input: JobInput): Promise<JobRow> {
  const { network } = ctx.config
  const checked = checkInput(input, network)
  assertScope(checked, asker)
  const hash = inputHash(checked)
  const before = await jobOfToken(ctx, asker, { clientToken: checked.clientToken, hash })
  if (before) return before
  const repos = checked.repos && (await resolveRepos(ctx, checked.repos))
  return startJob(ctx, asker, { clientToken: checked.clientToken, hash }, (trx, quotas, id) => {
    checkRepos(quotas, asker.did, repos ? repos.length : null)
    return insertJob(trx, {
      id,
      caller: asker.did,
      clientToken: checked.clientToken,
      inputHash: hash,
      name: checked.name,
      collections: checked.collections,
      method: checked.method,
      level: checked.level,
      createdAt: new Date(ctx.now()),
      repoLimit: quotas.reposPerJob,
      from: repos ? { repos } : fromOf(checked, network.relays),
      cursorsOf: network.relays,
    })
  })
}

/** By what a request is known again. */
export interface RequestToken {
  readonly clientToken: string | null
  /** Of everything that was asked for. */
  readonly hash: string
}

/**
 * Inserts a job, if its caller may have it, and tells of it.
 * @param insert inserts it by this id; tells whether it did: not when the client token was used before
 * @returns the job, or the one that somebody else has made with the same token meanwhile
 * @throws RequestError, also what `insert` throws
 */
export async function startJob(
  ctx: JobsContext,
  asker: Asker,
  token: RequestToken,
  insert: (trx: Trx, quotas: Quotas, id: string) => Promise<boolean>,
): Promise<JobRow> {
  const id = TID.nextStr()
  const refused = await insertWithinQuotas(ctx, asker.did, (trx, quotas) => insert(trx, quotas, id))
  if (refused) {
    const theirs = await jobOfToken(ctx, asker, token)
    if (theirs) return theirs
    throw refused
  }
  const job = await findJob(ctx.db, id)
  if (!job) throw new Error('the job is gone right after it was made')
  ctx.tell('job.created', {
    job: id,
    caller: asker.did,
    collections: job.collections,
    ...(job.refreshes && { refreshes: job.refreshes }),
    ...(job.hosts && { hosts: job.hosts }),
  })
  return job
}

/** Where the repos of a job come from that names none. */
export function fromOf(input: Scope, relays: readonly string[]): NewJob['from'] {
  if (input.hosts) return { hosts: input.hosts }
  return { relays, wholeNetwork: isWholeNetwork(input) }
}

/** @returns why the job is not inserted; null when it is */
async function insertWithinQuotas(
  ctx: JobsContext,
  caller: string,
  insert: (trx: Trx, quotas: Quotas) => Promise<boolean>,
): Promise<Error | null> {
  try {
    return await ctx.db.transaction().execute(async (trx) => {
      const quotas = await checkRunningJobs(ctx, trx, caller)
      const inserted = await insert(trx, quotas)
      return inserted ? null : new Error('the client token was used, and its job is gone')
    })
  } catch (error) {
    if (error instanceof RequestError) return error
    throw error
  }
}

/**
 * The job that a client token was used for before, if it was.
 * @throws RequestError `ClientTokenConflict` when it was used with another input
 */
export async function jobOfToken(
  ctx: JobsContext,
  asker: Asker,
  { clientToken, hash }: RequestToken,
): Promise<JobRow | null> {
  if (clientToken === null) return null
  const job = await findJobByToken(ctx.db, asker.did, clientToken)
  if (!job) return null
  if (job.input_hash === hash) return job
  throw new RequestError(
    'ClientTokenConflict',
    `The client token was used before, for job ${job.id}, with another input`,
  )
}

/**
 * The DIDs of all entries.
 * @throws RequestError `InvalidRepo` for handles without an account; `DirectoryUnavailable` when a handle cannot
 *   be looked up, or not all within `HANDLES_MS`
 */
async function resolveRepos(ctx: JobsContext, repos: readonly string[]): Promise<string[]> {
  const handles = repos.filter((repo) => !repo.startsWith('did:'))
  const dids = new Set(repos.filter((repo) => repo.startsWith('did:')))
  const unknown: string[] = []
  const endsAt = ctx.now() + HANDLES_MS
  const queue = handles.values()
  let lookedUp = 0
  let ended = false
  const worker = async () => {
    for (const handle of queue) {
      if (ended) return
      if (ctx.now() >= endsAt) throw tooSlow(lookedUp, handles.length)
      const did = await resolveHandle(ctx, handle)
      lookedUp += 1
      if (did === null) unknown.push(handle)
      else dids.add(did)
    }
  }
  try {
    await Promise.all(Array.from({ length: HANDLE_LOOKUPS }, worker))
  } finally {
    // After the first failure the request is refused, whatever the others would find.
    ended = true
  }
  if (unknown.length > 0) {
    const names = unknown.sort().map((handle) => JSON.stringify(handle))
    throw new RequestError(
      'InvalidRepo',
      `repos: ${names.join(', ')}: no account answers to ${names.length > 1 ? 'these handles' : 'this handle'}`,
    )
  }
  return [...dids]
}

function tooSlow(lookedUp: number, handles: number): RequestError {
  const seconds = HANDLES_MS / 1_000
  return new RequestError(
    'DirectoryUnavailable',
    `repos: ${lookedUp} of ${handles} handles were looked up within ${seconds} s. Name fewer, or give DIDs`,
  )
}

/**
 * The DID of a handle; null when there is none.
 * @throws RequestError `DirectoryUnavailable` when nobody could be asked
 */
export async function resolveHandle(
  ctx: Pick<JobsContext, 'identities'>,
  handle: string,
): Promise<string | null> {
  try {
    return await ctx.identities.resolveHandle(handle)
  } catch (error) {
    if (error instanceof Unavailable) return null
    if (error instanceof Failure && (error.failure === 'did-not-found' || error.failure === 'did-invalid'))
      return null
    if (error instanceof Failure || error instanceof RateLimited) {
      throw new RequestError('DirectoryUnavailable', `${handle} cannot be looked up now: ${error.message}`, {
        cause: error,
      })
    }
    throw error
  }
}
