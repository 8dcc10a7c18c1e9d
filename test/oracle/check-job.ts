import { type LexValue, lexToJson } from '@atproto/lexicon'
import type { JobView, RepoView } from '../../codegen/client/types/network/example/backfill/defs.js'
import { collectRecords, collectRepos } from '../support/jobs.js'
import type { Outcome } from '../support/simulation/fault-kinds.js'
import type { Account } from '../support/simulation/world.js'
import { differencesOf } from './compare.js'
import { wishesFor } from './plan-faults.js'
import type { Run, RunJob } from './run.js'
import type { Scope } from './scope.js'
import { recordsIn, type StoredPicture, shelfName } from './stored.js'
import { editionsAt, editionsRead, type Told } from './told.js'
import { outcomesByOffer, outcomesByWay, wrongProof } from './ways.js'

const COMPLETED: Outcome = { status: 'completed' }
const NOT_FOUND: Outcome = { status: 'failed', class: 'did-not-found' }

/** What a job says of itself, of its repos and of their records. */
export async function checkJob(
  run: Run,
  job: RunJob,
  stored: StoredPicture,
): Promise<{ listed: RepoView[]; found: string[] }> {
  const { id, scope, backfill } = job
  const view = (await backfill().getJobStatus({ job: id })).data
  const listed = await collectRepos(backfill(), id, 100)
  const told = stored.told.get(scope.job.index)!
  const found = [
    ...checkView(view, listed, scope),
    ...checkRepos(view, listed, scope),
    ...listed.flatMap((repo) => checkRepo(run, job, repo, { view, told: told.get(repo.did)!, stored })),
    ...(await checkRecords(run, job, listed, stored)),
  ]
  return { listed, found: found.map((difference) => `job ${scope.job.index}: ${difference}`) }
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
  run: Run,
  job: RunJob,
  repo: RepoView,
  { view, told, stored }: { view: JobView; told: Told; stored: StoredPicture },
): string[] {
  const { scope } = job
  if (view.status === 'cancelled' && ['waiting', 'resolved', 'fetching'].includes(repo.status)) return []
  const account = scope.accounts.get(repo.did)
  if (!account && !scope.job.strays.includes(repo.did)) return []
  const outcomes = account ? outcomesOf(run, job, account, told) : [NOT_FOUND]
  const is = outcomeOf(repo)
  if (!outcomes.some((outcome) => JSON.stringify(outcome) === is)) {
    const fault = account && run.simulation.faults.of(account)
    return [
      `${repo.did} is ${is} (${repo.failure?.message}), not ${JSON.stringify(outcomes)}; it meets ${JSON.stringify(fault)}`,
    ]
  }
  if (repo.status !== 'completed' || !account || stored.gone.has(account.did)) return []
  return [
    ...checkReading(run, job, account, { repo, told }),
    ...checkProof(run, job, account, { repo, told, stored }),
  ]
}

/** What may have become of a repo. */
function outcomesOf(
  { moments, simulation, scopes }: Run,
  { scope, createdAt }: RunJob,
  account: Account,
  told: Told,
) {
  const { job } = scope
  const { kind } = simulation.faults.of(account) ?? {}
  const others = wishesFor(account, scopes).filter(({ index }) => index !== job.index)
  const happenedAt = moments.happenedAt(account)
  const outcomes = moments.outcomesAt(account, told.at).flatMap((ends) => {
    const { lacks } = simulation.world.hosts[account.host]!
    if (ends.status === 'completed') return outcomesByOffer(job, others, lacks)
    return outcomesByWay(job, others, { kind: kind!, ends })
  })
  // A host's listing has said that all was well, and what had been read before was taken for what is there.
  const wasWell = happenedAt !== null && happenedAt > createdAt && told.method === 'unchanged'
  return wasWell ? [...outcomes, COMPLETED] : outcomes
}

/** What it has read is a state of the repo that was there, and its receipt counts one that was. */
function checkReading(
  run: Run,
  job: RunJob,
  account: Account,
  { repo, told }: { repo: RepoView; told: Told },
): string[] {
  const { scope } = job
  const { receipt } = repo
  const read = editionsRead(run, job, account, told)
  if (read.length === 0) {
    const ever = run.simulation.census.editionsOf(account)
    return [
      `${repo.did} was read at ${told.rev}, an older rev or none of its own: it had ${JSON.stringify(ever)}`,
    ]
  }
  const countsIn = (edition: number) =>
    Object.entries(scope.counts(account, edition))
      .map(([collection, count]) => ({ collection, count }))
      .sort((one, other) => (one.collection < other.collection ? -1 : 1))
  const totals = read.map((edition) => countsIn(edition).reduce((sum, { count }) => sum + count, 0))
  const possible = editionsAt(run, account, receipt?.rev).filter((edition) => edition >= Math.min(...read))
  const should = possible.map((edition) => JSON.stringify(countsIn(edition)))
  const are = JSON.stringify(receipt?.counts)
  return [
    ...(should.includes(are)
      ? []
      : [`${repo.did} has a receipt at ${receipt?.rev} for ${are}, not ${should.join(' or ')}`]),
    ...(totals.includes(repo.recordsFetched)
      ? []
      : [`${repo.did} has ${repo.recordsFetched} records, not ${totals.join(' or ')}`]),
  ]
}

/** It is proven as the job wants it, and so are the records. */
function checkProof(
  { scopes }: Run,
  { scope }: RunJob,
  account: Account,
  { repo, told, stored }: { repo: RepoView; told: Told; stored: StoredPicture },
): string[] {
  const { method = '', level = '' } = repo.receipt ?? {}
  const others = wishesFor(account, scopes).filter(({ index }) => index !== scope.job.index)
  const wrong = wrongProof(scope.job, others, told.method ?? '', { method, level })
  const less = scope.collections
    .flatMap((collection) => stored.shelves.get(shelfName(account.did, collection))!.records)
    .filter((record) => level === 'signed' && record.level !== 'signed')
  return [
    ...(wrong === null ? [] : [`${repo.did} ${wrong}`]),
    ...(less.length === 0 ? [] : [`${repo.did} is signed, but ${less.length} of its records are not`]),
  ]
}

function outcomeOf({ status, reason, failure }: RepoView): string {
  return JSON.stringify({ status, ...(reason && { reason }), ...(failure && { class: failure.class }) })
}

/** What it delivers is what the world has, of every repo that is completed and of no other. */
async function checkRecords(
  run: Run,
  { id, scope, backfill }: RunJob,
  listed: readonly RepoView[],
  { shelves, withheld }: StoredPicture,
): Promise<string[]> {
  const records = await collectRecords(backfill(), { job: id, limit: 1_000 })
  // The client makes objects of links and bytes.
  const plain = records.map(({ uri, cid, value }) => ({ uri, cid, value: lexToJson(value as LexValue) }))
  // What another job has read of it since is given, too.
  const expected = listed
    .filter(({ status, did }) => status === 'completed' && scope.accounts.has(did) && !withheld.has(did))
    .flatMap(({ did }) => scope.collections.map((collection) => shelves.get(shelfName(did, collection))!))
    .flatMap((shelf) => recordsIn(run, shelf, shelf.edition!))
  return differencesOf('delivered', plain, expected)
}
