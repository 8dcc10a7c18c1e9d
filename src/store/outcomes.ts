import { sql } from 'kysely'
import type { FailureClass, Level, Method, UnavailableReason } from '../verdict.js'
import { BEST_RECEIPT } from './best-receipt.js'
import { storedIn, wants } from './coverage.js'
import type { Db } from './database.js'

/** What became of the repos of a job, as whoever is handed their records is told. */

/** The verdict on a repo that its records are handed over with, as a view of it takes it. */
export interface DeliveredReceipt {
  readonly did: string
  readonly rev: string | null
  readonly data_cid: string | null
  readonly counts: Record<string, number>
  readonly receipt_records: number
  readonly method: Method
  readonly level: Level
  readonly receipt_origin: string
  readonly completed_at: Date
  readonly unreadable: number
  readonly unreadable_first: { collection: string; rkey: string; cid: string }[] | null
}

/** What became of a repo. */
export type Outcome =
  | {
      readonly status: 'completed'
      readonly receipt: DeliveredReceipt
      /** Not all records, but what has changed since this rev; null for all there are. */
      readonly since: string | null
    }
  | { readonly status: 'unavailable'; readonly reason: UnavailableReason }
  | { readonly status: 'failed'; readonly failure: FailureClass; readonly message: string }

/** What a `DeliveredReceipt` has but for the DID, for a `select` behind `DELIVERED_FROM`. */
export const DELIVERED_FIELDS = `
  best.rev, best.data_cid, best.counts, best.method, best.level, best.completed_at, best.records as receipt_records,
  host.origin as receipt_origin, best.unreadable, best.unreadable_first`

/** Receipts `own` of a scope and repo that a `where` is to name, and what describes their records. */
export const DELIVERED_FROM = `from receipt own cross join ${BEST_RECEIPT} join host on host.id = best.host`

interface Ended {
  readonly did: string
  readonly status: 'completed' | 'unavailable'
  readonly reason: UnavailableReason | null
  /** Why its account is unavailable by now; null if it is not. */
  readonly account: UnavailableReason | null
}

/**
 * What became of a repo that has not failed: of one that was completed, also what has become of its account since then.
 * @param since the rev after which there is all that is wanted of it
 */
export function outcomeOf(
  { did, status, reason, account }: Ended,
  receipt: Omit<DeliveredReceipt, 'did'> | null,
  since: string | null,
): Exclude<Outcome, { status: 'failed' }> {
  if (status === 'unavailable') return { status, reason: reason ?? 'deactivated' }
  if (account) return { status: 'unavailable', reason: account }
  // Its receipt goes with its records, and these only with the account.
  if (receipt === null) return { status: 'unavailable', reason: 'deleted' }
  return { status, receipt: { ...receipt, did }, since }
}

/**
 * The collections of a job of which something is stored of these repos: where something may have changed since a rev;
 * what is gone has no receipt that counts it.
 */
export async function collectionsStored(
  db: Db,
  job: number,
  repos: readonly number[],
): Promise<{ repo: number; nsid: string; id: number }[]> {
  if (repos.length === 0) return []
  const { rows } = await sql<{ repo: number; nsid: string; id: number }>`
    select stored.repo, stored.nsid, stored.collection as id
    from ${storedIn(repos)}
    where exists (select from job where job.key = ${job} and ${wants('job.collections')})`.execute(db)
  return rows
}
