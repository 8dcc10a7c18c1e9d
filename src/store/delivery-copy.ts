import { CompiledQuery } from 'kysely'
import type { Db } from './database.js'

/** Rows as the bytes in which the server has them: a driver that makes strings of them costs more than all the rest. */

/** One row, as long as nobody reads the next one. */
export interface CopiedRow {
  readonly bytes: Buffer
  /** Where each field begins, */
  readonly starts: readonly number[]
  /** and how long it is; -1 for null. */
  readonly lengths: readonly number[]
}

/** The signature; flags and the length of what may come behind them follow (PostgreSQL, "COPY", "Binary Format"). */
const HEADER_BYTES = 19
const EXTENSION_AT = 15

/** What the driver does with a query of one's own; it has no types for it. */
interface Connection {
  query(text: string): void
}

/** A query, and what its rows are given to as they come: it must copy what it keeps. */
export interface Copy {
  /** Has no parameters: `COPY` takes none. */
  readonly query: string
  readonly take: (row: CopiedRow) => void
}

/** Takes the messages of a `COPY … TO STDOUT (FORMAT binary)` apart. */
class RowReader {
  readonly #take: (row: CopiedRow) => void
  readonly #starts: number[] = []
  readonly #lengths: number[] = []
  #hasBegun = false
  #hasEnded = false

  constructor(take: (row: CopiedRow) => void) {
    this.#take = take
  }

  /**
   * A message has whole rows: one, and the header before the first.
   * @returns whether there may be more
   */
  read(bytes: Buffer): boolean {
    let at = this.#hasBegun ? 0 : HEADER_BYTES + bytes.readInt32BE(EXTENSION_AT)
    this.#hasBegun = true
    const starts = this.#starts
    const lengths = this.#lengths
    while (at < bytes.length) {
      const fields = bytes.readInt16BE(at)
      at += 2
      if (fields < 0) {
        this.#hasEnded = true
        break
      }
      for (let field = 0; field < fields; field += 1) {
        const length = bytes.readInt32BE(at)
        starts[field] = at + 4
        lengths[field] = length
        at += length < 0 ? 4 : 4 + length
      }
      this.#take({ bytes, starts, lengths })
    }
    return !this.#hasEnded
  }
}

/** What the driver takes for a query; and what the query builder waits for, which is told what the driver makes of it. */
function copyOut(text: string, takes: readonly Copy['take'][]) {
  const { promise, resolve, reject } = Promise.withResolvers<{ rows: [] }>()
  const readers = takes.map((take) => new RowReader(take))
  let failure: { readonly error: unknown } | null = null
  return Object.assign(promise, {
    text,
    submit(connection: Connection) {
      connection.query(text)
    },
    handleCopyData({ chunk }: { chunk: Buffer }) {
      if (failure !== null) return
      try {
        if (!readers[0]!.read(chunk)) readers.shift()
      } catch (error) {
        // Told when the server has come to its end: only then may somebody else ask something.
        failure = { error }
      }
    },
    handleCommandComplete() {},
    handleError: reject,
    handleReadyForQuery() {
      if (failure === null) resolve({ rows: [] })
      else reject(failure.error)
    },
  })
}

/** What is done before a query and behind it, without another way to the server and back. */
interface Around {
  readonly before?: string
  readonly behind?: string
}

/** Gives the rows of queries, one query after the other, to what takes them. */
export async function copyRows(
  db: Db,
  copies: readonly Copy[],
  { before, behind }: Around = {},
): Promise<void> {
  const texts = copies.map(({ query }) => `copy (${query}) to stdout (format binary)`)
  const statements = [before, ...texts, behind].filter((statement) => statement !== undefined).join('; ')
  const takes = copies.map(({ take }) => take)
  // The query builder hands on to the driver what it has for a text, and this is what the driver takes, too.
  await db.executeQuery({ ...CompiledQuery.raw(''), sql: copyOut(statements, takes) as unknown as string })
}

/** The rows of a query as objects, with what JSON has for their fields. */
export async function copyObjects<T>(db: Db, query: string, around?: Around): Promise<T[]> {
  const rows: T[] = []
  const take = ({ bytes, starts, lengths }: CopiedRow) => {
    const [start = 0, length = 0] = [starts[0], lengths[0]]
    rows.push(JSON.parse(bytes.toString('utf8', start, start + length)))
  }
  await copyRows(db, [{ query: `select row_to_json(found) from (${query}) found`, take }], around)
  return rows
}
