import type { Db } from '../store/database.js'
import { hostIds } from '../store/hosts.js'
import { SharedGate, type SharedGateOptions } from './shared-gate.js'

/** Longer pauses of the directory are waited out in rows. */
const PATIENCE_MS = 90_000

/** The gate of the directory, for the work and for the requests of callers: the directory counts them together. */
export async function openDirectoryGate(
  url: string,
  options: Pick<SharedGateOptions, 'db' | 'rpm' | 'now' | 'random'>,
): Promise<SharedGate> {
  return new SharedGate({ ...options, host: await directoryHost(options.db, url), patienceMs: PATIENCE_MS })
}

/** A row of its own, even where a PDS answers at the same origin: each has its driver. */
async function directoryHost(db: Db, url: string): Promise<number> {
  const origin = `${url}#directory`
  return (await hostIds(db, [origin])).get(origin)!
}
