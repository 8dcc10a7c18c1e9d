import pg from 'pg'

/** What the driver asks of a query of one's own; it has no types for it. */
interface Connection {
  query(text: string): void
  once(event: 'copyOutResponse', listener: () => void): void
}

/**
 * The rows of a `COPY … TO STDOUT` in text form, given to a function as they come.
 * @returns how many there were
 */
export async function copyOut(url: string, statement: string, take: (row: string) => void): Promise<number> {
  const client = new pg.Client({ connectionString: url })
  await client.connect()
  const { promise, resolve, reject } = Promise.withResolvers<number>()
  let rows = 0
  const copy = {
    submit: (connection: Connection) => connection.query(statement),
    handleCopyData({ chunk }: { chunk: Buffer }) {
      rows += 1
      take(chunk.toString('utf8', 0, chunk.length - 1))
    },
    handleCommandComplete() {},
    handleReadyForQuery: () => resolve(rows),
    handleError: reject,
  }
  client.query(copy as unknown as pg.Submittable)
  try {
    return await promise
  } finally {
    await client.end()
  }
}
