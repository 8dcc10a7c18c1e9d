/** What the system says of a connection that cannot be made or broke. */
const SYSTEM_CODES = new Set([
  'ECONNREFUSED',
  'ECONNRESET',
  'EPIPE',
  'ETIMEDOUT',
  'EHOSTUNREACH',
  'ENETUNREACH',
  'EAI_AGAIN',
])

/** SQLSTATE: the server is ending, has crashed, or is not ready yet. Class 08 are connection exceptions. */
const SERVER_AWAY = /^(?:08\w{3}|57P0[123])$/

/** What the driver says, which gives no code. */
const DRIVER_MESSAGES = [
  'Connection terminated',
  'timeout exceeded when trying to connect',
  'Client has encountered a connection error',
  'Client was closed and is not queryable',
]

/**
 * Whether a query failed because the database cannot be reached now, rather than for what it asked: the same
 * query may succeed when the database is back. Whether a statement that was under way took effect is unknown.
 */
export function isConnectionLost(error: unknown): boolean {
  if (!(error instanceof Error)) return false
  const { code } = error as { code?: unknown }
  if (typeof code === 'string' && (SYSTEM_CODES.has(code) || SERVER_AWAY.test(code))) return true
  if (DRIVER_MESSAGES.some((message) => error.message.startsWith(message))) return true
  return isConnectionLost(error.cause)
}

/** SQLSTATE: no room on the disk, no memory, too many connections; read-only; input or output has failed. */
const NO_MORE_WRITES = /^(?:53\w{3}|25006|58030)$/

/**
 * Whether the database is there, but cannot take anything in now. What was asked is not at fault, and the same
 * may succeed when its operator has made room.
 */
export function refusesWrites(error: unknown): boolean {
  if (!(error instanceof Error)) return false
  const { code } = error as { code?: unknown }
  return (typeof code === 'string' && NO_MORE_WRITES.test(code)) || refusesWrites(error.cause)
}

/** A query that failed because of the state the database is in. Marks what may look like another host's failure. */
export class DatabaseUnavailable extends Error {
  override readonly name = 'DatabaseUnavailable'
  constructor(cause: unknown) {
    super('the database cannot be used now', { cause })
  }
}

/** Whether it is the database that is in trouble, and not what was asked of it. */
export function isDatabaseTrouble(error: unknown): boolean {
  return error instanceof DatabaseUnavailable || isConnectionLost(error) || refusesWrites(error)
}

/** Gives what a query gives, and marks its failure if it is the database that is in trouble. */
export async function marked<T>(query: Promise<T>): Promise<T> {
  try {
    return await query
  } catch (error) {
    throw isDatabaseTrouble(error) ? new DatabaseUnavailable(error) : error
  }
}
