import type { Edition } from '../support/simulation/census.js'
import type { Account } from '../support/simulation/world.js'
import type { Run, RunJob } from './run.js'

/** What is kept of one repo of a job, beside what is listed. */
export interface Told {
  readonly did: string
  readonly status: string
  readonly reason: string | null
  /** When it became so, ms since epoch. */
  readonly at: number
  /** Of the state that the job has read. */
  readonly rev: string | null
  readonly method: string | null
}

/** The repos of a job, by DID. */
export async function toldOf({ store }: Run, id: string): Promise<Map<string, Told>> {
  const { rows } = await store.pool.query<Omit<Told, 'at'> & { changed_at: Date }>(
    `select did, r.status, r.reason, changed_at, rev, r.method
     from job_repo r join job on job.key = r.job where job.id = $1`,
    [id],
  )
  return new Map(rows.map(({ changed_at, ...row }) => [row.did, { ...row, at: changed_at.getTime() }]))
}

/** The states in which a repo has been, with the moments at which they ended. */
function spansOf({ simulation }: Run, account: Account): (Edition & { until: number })[] {
  const editions = simulation.census.editionsOf(account)
  return editions.map((edition, at) => ({
    ...edition,
    until: editions[at + 1]?.since ?? Number.POSITIVE_INFINITY,
  }))
}

/** The states that a rev may stand for: one, or any without a rev. Empty: the repo has never had it. */
export function editionsAt(run: Run, account: Account, rev: string | null | undefined): number[] {
  const { world, census } = run.simulation
  const spans = spansOf(run, account)
  if (!rev) return spans.map(({ number }) => number)
  const found = spans.filter((span) => span.rev === rev)
  if (found.length > 0) return found.map(({ number }) => number)
  // Signed again by another key, it is what it was.
  const versions = Array.from({ length: census.versionOf(account) }, (_, version) => version)
  return versions.some((version) => world.rev(account, version) === rev) ? [0] : []
}

/** The states of a repo that a job may have read: there after the job had been asked for, and before it told. */
export function editionsRead(run: Run, { createdAt: from }: RunJob, account: Account, told: Told): number[] {
  const known = new Set(editionsAt(run, account, told.rev))
  return spansOf(run, account)
    .filter(({ number, since, until }) => known.has(number) && until >= from && since <= told.at)
    .map(({ number }) => number)
}
