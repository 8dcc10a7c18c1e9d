import type { CallerView } from '../../codegen/server/types/network/example/backfill/defs.js'
import type { KnownCaller } from '../jobs/callers.js'
import type { Quotas } from '../jobs/quotas.js'

/** Callers as the lexicons show them. Pure. */

export function callerView(caller: KnownCaller): CallerView {
  const { did, permissions, quotas, jobsOf, configured, createdAt, updatedAt } = caller
  return {
    did,
    permissions: [...permissions].map((name) => ({ name })),
    quotas: quotasView(quotas),
    jobsOf: jobsOf.map((other) => ({ did: other })),
    configured,
    ...(createdAt && { createdAt: createdAt.toISOString() }),
    ...(updatedAt && { updatedAt: updatedAt.toISOString() }),
  }
}

/** Without those that have no limit. */
export function quotasView(quotas: Quotas): Partial<Record<keyof Quotas, number>> {
  const { runningJobs, reposPerJob, requestsPerMinute, streams } = quotas
  return {
    ...(runningJobs !== null && { runningJobs }),
    ...(reposPerJob !== null && { reposPerJob }),
    ...(requestsPerMinute !== null && { requestsPerMinute }),
    ...(streams !== null && { streams }),
  }
}
