import type { Permission } from '../auth/permissions.js'
import type { AuthVerifier, Caller } from '../auth/verifier.js'
import type { Asker, JobsContext } from '../jobs/context.js'
import type { Metrics } from '../metrics.js'

/** What the handlers work with. */
export interface ApiContext extends JobsContext {
  /** The verifier for methods that need this permission. */
  readonly auth: (permission: Permission) => AuthVerifier
  /** Aborted when streams are to end, because the service is about to stop. */
  readonly stopping: AbortSignal
  readonly metrics: Metrics
}

/** A caller as the use cases know it. */
export function askerOf(caller: Caller): Asker {
  return { did: caller.did, admin: caller.permissions.has('admin'), jobsOf: caller.jobsOf }
}
