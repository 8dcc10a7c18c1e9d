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

/** Takes the messages of a `COPY … TO STDOUT (FORMAT binary)` apart. */
class RowReader {
  readonly #take: (row: CopiedRow) => void
  readonly #starts: number[] = []
  readonly #lengths: number[] = []
  #hasBegun = false

  constructor(take: (row: CopiedRow) => void) {
    this.#take = take
  }

  /** A message has whole rows: one, and the header before the first. */
  read(bytes: Buffer): void {
    let at = this.#hasBegun ? 0 : HEADER_BYTES + bytes.readInt32BE(EXTENSION_AT)
    this.#hasBegun = true
    const starts = this.#starts
    const lengths = this.#lengths
    while (at < bytes.length) {
      const fields = bytes.readInt16BE(at)
      at += 2
      // The end.
      if (fields < 0) return
      for (let field = 0; field < fields; field += 1) {
        const length = bytes.readInt32BE(at)
        starts[field] = at + 4
        lengths[field] = length
        at += length < 0 ? 4 : 4 + length
      }
      this.#take({ bytes, starts, lengths })
    }
  }
}

/** What the driver takes for a query; and what the query builder waits for, which is told what the driver makes of it. */
function copyOut(text: string, take: (row: CopiedRow) => void) {
  const { promise, resolve, reject } = Promise.withResolvers<{ rows: [] }>()
  const reader = new RowReader(take)
  let failure: { readonly error: unknown } | null = null
  return Object.assign(promise, {
    text,
    submit(connection: Connection) {
      connection.query(text)
    },
    handleCopyData({ chunk }: { chunk: Buffer }) {
      if (failure !== null) return
      try {
        reader.read(chunk)
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

/**
 * Gives the rows of a query to a function as they come; it must copy what it keeps.
 * @param query has no parameters: `COPY` takes none
 */
export async function copyRows(
  db: Db,
  query: string,
  take: (row: CopiedRow) => void,
  { before, behind }: Around = {},
): Promise<void> {
  const copy = `copy (${query}) to stdout (format binary)`
  const statements = [before, copy, behind].filter((statement) => statement !== undefined).join('; ')
  // The query builder hands on to the driver what it has for a text, and this is what the driver takes, too.
  await db.executeQuery({ ...CompiledQuery.raw(''), sql: copyOut(statements, take) as unknown as string })
}

/** The rows of a query as objects, with what JSON has for their fields. */
export async function copyObjects<T>(db: Db, query: string, around?: Around): Promise<T[]> {
  const rows: T[] = []
  const take = ({ bytes, starts, lengths }: CopiedRow) => {
    const [start = 0, length = 0] = [starts[0], lengths[0]]
    rows.push(JSON.parse(bytes.toString('utf8', start, start + length)))
  }
  await copyRows(db, `select row_to_json(found) from (${query}) found`, take, around)
  return rows
}
