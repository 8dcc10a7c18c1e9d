import { permissionsFor } from '../auth/permissions.js'
import type { Config } from '../config.js'
import { RequestError } from '../errors.js'
import { type CallerRow, countUnfinishedJobs, findCaller } from '../store/callers.js'
import type { Db, Trx } from '../store/database.js'

/** What a caller may use, and may have been given more or less of; null is no limit. */
export type Quotas = Config['quotas']

const NO_LIMITS: Quotas = { runningJobs: null, reposPerJob: null, requestsPerMinute: null, streams: null }

/**
 * The quotas of a caller. Admins, and the service where it acts for itself, have those that were set for them
 * and no others.
 * @param row what an admin said of the caller, if anything
 */
export function quotasFor(
  did: string,
  config: Pick<Config, 'access' | 'quotas' | 'identity'>,
  row: CallerRow | null,
): Quotas {
  const isAdmin = permissionsFor(did, config.access, row?.permissions ?? null).has('admin')
  const defaults = isAdmin || did === config.identity.did ? NO_LIMITS : config.quotas
  return {
    runningJobs: row?.running_jobs ?? defaults.runningJobs,
    reposPerJob: row?.repos_per_job ?? defaults.reposPerJob,
    // Whom the settings name as admin cannot be locked out.
    requestsPerMinute: config.access.admins.includes(did)
      ? null
      : (row?.requests_per_minute ?? defaults.requestsPerMinute),
    streams: row?.streams ?? defaults.streams,
  }
}

/**
 * Lets a caller have one more job that has not ended. Part of the transaction that makes or takes up the job: of
 * two that would each be the last one, the second waits for the first.
 * @param caller the one that owns the job, whoever asks for it
 * @returns its quotas
 * @throws RequestError `QuotaExceeded`
 */
export async function checkRunningJobs(
  { config }: { readonly config: Config },
  trx: Trx,
  caller: string,
): Promise<Quotas> {
  const quotas = quotasFor(caller, config, await findCaller(trx, caller))
  const { runningJobs } = quotas
  if (runningJobs === null) return quotas
  const unfinished = await countUnfinishedJobs(trx, caller)
  if (unfinished < runningJobs) return quotas
  const jobs = unfinished === 1 ? '1 job that has' : `${unfinished} jobs that have`
  throw new RequestError(
    'QuotaExceeded',
    `${caller} has ${jobs} not ended, and may have ${runningJobs} at the same time`,
  )
}

/** How many streams a caller may have open at one process; null is no limit. */
export async function streamsOf(
  { config, db }: { readonly config: Config; readonly db: Db },
  caller: string,
): Promise<number | null> {
  return quotasFor(caller, config, await findCaller(db, caller)).streams
}

/**
 * Checks what can be known of a job's repos before it is made.
 * @param repos how many are named; null for those that are still to be discovered
 * @throws RequestError `QuotaExceeded`
 */
export function checkRepos({ reposPerJob }: Quotas, caller: string, repos: number | null): void {
  if (reposPerJob === null || (repos ?? 1) <= reposPerJob) return
  const wanted = repos === null ? 'it would discover some' : `${repos} are named`
  throw new RequestError('QuotaExceeded', `A job of ${caller} may have ${reposPerJob} repos; ${wanted}`)
}
