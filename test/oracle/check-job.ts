import { type LexValue, lexToJson } from '@atproto/lexicon'
import type { JobView, RepoView } from '../../codegen/client/types/network/example/backfill/defs.js'
import { collectRecords, collectRepos } from '../support/jobs.js'
import type { Outcome } from '../support/simulation/fault-kinds.js'
import { differencesOf } from './compare.js'
import type { Run, RunJob } from './run.js'
import type { Scope } from './scope.js'

const NOT_FOUND: Outcome = { status: 'failed', class: 'did-not-found' }

/** What a job says of itself, of its repos and of their records. */
export async function checkJob(run: Run, job: RunJob): Promise<{ listed: RepoView[]; found: string[] }> {
  const { id, scope, backfill } = job
  const view = (await backfill().getJobStatus({ job: id })).data
  const listed = await collectRepos(backfill(), id, 100)
  const told = await toldAt(run, id)
  const found = [
    ...checkView(view, listed, scope),
    ...checkRepos(view, listed, scope),
    ...listed.flatMap((repo) => checkRepo(run, scope, repo, { view, at: told.get(repo.did) ?? 0 })),
    ...(await checkRecords(job, listed)),
  ]
  return { listed, found: found.map((difference) => `job ${scope.job.index}: ${difference}`) }
}

/** When what is told of each repo became so, ms since epoch. */
async function toldAt({ store }: Run, id: string): Promise<Map<string, number>> {
  const { rows } = await store.pool.query<{ did: string; changed_at: Date }>(
    'select did, changed_at from job_repo r join job on job.key = r.job where job.id = $1',
    [id],
  )
  return new Map(rows.map(({ did, changed_at }) => [did, changed_at.getTime()]))
}

function checkView(view: JobView, listed: readonly RepoView[], { job }: Scope): string[] {
  // A job may be through before it is cancelled.
  const ends = job.cancelled ? ['cancelled', 'completed'] : ['completed']
  const counted = (status: string) => listed.filter((repo) => repo.status === status).length
  const are = {
    total: view.totalRepos,
    processed: view.processedRepos,
    completed: view.completedRepos,
    unavailable: view.unavailableRepos,
    failed: view.failedRepos,
    byClass: view.failures?.reduce((sum, { count }) => sum + count, 0),
    stage: view.stage,
  }
  const should = {
    total: listed.length,
    processed: counted('completed') + counted('unavailable') + counted('failed'),
    completed: counted('completed'),
    unavailable: counted('unavailable'),
    failed: counted('failed'),
    byClass: counted('failed'),
    stage: view.status,
  }
  return [
    ...(ends.includes(view.status) ? [] : [`is ${view.status} (${view.error}), not ${ends.join(' or ')}`]),
    ...(JSON.stringify(are) === JSON.stringify(should)
      ? []
      : [`says ${JSON.stringify(are)}, but has ${JSON.stringify(should)}`]),
  ]
}

/** The repos it has are those it asked for. */
function checkRepos(view: JobView, listed: readonly RepoView[], { accounts, job }: Scope): string[] {
  const wanted = new Set([...accounts.keys(), ...job.strays])
  const have = new Set(listed.map(({ did }) => did))
  const extra = [...have].filter((did) => !wanted.has(did))
  const missing = [...wanted].filter((did) => !have.has(did))
  return [
    ...(have.size < listed.length ? ['lists a repo twice'] : []),
    ...(extra.length > 0 ? [`has repos it did not ask for: ${extra}`] : []),
    ...(missing.length > 0 && view.status !== 'cancelled' ? [`has not found ${missing}`] : []),
  ]
}

function checkRepo(
  { moments, simulation }: Run,
  scope: Scope,
  repo: RepoView,
  { view, at }: { view: JobView; at: number },
): string[] {
  if (view.status === 'cancelled' && ['waiting', 'resolved', 'fetching'].includes(repo.status)) return []
  const account = scope.accounts.get(repo.did)
  if (!account && !scope.job.strays.includes(repo.did)) return []
  const outcomes = account ? moments.outcomesAt(account, at) : [NOT_FOUND]
  const is = outcomeOf(repo)
  if (!outcomes.some((outcome) => JSON.stringify(outcome) === is)) {
    const fault = account && simulation.faults.of(account)
    return [
      `${repo.did} is ${is} (${repo.failure?.message}), not ${JSON.stringify(outcomes)}; it meets ${JSON.stringify(fault)}`,
    ]
  }
  if (repo.status !== 'completed' || !account) return []
  const counts = Object.entries(scope.counts(account)).map(([collection, count]) => ({ collection, count }))
  const should = { counts: counts.sort((one, other) => (one.collection < other.collection ? -1 : 1)) }
  const are = { counts: repo.receipt?.counts }
  const total = counts.reduce((sum, { count }) => sum + count, 0)
  return [
    ...(JSON.stringify(are) === JSON.stringify(should)
      ? []
      : [`${repo.did} has a receipt for ${JSON.stringify(are)}, not ${JSON.stringify(should)}`]),
    ...(repo.recordsFetched === total
      ? []
      : [`${repo.did} has ${repo.recordsFetched} records, not ${total}`]),
  ]
}

function outcomeOf({ status, reason, failure }: RepoView): string {
  return JSON.stringify({ status, ...(reason && { reason }), ...(failure && { class: failure.class }) })
}

/** What it delivers is what the world has, of every repo that is completed and of no other. */
async function checkRecords({ id, scope, backfill }: RunJob, listed: readonly RepoView[]): Promise<string[]> {
  const records = await collectRecords(backfill(), { job: id, limit: 1_000 })
  // The client makes objects of links and bytes.
  const plain = records.map(({ uri, cid, value }) => ({ uri, cid, value: lexToJson(value as LexValue) }))
  const expected = listed
    .filter(({ status, did }) => status === 'completed' && scope.accounts.has(did))
    .flatMap(({ did }) => scope.records(scope.accounts.get(did)!))
  return differencesOf('delivered', plain, expected)
}
