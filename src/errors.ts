/**
 * What can go wrong with a request, as the use cases in `jobs/` say it. They know nothing of HTTP: the edge
 * (`api/errors.ts`) gives each code its status, once.
 */
export type ErrorCode =
  | 'InvalidRequest'
  | 'InvalidCollection'
  | 'InvalidRepo'
  | 'InvalidHost'
  | 'ScopeTooBroad'
  | 'ClientTokenConflict'
  | 'LevelNotOffered'
  | 'QuotaExceeded'
  | 'JobNotFound'
  | 'DetailsDeleted'
  | 'ManifestNotReady'
  | 'InvalidState'
  | 'InvalidPermission'
  | 'CallerNotFound'
  | 'DirectoryUnavailable'

export class RequestError extends Error {
  override readonly name = 'RequestError'
  constructor(
    readonly code: ErrorCode,
    message: string,
    options?: ErrorOptions,
  ) {
    super(message, options)
  }
}

/** A problem with how the service was set up; the command line prints it without a stack. */
export class SetupError extends Error {
  override readonly name = 'SetupError'
}
