import { getLatestCommit } from '../atproto/pds.js'
import { coveredCounts } from '../jobs/covers.js'
import { matchesCollection } from '../jobs/scope.js'
import type { StandingReceipt } from '../store/host-revs.js'
import type { Assignment } from './fetch.js'
import { UNREADABLE_NAMED_MAX } from './reading.js'

/** What an earlier receipt says of a wish: as much as a reading at the same rev would. */
export interface StandingVerdict {
  readonly receipt: StandingReceipt
  readonly counts: Readonly<Record<string, number>>
  readonly unreadable: number
  readonly unreadableFirst: StandingReceipt['unreadableFirst']
  /** When the host's listing named the rev, by the database's clock; absent where the host was asked for it. */
  readonly namedAt?: Date
}

/**
 * The verdict that still holds, if the repo has not moved since: nothing needs to be read then. Asks the host for
 * the repo's latest commit, unless its own listing has named the rev since the job began.
 * @returns null when the repo is to be read
 */
export async function standingVerdict(assignment: Assignment): Promise<StandingVerdict | null> {
  const { repo, query } = assignment
  const { receipts, listed } = repo
  // What is half read has moved, or was never there.
  if (repo.progress !== null) return null
  const verdicts = receipts.flatMap((receipt) => verdictOf(assignment, receipt) ?? [])
  if (verdicts.length === 0) return null
  const rev = listed?.rev ?? (await getLatestCommit(query, repo.did)).rev
  // Where the repo has been further on, this is an old picture of it.
  if (repo.lastRev !== null && rev < repo.lastRev) return null
  const verdict = verdicts.find(({ receipt }) => receipt.rev === rev)
  return verdict ? { ...verdict, ...(listed && { namedAt: listed.at }) } : null
}

function verdictOf({ job }: Assignment, receipt: StandingReceipt): StandingVerdict | null {
  const isSignedMethod = job.method === 'get-repo' || job.method === 'sparse'
  if (isSignedMethod && receipt.level !== 'signed') return null
  const counts = coveredCounts(receipt.collections, receipt.counts, job.collections)
  if (counts === null) return null
  const { unreadable, unreadableFirst } = receipt
  if (receipt.scope === job.scope || unreadable === 0) return { receipt, counts, unreadable, unreadableFirst }
  // Of more than are named nobody knows which collections they are of.
  if (unreadable > UNREADABLE_NAMED_MAX) return null
  const named = (unreadableFirst ?? []).filter(({ collection }) =>
    (job.collections ?? [collection]).some((pattern) => matchesCollection(pattern, collection)),
  )
  return { receipt, counts, unreadable: named.length, unreadableFirst: named }
}
