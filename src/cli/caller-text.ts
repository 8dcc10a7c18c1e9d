import type { CallerView, Quotas } from '../client/index.js'
import type { Column } from './table.js'
import { count, counted, pad, plain, truncate } from './text.js'

/** Callers as people read them. Pure. */

export function callerColumns(): Column<CallerView>[] {
  return [
    { header: 'DID', value: ({ did }) => did, shrink: 2 },
    { header: 'PERMISSIONS', value: permissions },
    { header: 'JOBS', value: ({ quotas }) => quota(quotas.runningJobs), align: 'right' },
    { header: 'REPOS', value: ({ quotas }) => quota(quotas.reposPerJob), align: 'right' },
    { header: 'REQUESTS', value: ({ quotas }) => quota(quotas.requestsPerMinute), align: 'right' },
    { header: 'STREAMS', value: ({ quotas }) => quota(quotas.streams), align: 'right' },
    { header: 'SETTINGS', value: ({ configured }) => (configured ? 'named' : undefined) },
    { header: 'READS JOBS OF', value: jobsOf, shrink: 1 },
  ]
}

/** Everything about one caller, a line each. */
export function callerCard(caller: CallerView, maxWidth: number): string {
  const lines: [string, string][] = [
    ['caller', caller.did],
    ['permissions', permissions(caller)],
    ...quotaLines(caller.quotas),
    ...caller.jobsOf.map(({ did }): [string, string] => ['reads jobs of', did]),
  ]
  return lines
    .map(([label, value]) => truncate(`${pad(label, 14, 'right')} ${plain(value)}`, maxWidth))
    .join('\n')
}

function permissions({ permissions: granted }: CallerView): string {
  return granted.length === 0 ? 'none' : granted.map(({ name }) => name).join(' ')
}

function quotaLines({ runningJobs, reposPerJob, requestsPerMinute, streams }: Quotas): [string, string][] {
  return [
    ['jobs', `${quota(runningJobs)} at the same time`],
    ['repos', `${quota(reposPerJob)} in one job`],
    ['requests', `${quota(requestsPerMinute)} a minute`],
    ['streams', `${quota(streams)} open at one process`],
  ]
}

function quota(value: number | undefined): string {
  return value === undefined ? 'any' : count(value)
}

function jobsOf({ jobsOf: others }: CallerView): string | undefined {
  const [first, ...more] = others.map(({ did }) => did)
  return more.length === 0 ? first : `${first} and ${counted(more.length, 'other')}`
}
