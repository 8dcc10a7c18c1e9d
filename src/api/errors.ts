import { InternalServerError, ResponseType, XRPCError } from '@atproto/xrpc-server'
import { type ErrorCode, RequestError } from '../errors.js'
import { isDatabaseTrouble } from '../store/trouble.js'

/** The status of each refusal that is not a plain 400. */
const STATUSES: Partial<Record<ErrorCode, number>> = {
  // Without Retry-After: a minute of waiting does not help.
  QuotaExceeded: 429,
  DirectoryUnavailable: 503,
}

/**
 * What a caller sees of anything thrown: refusals by name, our own faults without detail.
 * Installed once, as the server's error parser.
 */
export function toXrpcError(error: unknown): XRPCError {
  if (error instanceof RequestError) {
    return new XRPCError(STATUSES[error.code] ?? 400, error.message, error.code, { cause: error })
  }
  // What has a name already may have been caused by another host's connection.
  if (!(error instanceof XRPCError) && isDatabaseTrouble(error)) {
    const message = 'The service cannot use its database now'
    return new XRPCError(503, message, 'DatabaseUnavailable', { cause: error })
  }
  const parsed = withXrpcName(XRPCError.fromError(error))
  if (parsed.statusCode < 500 || parsed.statusCode === 501 || parsed.statusCode === 503) return parsed
  return new InternalServerError(undefined, undefined, { cause: error })
}

/** The body parser's errors bear the names of its own classes, which mean nothing to a caller. */
function withXrpcName(error: XRPCError): XRPCError {
  const { cause, statusCode } = error
  const fromParser = cause instanceof Error && 'expose' in cause && 'statusCode' in cause
  if (!fromParser) return error
  return new XRPCError(statusCode, error.message, ResponseType[statusCode] ?? 'InvalidRequest', { cause })
}
