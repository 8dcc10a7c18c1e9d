import { LiveArea } from './live-area.js'
import { describe, progressOf, Rate } from './progress.js'
import { StatusLine } from './status-line.js'
import type { Watched } from './watch-state.js'
import { lostText, type Picture, watchLines } from './watch-view.js'

const REDRAW_EVERY_MS = 250

/** Shows a watched job: drawn in place on a terminal, a line now and then elsewhere. */
export class WatchScreen {
  readonly #out: NodeJS.WriteStream
  readonly #area: LiveArea | null
  readonly #line: StatusLine
  readonly #repos = new Rate()
  readonly #records = new Rate()
  readonly #timer: NodeJS.Timeout
  #watched: Watched | null = null
  #toldLost = false

  constructor(out: NodeJS.WriteStream) {
    this.#out = out
    this.#area = out.isTTY && process.env.TERM !== 'dumb' ? new LiveArea(out) : null
    this.#line = new StatusLine(out)
    this.#timer = setInterval(() => this.#draw(), REDRAW_EVERY_MS)
  }

  /** Whether there is room for more than a line. */
  get isLive(): boolean {
    return this.#area !== null
  }

  /** What is shown from now on, at the latest with the next picture. */
  show(watched: Watched): void {
    const isFirst = this.#watched === null
    this.#watched = watched
    if (isFirst) this.#draw()
  }

  /** Ends it, and leaves a clean terminal. */
  close(): void {
    clearInterval(this.#timer)
    this.#watched = null
    this.#area?.clear()
    this.#line.clear()
  }

  #draw(): void {
    if (this.#watched === null) return
    const now = Date.now()
    const { job } = this.#watched
    this.#repos.add(job.processedRepos, now)
    this.#records.add(job.totalRecords, now)
    const picture: Picture = {
      ...this.#watched,
      reposPerSecond: this.#repos.at(now),
      recordsPerSecond: this.#records.at(now),
      now,
    }
    if (this.#area === null) this.#drawLine(picture)
    else this.#area.draw(watchLines(picture, this.#area.size.columns, this.#area.size.rows))
  }

  #drawLine(picture: Picture): void {
    const lost = lostText(picture)
    if (lost !== null && !this.#toldLost) this.#out.write(`${lost}\n`)
    this.#toldLost = lost !== null
    if (lost !== null) return
    this.#line.show(
      (columns) => describe(progressOf(picture.job), picture.reposPerSecond, columns),
      picture.now,
    )
  }
}
