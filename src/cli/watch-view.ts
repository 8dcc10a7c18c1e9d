import type { FailureCount, JobView } from '../client/index.js'
import { hostColumns } from './job-text.js'
import { bar, describe, progressOf, rateText } from './progress.js'
import { Table } from './table.js'
import { count, counted, duration, pad, plain, truncate, widthOf } from './text.js'
import type { Watched } from './watch-state.js'

/** A watched job at one moment. */
export interface Picture extends Watched {
  readonly reposPerSecond: number
  readonly recordsPerSecond: number
  /** ms since the epoch */
  readonly now: number
}

/** A connection that is lost for less is nothing to tell, ms. */
const LOST_TOLD_AFTER_MS = 5_000
/** How many hosts are shown where there is room for more. */
const HOSTS_MAX = 12
const LABEL_WIDTH = 12
const BAR_WIDTHS = { min: 8, max: 40 }
/** Of a bar: its brackets, and the gap behind it. */
const FRAME_WIDTH = 4

/** A watched job as a terminal shows it: no line is longer, and there are no more. Pure. */
export function watchLines(picture: Picture, columns: number, rows: number): string[] {
  const { job } = picture
  const lost = lostText(picture)
  const notice = lost === null ? [] : [lost]
  const whole = [title(job), stateLine(picture), ...bars(job, columns), ...troubles(job), ...notice]
  const lines =
    whole.length <= rows
      ? [...whole, ...hostLines(picture, columns, rows - whole.length)]
      : [describe(progressOf(job), picture.reposPerSecond, columns), ...notice].slice(0, rows)
  return lines.map((line) => truncate(line, columns))
}

/** That the connection is lost, once that is worth telling. Pure. */
export function lostText({ lostAt, now }: Pick<Picture, 'lostAt' | 'now'>): string | null {
  if (lostAt === null || now - lostAt < LOST_TOLD_AFTER_MS) return null
  return `No connection to the service for ${duration((now - lostAt) / 1_000)}; it is tried again.`
}

function title({ id, name }: JobView): string {
  return name ? `Job ${id}  ${plain(name)}` : `Job ${id}`
}

const STAGES: Readonly<Record<string, string>> = {
  pending: 'about to begin',
  'discovering-repos': 'discovering repos',
  'resolving-and-fetching': 'resolving and fetching',
}

const STATUSES: Readonly<Record<string, string>> = {
  pausing: 'pausing: what is in flight ends first',
  cancelling: 'cancelling: what is in flight ends first',
}

function stateLine({ job, reposPerSecond, recordsPerSecond }: Picture): string {
  const { id, status, stage, discoveryComplete, totalRepos, processedRepos } = job
  const share = discoveryComplete && totalRepos > 0 ? [percent(processedRepos / totalRepos)] : []
  if (status === 'paused') return ['paused', ...share, `goes on with: aquifer jobs resume ${id}`].join('  ')
  if (status !== 'running') return [STATUSES[status] ?? plain(status), ...share].join('  ')
  const parts = [STAGES[stage] ?? plain(stage), ...share]
  const left = totalRepos - processedRepos
  if (discoveryComplete && reposPerSecond > 0 && left > 0) {
    parts.push(`${duration(left / reposPerSecond)} left`)
  }
  if (reposPerSecond > 0) parts.push(`${rateText(reposPerSecond)} repos/s`)
  if (recordsPerSecond > 0) parts.push(`${rateText(recordsPerSecond)} records/s`)
  return parts.join('  ')
}

const percent = (share: number) => `${Math.floor(share * 100)}%`

/** A bar for each part of the work. */
function bars(job: JobView, columns: number): string[] {
  const { totalRepos, repoCount, resolvedRepos, completedRepos, processedRepos, totalRecords } = job
  const known = job.discoveryComplete ?? false
  const total = `${count(totalRepos)}${known ? '' : '+'}`
  const found = repoCount ? totalRepos / repoCount : null
  const share = (repos: number) => (totalRepos > 0 ? Math.min(1, repos / totalRepos) : null)
  const rows: [label: string, share: number | null, good: number | null, text: string][] = [
    ['discovered', known ? 1 : found, known ? 1 : found, total],
    ['resolved', share(resolvedRepos), share(resolvedRepos), `${count(resolvedRepos)}/${total}`],
    [
      'fetched',
      share(processedRepos),
      share(completedRepos),
      `${count(completedRepos)}/${total}  ${counted(totalRecords, 'record')}`,
    ],
  ]
  const room = columns - LABEL_WIDTH - FRAME_WIDTH - Math.max(...rows.map(([, , , text]) => widthOf(text)))
  const width = Math.min(BAR_WIDTHS.max, room)
  return rows.map(([label, part, good, text]) => {
    const drawn = width < BAR_WIDTHS.min ? '' : `${bar(part, width, good)}  `
    return `${pad(label, LABEL_WIDTH, 'right')}${drawn}${text}`
  })
}

/** What did not go well, where anything did not. */
function troubles({ failedRepos, unavailableRepos, failures = [] }: JobView): string[] {
  const lines: string[] = []
  if (failedRepos > 0) lines.push(`${pad('failed', LABEL_WIDTH, 'right')}${byClass(failedRepos, failures)}`)
  if (unavailableRepos > 0) {
    lines.push(`${pad('unavailable', LABEL_WIDTH, 'right')}${count(unavailableRepos)}`)
  }
  return lines
}

function byClass(total: number, failures: readonly FailureCount[]): string {
  const classes = failures
    .toSorted((one, other) => other.count - one.count)
    .map((failure) => `${count(failure.count)} ${plain(failure.class)}`)
  return classes.length === 0 ? count(total) : classes.join(', ')
}

/** The hosts with the most repos, after an empty line; nothing where there is no room for two of them. */
function hostLines({ job, hosts, now }: Picture, columns: number, rows: number): string[] {
  const all = hosts?.pdsEndpoints ?? []
  const total = all.length + (hosts?.others?.hosts ?? 0)
  const room = rows - 2
  if (all.length === 0 || room < Math.min(2, total)) return []
  // The last line is for the rest, where there is one.
  const shown = Math.min(all.length, HOSTS_MAX, all.length === total && total <= room ? room : room - 1)
  const rest = total - shown
  const table = new Table(hostColumns(now), columns).lines(all.slice(0, shown))
  return ['', ...table, ...(rest > 0 ? [`… and ${count(rest)} more: aquifer jobs pds ${job.id}`] : [])]
}
