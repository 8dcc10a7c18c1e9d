import { sql } from 'kysely'
import type { FailureClass, JobDetails, Level, RepoStatus, UnavailableReason } from '../verdict.js'
import type { Db } from './database.js'

/**
 * A repo of a job as it is now, with the number of its last change that is worth telling. One whose account has gone
 * since it was completed is unavailable, as whoever takes its records is told.
 */
export interface ChangedRepo {
  readonly seq: number
  readonly changedAt: Date
  readonly did: string
  readonly status: RepoStatus
  readonly records: number
  readonly failure: FailureClass | null
  readonly message: string | null
  readonly reason: UnavailableReason | null
  /** The origin of its PDS, where that is known. */
  readonly origin: string | null
  /** What its receipt says; null without one. */
  readonly rev: string | null
  readonly level: Level | null
}

export interface Changes {
  /** Unless these are `kept`, repos may be missing. Both are of one moment. */
  readonly details: JobDetails
  readonly repos: readonly ChangedRepo[]
}

/**
 * The repos of a job that changed after one number and not after another, in the order of their numbers. A repo
 * that changes while somebody pages through them is met again beyond `through`, and is never missed: numbers up to
 * one that was read from the job's row are all visible.
 */
export async function readChanges(
  db: Db,
  wanted: { job: number; after: number; through: number; limit: number },
): Promise<Changes> {
  // The job comes along whether or not there are repos, so that details and repos are of the same moment.
  const { rows } = await sql<{ details: JobDetails } & (FoundRepo | { seq: null })>`
    select job.details, r.seq, r.changed_at as "changedAt", r.did, r.status, r.records, r.failure, r.message,
           r.reason, host.origin, receipt.rev, receipt.level, account.reason as "goneAs", account.seen_at as "goneAt"
    from job
    left join lateral (
      select * from job_repo
      where job_repo.job = job.key and job_repo.seq > ${wanted.after} and job_repo.seq <= ${wanted.through}
      order by job_repo.seq
      limit ${wanted.limit}
    ) r on true
    left join host on host.id = r.host
    left join receipt on receipt.repo = r.repo and receipt.scope = job.scope and r.status = 'completed'
    left join account_state account on account.repo = r.repo and r.status = 'completed'
    where job.key = ${wanted.job}
    order by r.seq`.execute(db)
  return {
    details: rows[0]?.details ?? 'deleted',
    repos: rows.filter((row) => row.seq !== null).map(asItIsNow),
  }
}

/** A row of a repo, with what is known of its account. */
type FoundRepo = ChangedRepo & { readonly goneAs: UnavailableReason | null; readonly goneAt: Date | null }

function asItIsNow({ goneAs, goneAt, ...repo }: FoundRepo): ChangedRepo {
  // A receipt goes with the records, and these only with the account.
  const reason = repo.status === 'completed' && repo.level === null ? (goneAs ?? 'deleted') : goneAs
  if (reason === null) return repo
  return {
    ...repo,
    status: 'unavailable',
    reason,
    changedAt: goneAt ?? repo.changedAt,
    rev: null,
    level: null,
  }
}
