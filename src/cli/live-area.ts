import { widthOf } from './text.js'

/** Some lines at the end of a terminal that are drawn anew in place. Nothing else may write there meanwhile. */
export class LiveArea {
  readonly #out: NodeJS.WriteStream
  #drawn: readonly string[] = []

  constructor(out: NodeJS.WriteStream) {
    this.#out = out
  }

  /** How many columns and lines there is room for. A terminal of unknown size says 0. */
  get size(): { columns: number; rows: number } {
    // One less each: a full last column wraps in some terminals, and the cursor has a line of its own.
    return { columns: (this.#out.columns || 80) - 1, rows: Math.max(1, (this.#out.rows || 24) - 1) }
  }

  /** Shows these lines in the place of those before. One write, without an empty screen in between. */
  draw(lines: readonly string[]): void {
    if (lines.length === this.#drawn.length && lines.every((line, index) => line === this.#drawn[index]))
      return
    const text = lines.map((line) => `${line}${ERASE_LINE_END}\n`).join('')
    this.#out.write(`${this.#toStart()}${text}${ERASE_BELOW}`)
    this.#drawn = lines
  }

  /** Leaves an empty line where the area began. */
  clear(): void {
    if (this.#drawn.length > 0) this.#out.write(`${this.#toStart()}${ERASE_BELOW}`)
    this.#drawn = []
  }

  #toStart(): string {
    const { columns, rows } = this.size
    // A terminal that has become narrower shows a long line as several.
    const height = this.#drawn.reduce((sum, line) => sum + Math.ceil(widthOf(line) / (columns + 1) || 1), 0)
    return height === 0 ? '\r' : `\r\u001b[${Math.min(height, rows)}A`
  }
}

const ERASE_LINE_END = '\u001b[K'
const ERASE_BELOW = '\u001b[J'
