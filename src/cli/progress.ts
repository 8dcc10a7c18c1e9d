import { StatusLine } from './status-line.js'
import { count, counted, duration, truncate, widthOf } from './text.js'

/** What a line of progress is made of. */
export interface Progress {
  readonly discoveryComplete: boolean
  readonly total: number
  readonly processed: number
  readonly unavailable: number
  readonly failed: number
  readonly records: number
  /** The job's status, where it is another than `running`. */
  readonly status?: string
}

/** The counters of a job that progress is read from. */
export interface JobCounters {
  readonly status: string
  readonly discoveryComplete?: boolean
  readonly totalRepos: number
  readonly processedRepos: number
  readonly unavailableRepos: number
  readonly failedRepos: number
  readonly totalRecords: number
}

export function progressOf(job: JobCounters): Progress {
  return {
    discoveryComplete: job.discoveryComplete ?? false,
    total: job.totalRepos,
    processed: job.processedRepos,
    unavailable: job.unavailableRepos,
    failed: job.failedRepos,
    records: job.totalRecords,
    status: job.status,
  }
}

/** How far back the rate looks, ms. */
const RATE_WINDOW_MS = 15_000

/** How quickly something grows, over the last while. Times are in ms since the epoch. */
export class Rate {
  readonly #seen: { at: number; value: number }[] = []

  add(value: number, now: number): void {
    this.#seen.push({ at: now, value })
    while (this.#seen.length > 2 && this.#seen[0]!.at < now - RATE_WINDOW_MS) this.#seen.shift()
  }

  /** Per second. */
  at(now: number): number {
    const first = this.#seen[0]
    if (first === undefined) return 0
    return (this.#seen.at(-1)!.value - first.value) / Math.max(0.2, (now - first.at) / 1_000)
  }
}

/** Shows how a job gets on. Time is an argument of `show`, in ms since the epoch. */
export class ProgressLine {
  readonly #line: StatusLine
  readonly #repos = new Rate()

  constructor(out: NodeJS.WriteStream) {
    this.#line = new StatusLine(out)
  }

  show(progress: Progress, now: number): void {
    this.#repos.add(progress.processed, now)
    this.#line.show((columns) => describe(progress, this.#repos.at(now), columns), now)
  }

  /** Leaves the terminal with a clean line. */
  clear(): void {
    this.#line.clear()
  }
}

/**
 * One line on how a job gets on. Pure.
 * @param rate repos per second
 * @param columns of the terminal, for which a bar is drawn; null for text without one
 */
export function describe(progress: Progress, rate: number, columns: number | null): string {
  const { total, processed, records, unavailable, failed, discoveryComplete, status = 'running' } = progress
  const parts = [
    `${count(processed)}/${count(total)}${discoveryComplete ? '' : '+'} repos`,
    counted(records, 'record'),
  ]
  if (failed > 0) parts.push(`${count(failed)} failed`)
  if (status !== 'running' && status !== 'completed') parts.push(status)
  else if (!discoveryComplete) parts.push('discovering')
  else if (rate > 0 && processed < total) parts.push(`${duration((total - processed) / rate)} left`)
  if (rate > 0) parts.push(`${rateText(rate)} repos/s`)
  if (unavailable > 0) parts.push(`${count(unavailable)} unavailable`)
  // While repos are still being found, nobody knows what part of them is done.
  return withBar(discoveryComplete && total > 0 ? processed / total : null, parts, columns)
}

/** One line on a download of records: the total where it is known. Pure. */
export function describeRecords(
  done: number,
  total: number | null,
  rate: number,
  columns: number | null,
): string {
  const parts = [total === null ? counted(done, 'record') : `${count(done)}/${counted(total, 'record')}`]
  if (total !== null && rate > 0 && done < total) parts.push(`${duration((total - done) / rate)} left`)
  if (rate > 0) parts.push(`${rateText(rate)} records/s`)
  return withBar(total ? done / total : null, parts, columns)
}

/** A rate below ten keeps its first decimal: "0 repos/s" would look like standing still. */
export function rateText(rate: number): string {
  return rate < 9.95 ? rate.toFixed(1) : count(Math.round(rate))
}

const BAR_WIDTHS = [24, 12]

/** What there is room for: a shorter bar first, then fewer parts, from the last to the second, then no bar. */
function withBar(share: number | null, parts: readonly string[], columns: number | null): string {
  const percent = share === null ? [] : [`${Math.floor(share * 100)}%`]
  if (columns === null) return [...percent, ...parts].join('  ')
  for (let kept = parts.length; kept > 1; kept -= 1) {
    for (const barWidth of BAR_WIDTHS) {
      const line = [bar(share, barWidth), ...percent, ...parts.slice(0, kept)].join('  ')
      if (widthOf(line) <= columns) return line
    }
  }
  return truncate([...percent, ...parts].join('  '), columns)
}

/**
 * A bar that is full only when all is done. Pure.
 * @param share of what is done, 0 to 1; null where nobody knows
 * @param good how much of that went well; the rest is drawn as `x`
 */
export function bar(share: number | null, width: number, good = share): string {
  const filled = Math.floor((share ?? 0) * width)
  const wanted = Math.min(filled, Math.round((good ?? 0) * width))
  return `[${'#'.repeat(wanted)}${'x'.repeat(filled - wanted)}${'-'.repeat(width - filled)}]`
}
