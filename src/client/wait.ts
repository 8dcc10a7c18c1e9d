import type { JobView } from '../../codegen/client/types/network/example/backfill/defs.js'
import type { Clock } from './clock.js'
import { isTransient } from './errors.js'

const ENDS: readonly string[] = ['completed', 'failed', 'cancelled']

/** Between two looks, ms. */
const POLL_MS = 1_000
/** How long the service may be away before waiting is given up, ms: a restart or an update is no reason. */
const OUTAGE_MS = 300_000

export interface WaitOptions {
  /** Between two looks, ms. Default: 1,000. */
  readonly pollMs?: number
  /** How long the service may be away in between, ms. Default: 300,000. */
  readonly outageMs?: number
  /** Called with what each look shows, the last one included. */
  readonly onProgress?: (job: JobView) => void
  readonly signal?: AbortSignal
}

/**
 * Looks at a job until it has ended. A paused job has not: somebody may resume it.
 * @throws what `look` throws, though not while the service is away for a while; the signal's reason
 */
export async function waitForEnd(
  look: () => Promise<JobView>,
  clock: Clock,
  options: WaitOptions,
): Promise<JobView> {
  const { pollMs = POLL_MS, outageMs = OUTAGE_MS, onProgress, signal } = options
  let answeredMs: number | null = null
  for (;;) {
    const job = await look().catch((error: unknown) => {
      // A service that never answered is more likely not there at all.
      if (answeredMs === null || !isTransient(error) || clock.now() - answeredMs > outageMs) throw error
      return null
    })
    if (job !== null) {
      answeredMs = clock.now()
      onProgress?.(job)
      if (ENDS.includes(job.status)) return job
    }
    await clock.sleep(pollMs, signal)
  }
}
