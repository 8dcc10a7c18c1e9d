import type { HostView, JobView, RepoView } from '../client/index.js'
import { describe, progressOf } from './progress.js'
import type { Column } from './table.js'
import { count, duration, pad, plain, truncate } from './text.js'

/** Jobs and repos as people read them. Pure. */

export function jobColumns(): Column<JobView>[] {
  return [
    { header: 'JOB', value: ({ id }) => id },
    { header: 'STATUS', value: ({ status }) => status },
    { header: 'REPOS', value: repos, align: 'right' },
    { header: 'FAILED', value: ({ failedRepos }) => count(failedRepos), align: 'right' },
    { header: 'RECORDS', value: ({ totalRecords }) => count(totalRecords), align: 'right' },
    { header: 'CREATED', value: ({ createdAt }) => second(createdAt), shrink: 2 },
    { header: 'WHAT', value: what, shrink: 1 },
  ]
}

export function repoColumns(): Column<RepoView>[] {
  return [
    { header: 'DID', value: ({ did }) => did, shrink: 4 },
    { header: 'STATUS', value: ({ status }) => status },
    { header: 'RECORDS', value: ({ recordsFetched }) => count(recordsFetched), align: 'right' },
    { header: 'LEVEL', value: ({ receipt }) => receipt?.level },
    { header: 'HANDLE', value: ({ handle }) => handle, shrink: 2 },
    { header: 'PDS', value: ({ pdsEndpoint }) => pdsEndpoint && hostName(pdsEndpoint), shrink: 1 },
    { header: 'WHY', value: why, shrink: 3 },
  ]
}

/** @param now ms since the epoch, for how long a host will wait; null for until when */
export function hostColumns(now: number | null): Column<HostView>[] {
  return [
    { header: 'PDS', value: ({ pdsEndpoint }) => hostName(pdsEndpoint), shrink: 1 },
    { header: 'REPOS', value: ({ totalRepos }) => count(totalRepos), align: 'right' },
    { header: 'COMPLETED', value: ({ completedRepos }) => count(completedRepos), align: 'right' },
    { header: 'FAILED', value: ({ failedRepos }) => count(failedRepos), align: 'right' },
    { header: 'UNAVAILABLE', value: ({ unavailableRepos }) => count(unavailableRepos), align: 'right' },
    { header: 'RECORDS', value: ({ totalRecords }) => count(totalRecords), align: 'right' },
    { header: 'STATE', value: (host) => hostState(host, now) },
  ]
}

function hostName(origin: string): string {
  return origin.replace(/^https:\/\//, '')
}

function hostState({ state, resumesAt }: HostView, now: number | null): string {
  if (state === 'ok' || resumesAt === undefined) return state
  if (now === null) return `${state} until ${second(resumesAt)}`
  const seconds = (Date.parse(resumesAt) - now) / 1_000
  return seconds > 0 ? `${state} ${duration(seconds)}` : state
}

function repos(job: JobView): string {
  return `${count(job.processedRepos)}/${count(job.totalRepos)}${job.discoveryComplete ? '' : '+'}`
}

/** What a job is about, in its caller's words if there are any. */
function what({ name, collections }: JobView): string {
  return [...(name ? [name] : []), ...(collections ?? ['every collection'])].join(' ')
}

function why({ failure, reason, retryAt, attempts }: RepoView): string | undefined {
  if (reason) return reason
  if (!failure) return undefined
  const next = retryAt ? ` (try ${attempts + 1} at ${second(retryAt)})` : ''
  return `${failure.class}: ${failure.message}${next}`
}

/** A time without its fraction. */
function second(time: string): string {
  return time.replace(/\.\d+(?=Z$)/, '')
}

/** Where the repos of a job come from. */
function sourceOf({ repoCount, hosts, collections }: JobView): string {
  if (repoCount !== undefined) return `${count(repoCount)} named ones`
  if (hosts !== undefined) return `all of ${hosts.map(({ hostname }) => hostname).join(' ')}`
  const byCollection = collections?.every((pattern) => !pattern.endsWith('.*'))
  return byCollection ? 'those that the relays list' : 'all of the network'
}

/** Everything about one job, a line each. */
export function jobCard(job: JobView, maxWidth: number): string {
  const lines: [string, string | undefined][] = [
    ['job', job.id],
    ['name', job.name],
    ['refreshes', job.refreshes],
    ['status', job.status === job.stage ? job.status : `${job.status} (${job.stage})`],
    ['progress', describe(progressOf(job), 0, null)],
    ['collections', job.collections?.join(' ') ?? 'all'],
    ['repos', sourceOf(job)],
    ['method', `${job.method}, level ${job.level} or better`],
    ['caller', job.caller],
    ['created', second(job.createdAt)],
    ['started', job.startedAt && second(job.startedAt)],
    ['ended', job.completedAt && second(job.completedAt)],
    ...(job.failures ?? []).map((failure): [string, string] => [
      'failed',
      `${count(failure.count)} × ${failure.class}${failure.retryable ? ' (may go away by itself)' : ''}`,
    ]),
    ['error', job.error],
    ['records', job.purge && (job.purge === 'purged' ? 'purged' : 'being purged')],
  ]
  return lines
    .filter(([, value]) => value !== undefined && value !== '')
    .map(([label, value]) => truncate(`${pad(label, 12, 'right')} ${plain(value!)}`, maxWidth))
    .join('\n')
}
