import { pad, plain, truncate, widthOf } from './text.js'

export interface Column<Row> {
  readonly header: string
  /** Text of anybody's: it is made plain here. Nothing is shown as `-`, so that columns can be counted. */
  readonly value: (row: Row) => string | undefined
  readonly align?: 'right'
  /** On a terminal that is too narrow, columns are cut in this order; those without a number are not. */
  readonly shrink?: number
}

const GAP = '  '
/** A column that is cut keeps this much. */
const SHRUNK_WIDTH = 10

/**
 * Rows in aligned columns, given in portions: the first one decides the widths, so that a list of any length
 * takes little memory. On a terminal no line is longer than it is wide; elsewhere nothing is cut.
 */
export class Table<Row> {
  readonly #columns: readonly Column<Row>[]
  readonly #maxWidth: number
  #widths: number[] | null = null

  /** @param maxWidth columns of the terminal; Infinity where there is none */
  constructor(columns: readonly Column<Row>[], maxWidth: number) {
    this.#columns = columns
    this.#maxWidth = maxWidth
  }

  /** The lines of some more rows, after that of the headers if these are the first. */
  lines(rows: readonly Row[]): string[] {
    const cells = rows.map((row) => this.#columns.map(({ value }) => plain(value(row) ?? '') || '-'))
    if (this.#widths === null) {
      cells.unshift(this.#columns.map(({ header }) => header))
      this.#widths = this.#fit(cells)
    }
    return cells.map((row) => this.#line(row, this.#widths!))
  }

  #fit(cells: readonly (readonly string[])[]): number[] {
    const widths = this.#columns.map((_, index) => Math.max(...cells.map((row) => widthOf(row[index]!))))
    const gaps = GAP.length * (widths.length - 1)
    let excess = widths.reduce((sum, width) => sum + width, gaps) - this.#maxWidth
    const order = this.#columns.map(({ shrink }, index) => ({ shrink, index }))
    for (const { shrink, index } of order.sort((a, b) => (a.shrink ?? 0) - (b.shrink ?? 0))) {
      if (shrink === undefined || excess <= 0) continue
      const less = Math.min(excess, Math.max(0, widths[index]! - SHRUNK_WIDTH))
      widths[index]! -= less
      excess -= less
    }
    return widths
  }

  #line(row: readonly string[], widths: readonly number[]): string {
    const narrow = this.#maxWidth !== Number.POSITIVE_INFINITY
    const cells = row.map((cell, index) => {
      const column = this.#columns[index]!
      const text = narrow && column.shrink !== undefined ? truncate(cell, widths[index]!) : cell
      return pad(text, widths[index]!, column.align === 'right' ? 'left' : 'right')
    })
    const line = cells.join(GAP).trimEnd()
    return narrow ? truncate(line, this.#maxWidth) : line
  }
}
