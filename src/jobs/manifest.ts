import {
  canonicalJson,
  type ManifestHead,
  type ManifestLine,
  type ManifestTally,
} from '../client/manifest.js'
import type { JobRow } from '../store/jobs.js'
import type { ManifestRepo } from '../store/manifest.js'

/**
 * What a manifest says, in the form in which `client/manifest.ts` reads it: both sides of one contract. Pure, but for
 * the key.
 */

export {
  EMPTY_TALLY,
  InvalidManifest,
  type ManifestHead,
  type ManifestLine,
  type ManifestTally,
  tallyWith,
  verifyManifest,
} from '../client/manifest.js'

/** What is said of one repo. */
export function manifestLine(repo: ManifestRepo): ManifestLine {
  const { did, status } = repo
  const host = repo.origin ?? undefined
  if (status === 'unavailable') return { did, outcome: status, reason: repo.reason ?? undefined, host }
  if (status === 'failed') return { did, outcome: status, class: repo.failure ?? undefined, host }
  if (status !== 'completed') return { did }
  const { receipt } = repo
  if (receipt === null) return { did, outcome: status }
  const counts = Object.entries(receipt.counts).filter(([, count]) => count > 0)
  return {
    did,
    outcome: status,
    rev: receipt.rev ?? undefined,
    dataCid: receipt.dataCid ?? undefined,
    counts: Object.fromEntries(counts),
    records: receipt.records,
    unreadable: receipt.unreadable || undefined,
    method: repo.method ?? receipt.method,
    level: receipt.level,
    host: receipt.origin,
    completedAt: receipt.completedAt.toISOString(),
  }
}

/** A line as it stands in the document. */
export function lineText(line: ManifestLine): string {
  return `${canonicalJson(line)}\n`
}

/** What the last line says, but for the key and its signature. */
export type ManifestClaim = Omit<ManifestHead, 'key' | 'sig'>

/**
 * What is said of the job as a whole.
 * @param job one that has ended
 * @param made the service's DID, the sums and the hash of the lines, and when that was found
 */
export function manifestClaim(
  job: JobRow,
  made: {
    readonly service: string
    readonly tally: ManifestTally
    readonly sha256: string
    readonly builtAt: Date
  },
): ManifestClaim {
  if (job.completed_at === null) throw new TypeError(`job ${job.id} has not ended`)
  return {
    version: 1,
    job: job.id,
    caller: job.caller,
    service: made.service,
    scope: {
      collections: job.collections ?? undefined,
      repoCount: job.repo_count ?? undefined,
      hosts: job.hosts ?? undefined,
    },
    method: job.method,
    level: job.level,
    status: job.status,
    discoveryComplete: job.discovery_complete,
    error: job.error ?? undefined,
    startCursors: (job.start_cursors ?? []).map(({ relay, seq }) => ({ relay, seq })),
    createdAt: job.created_at.toISOString(),
    startedAt: job.started_at?.toISOString(),
    completedAt: job.completed_at.toISOString(),
    builtAt: made.builtAt.toISOString(),
    ...made.tally,
    sha256: made.sha256,
  }
}

/** A key that can sign, with its public part as a did:key. */
export interface ManifestKey {
  readonly did: string
  sign(bytes: Uint8Array): Promise<Uint8Array>
}

/** The last line as it stands in the document. */
export async function headText(claim: ManifestClaim, key: ManifestKey): Promise<string> {
  const unsigned: Omit<ManifestHead, 'sig'> = { ...claim, key: key.did }
  const signature = await key.sign(Buffer.from(canonicalJson(unsigned)))
  const head: ManifestHead = { ...unsigned, sig: Buffer.from(signature).toString('base64url') }
  return `${canonicalJson(head)}\n`
}
