/** Everything that is known of a failed call. */
export interface ErrorDetails {
  /** The XRPC error name; see `BackfillError.name`. */
  readonly name: string
  readonly message: string
  readonly status?: number
  readonly requestId?: string | undefined
  readonly retryAfter?: number | undefined
  readonly cause?: unknown
}

/**
 * A call that failed. Its subclasses are what a program may want to tell apart; an error name that this version
 * of the client does not know comes as a plain `BackfillError`.
 */
export class BackfillError extends Error {
  /** The XRPC error name, such as `JobNotFound`. Where nobody answered, the name of the class. */
  override readonly name: string
  /** The HTTP status; 0 where there was no answer. */
  readonly status: number
  /** What the service's log calls the request. */
  readonly requestId: string | undefined
  /** Seconds after which the service wants to be asked again, where it said so. */
  readonly retryAfter: number | undefined

  constructor(details: ErrorDetails) {
    super(details.message, details.cause === undefined ? undefined : { cause: details.cause })
    this.name = details.name
    this.status = details.status ?? 0
    this.requestId = details.requestId
    this.retryAfter = details.retryAfter
  }
}

/** Something about the request is wrong that has no name of its own. */
export class InvalidRequest extends BackfillError {}
/** Entries of `collections` are neither an NSID nor a usable prefix. */
export class InvalidCollection extends BackfillError {}
/** Entries of `repos` are neither a DID nor a handle, or are handles that no account answers to. */
export class InvalidRepo extends BackfillError {}
/** Entries of `hosts` are not the names of hosts that may be asked. */
export class InvalidHost extends BackfillError {}
/** The job would crawl the whole network, which takes the permission `admin`. */
export class ScopeTooBroad extends BackfillError {}
/** The client token was used before, with another input. */
export class ClientTokenConflict extends BackfillError {}
/** The service does not offer this method. */
/** The service does not offer this level, or not by this method. */
export class LevelNotOffered extends BackfillError {}
/** There is no such job, or it is another caller's. */
export class JobNotFound extends BackfillError {}
/** The job's details were deleted. */
export class DetailsDeleted extends BackfillError {}
/** The job has not ended, or its manifest is still being made. */
export class ManifestNotReady extends BackfillError {}
/** The job is in a state in which this cannot be done; the message names it. */
export class InvalidState extends BackfillError {}
/** The caller has used up what it may have, such as unfinished jobs; asking again does not help by itself. */
export class QuotaExceeded extends BackfillError {}
/** There is no such permission. */
export class InvalidPermission extends BackfillError {}
/** `putCaller` has said nothing of this caller. */
export class CallerNotFound extends BackfillError {}
/** The cursor of a stream is ahead of the job: it is another job's, or the service has lost what came after. */
export class FutureCursor extends BackfillError {}
/** The messages of a stream were not taken in time. The client comes back by itself. */
export class ConsumerTooSlow extends BackfillError {}
/** Handles or the caller's own DID cannot be looked up now. */
export class DirectoryUnavailable extends BackfillError {}
/** The service knows who calls, and the caller lacks the permission. */
export class NotPermitted extends BackfillError {}
/** The service could not establish who calls; the name says why, such as `JwtExpired` or `UnknownIssuer`. */
export class AuthenticationFailed extends BackfillError {}
/** Too many requests; `retryAfter` has the seconds to wait, where the service says. */
export class RateLimitExceeded extends BackfillError {}
/** Nobody answers at the address, or the connection broke. */
export class ServiceUnreachable extends BackfillError {}
/** An answer took longer than `timeoutMs`. */
export class TimeoutError extends BackfillError {}
/** The answer is not what the lexicon says: the address is another service's, or the client is too old. */
export class InvalidResponse extends BackfillError {}
/** An export was broken off, or is not what was sent. What came before `cursor` is whole; ask again from there. */
export class IncompleteExport extends BackfillError {
  /** What `exportRecords` takes to go on; undefined where nothing is whole yet. */
  readonly cursor: number | undefined

  constructor(details: ErrorDetails & { readonly cursor: number | undefined }) {
    super(details)
    this.cursor = details.cursor
  }
}
/** A relay does not have what comes after a cursor: by `name` it is too old, or of another relay. Read all anew. */
export class EventsMissing extends BackfillError {}
/** A PDS did not let the account in: wrong identifier or password, or a second factor is needed. */
export class LoginFailed extends BackfillError {}
/** A PDS session has ended for good: log in again. */
export class SessionExpired extends BackfillError {}

type ErrorClass = new (details: ErrorDetails) => BackfillError

const BY_NAME = new Map<string, ErrorClass>(
  Object.entries({
    InvalidRequest,
    InvalidCollection,
    InvalidRepo,
    InvalidHost,
    ScopeTooBroad,
    ClientTokenConflict,
    LevelNotOffered,
    JobNotFound,
    DetailsDeleted,
    ManifestNotReady,
    InvalidState,
    QuotaExceeded,
    InvalidPermission,
    CallerNotFound,
    FutureCursor,
    ConsumerTooSlow,
    DirectoryUnavailable,
    NotPermitted,
  }),
)

/** The names that have a class: those of the lexicons must all be among them. */
export const NAMED_ERRORS: readonly string[] = [...BY_NAME.keys()]

/** The error of an answer, by its status where that says it all, else by its name. */
export function errorOf(details: ErrorDetails): BackfillError {
  if (details.status === 401) return new AuthenticationFailed(details)
  // A quota has the status of a rate limit, but no time after which it is a different one.
  if (details.status === 429 && details.name !== 'QuotaExceeded') return new RateLimitExceeded(details)
  return new (BY_NAME.get(details.name) ?? BackfillError)(details)
}

/** Whether the same call may succeed a little later: no answer, too many requests, or a fault on the other side. */
export function isTransient(error: unknown): error is BackfillError {
  if (error instanceof ServiceUnreachable || error instanceof TimeoutError) return true
  if (!(error instanceof BackfillError) || error instanceof QuotaExceeded) return false
  return error.status === 429 || (error.status >= 500 && error.status !== 501)
}
