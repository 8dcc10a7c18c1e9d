/** The client of Aquifer: everything a program needs that calls the service. */
export type {
  CollectionCount,
  FailureClass,
  FailureCount,
  FailureView,
  JobHost,
  JobStage,
  JobStatus,
  JobView,
  Level,
  Method,
  ReceiptView,
  RecordView,
  RepoStatus,
  RepoView,
  RequestedMethod,
  StartCursor,
  UnavailableReason,
} from '../../codegen/client/types/network/example/backfill/defs.js'
export type { CallerOptions } from './caller.js'
export {
  BackfillClient,
  type BackfillClientOptions,
  type CallOptions,
  type CreateJobInput,
  type JobsPage,
  type ListJobReposParams,
  type ListJobsParams,
  type ListRecordsParams,
  type RecordsPage,
  type ReposPage,
  type ServiceDescription,
} from './client.js'
export type { Clock } from './clock.js'
export type { Credentials } from './credentials.js'
export { type CallerDidDocument, callerDidDocument } from './did-document.js'
export {
  AuthenticationFailed,
  BackfillError,
  ClientTokenConflict,
  DetailsDeleted,
  DirectoryUnavailable,
  type ErrorDetails,
  InvalidCollection,
  InvalidRepo,
  InvalidRequest,
  InvalidResponse,
  JobNotFound,
  LevelNotOffered,
  LoginFailed,
  MethodNotOffered,
  NotPermitted,
  RateLimitExceeded,
  ScopeTooBroad,
  ServiceUnreachable,
  SessionExpired,
  TimeoutError,
} from './errors.js'
export { formatPrivateKey, generateKey, type Keypair, type PrivateKey, parsePrivateKey } from './keys.js'
export { repoOf } from './repo.js'
export type { RetryOptions } from './retry.js'
export { type LoginOptions, PdsSession, type SavedSession, type SessionOptions } from './session.js'
export { mintServiceToken, type TokenRequest } from './token.js'
export type { WaitOptions } from './wait.js'
