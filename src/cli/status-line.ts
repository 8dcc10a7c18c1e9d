const CLEAR = '\r\u001b[2K'

/** How often a line is shown, ms: in place on a terminal, as a new line elsewhere. */
const EVERY_MS = { terminal: 200, elsewhere: 5_000 }

/** One line that says how things are: rewritten in place on a terminal, a line now and then elsewhere. */
export class StatusLine {
  readonly #out: NodeJS.WriteStream
  #shownAt = Number.NEGATIVE_INFINITY
  #onScreen = false

  constructor(out: NodeJS.WriteStream) {
    this.#out = out
  }

  /**
   * @param text makes the line for so many columns (null: no terminal); only called when it is time
   * @param now ms since the epoch
   */
  show(text: (columns: number | null) => string, now: number): void {
    const { isTTY, columns } = this.#out
    if (now - this.#shownAt < (isTTY ? EVERY_MS.terminal : EVERY_MS.elsewhere)) return
    this.#shownAt = now
    if (isTTY) this.#out.write(`${CLEAR}${text((columns || 80) - 1)}`)
    else this.#out.write(`${text(null)}\n`)
    this.#onScreen = Boolean(isTTY)
  }

  /** Shows what takes a moment, on a terminal only. */
  note(text: string): void {
    if (!this.#out.isTTY) return
    this.#out.write(`${CLEAR}${text.slice(0, (this.#out.columns || 80) - 1)}`)
    this.#onScreen = true
  }

  /** Leaves the terminal with an empty line, ready for other text. */
  clear(): void {
    if (this.#onScreen) this.#out.write(CLEAR)
    this.#onScreen = false
    // What was cleared may come back at once.
    if (this.#out.isTTY) this.#shownAt = Number.NEGATIVE_INFINITY
  }
}

/** An interrupted terminal shows `^C` where the cursor was: takes it away, so that what follows begins a line. */
export function clearInterrupted(out: NodeJS.WriteStream): void {
  if (out.isTTY) out.write(CLEAR)
}
