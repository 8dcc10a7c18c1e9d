/** The client of Aquifer: everything a program needs that calls the service. */
export type {
  CallerView,
  CollectionCount,
  DeletedRecordView,
  FailureClass,
  FailureCount,
  FailureView,
  HostAggregate,
  HostState,
  HostView,
  JobHost,
  JobStage,
  JobStatus,
  JobView,
  Level,
  Method,
  Permission,
  Quotas,
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
  type AllDetailsDeletion,
  type AllRecordsParams,
  BackfillClient,
  type BackfillClientOptions,
  type CallersPage,
  type CallOptions,
  type CreateJobInput,
  type DetailsDeletion,
  type ExportOptions,
  type ExportRecordsParams,
  type JobsPage,
  type ListCallersParams,
  type ListJobReposParams,
  type ListJobsParams,
  type ListRecordsParams,
  type PdsSummary,
  type PutCallerInput,
  type RecordsOptions,
  type RecordsPage,
  type RefreshJobOptions,
  type ReposPage,
  type RetryJobOptions,
  type ServiceDescription,
} from './client.js'
export type { Clock } from './clock.js'
export type { Credentials } from './credentials.js'
export { type CallerDidDocument, callerDidDocument } from './did-document.js'
export {
  AuthenticationFailed,
  BackfillError,
  CallerNotFound,
  ClientTokenConflict,
  ConsumerTooSlow,
  DetailsDeleted,
  DirectoryUnavailable,
  type ErrorDetails,
  EventsMissing,
  FutureCursor,
  IncompleteExport,
  InvalidCollection,
  InvalidHost,
  InvalidPermission,
  InvalidRepo,
  InvalidRequest,
  InvalidResponse,
  InvalidState,
  JobNotFound,
  LevelNotOffered,
  LoginFailed,
  ManifestNotReady,
  NotPermitted,
  QuotaExceeded,
  RateLimitExceeded,
  ScopeTooBroad,
  ServiceUnreachable,
  SessionExpired,
  TimeoutError,
} from './errors.js'
export type { ExportMessage } from './export.js'
export type { JobMessage } from './job-messages.js'
export { formatPrivateKey, generateKey, type Keypair, type PrivateKey, parsePrivateKey } from './keys.js'
export {
  InvalidManifest,
  type ManifestHead,
  type ManifestLine,
  type ManifestProblem,
  type ManifestReceipt,
  type VerifiedManifest,
  verifyManifest,
} from './manifest.js'
export type { JobEnd, RecordMessage } from './record-messages.js'
export { followRelay, type RelayOptions } from './relay.js'
export type { RecordChange, RelayEvent } from './relay-events.js'
export { repoOf } from './repo.js'
export type { RetryOptions } from './retry.js'
export { type LoginOptions, PdsSession, type SavedSession, type SessionOptions } from './session.js'
export type { Reconnect, StreamOptions } from './stream.js'
export { mintServiceToken, type TokenRequest } from './token.js'
export type { WaitOptions } from './wait.js'
export type { RepoMessage, WholeRepo } from './whole-repos.js'
