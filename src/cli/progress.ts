import type { JobRow } from '../store/jobs.js'

/** What a line of progress is made of. */
export interface Progress {
  readonly discoveryComplete: boolean
  readonly total: number
  readonly processed: number
  readonly unavailable: number
  readonly failed: number
  readonly records: number
}

export function progressOf(job: JobRow): Progress {
  return {
    discoveryComplete: job.discovery_complete,
    total: job.total,
    processed: job.completed + job.unavailable + job.failed,
    unavailable: job.unavailable,
    failed: job.failed,
    records: job.records,
  }
}

/** How far back the rate looks. */
const RATE_WINDOW_MS = 15_000
const BAR_WIDTH = 24

/**
 * Shows how a job gets on: one line rewritten in place on a terminal, a line now and then elsewhere.
 * Time is an argument of `show`, in ms since epoch.
 */
export class ProgressLine {
  readonly #out: NodeJS.WriteStream
  readonly #everyMs: number
  readonly #seen: { at: number; processed: number; records: number }[] = []
  #shownAt = Number.NEGATIVE_INFINITY
  #onScreen = false

  constructor(out: NodeJS.WriteStream) {
    this.#out = out
    this.#everyMs = out.isTTY ? 200 : 5_000
  }

  show(progress: Progress, now: number): void {
    this.#seen.push({ at: now, processed: progress.processed, records: progress.records })
    while (this.#seen.length > 2 && this.#seen[0]!.at < now - RATE_WINDOW_MS) this.#seen.shift()
    if (now - this.#shownAt < this.#everyMs) return
    this.#shownAt = now
    const line = describe(progress, this.#rates(now))
    if (this.#out.isTTY) {
      this.#out.write(`\r\u001b[2K${line.slice(0, (this.#out.columns || 80) - 1)}`)
      this.#onScreen = true
    } else {
      this.#out.write(`${line}\n`)
    }
  }

  /** Leaves the terminal with a clean line. */
  clear(): void {
    if (this.#onScreen) this.#out.write('\r\u001b[2K')
    this.#onScreen = false
  }

  #rates(now: number): { repos: number; records: number } {
    const first = this.#seen[0]!
    const last = this.#seen.at(-1)!
    const seconds = Math.max(0.2, (now - first.at) / 1000)
    return {
      repos: (last.processed - first.processed) / seconds,
      records: (last.records - first.records) / seconds,
    }
  }
}

/** One line of progress. Pure. */
export function describe(progress: Progress, rates: { repos: number; records: number }): string {
  const { total, processed, records, unavailable, failed, discoveryComplete } = progress
  const share = total === 0 ? 0 : processed / total
  const filled = Math.round(share * BAR_WIDTH)
  const bar = `[${'#'.repeat(filled)}${'-'.repeat(BAR_WIDTH - filled)}]`
  const parts = [
    `${bar} ${count(processed)}/${count(total)}${discoveryComplete ? '' : '+'} repos`,
    `${count(records)} records`,
    `${count(Math.round(rates.repos))} repos/s`,
  ]
  if (unavailable > 0) parts.push(`${count(unavailable)} unavailable`)
  if (failed > 0) parts.push(`${count(failed)} failed`)
  if (!discoveryComplete) parts.push('discovering')
  else if (rates.repos > 0 && processed < total)
    parts.push(`${duration((total - processed) / rates.repos)} left`)
  return parts.join('  ')
}

function count(value: number): string {
  return value.toLocaleString('en-US')
}

function duration(seconds: number): string {
  // Rounded before it is divided: 59.5 min are an hour, not 60 min.
  if (seconds <= 59) return `${Math.ceil(seconds)} s`
  const minutes = Math.ceil(seconds / 60)
  return minutes < 60 ? `${minutes} min` : `${Math.floor(minutes / 60)} h ${minutes % 60} min`
}
