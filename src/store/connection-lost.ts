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
