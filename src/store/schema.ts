import type { ColumnType, Generated } from 'kysely'
import type {
  FailureClass,
  JobDetails,
  JobPurge,
  JobStage,
  JobStatus,
  Level,
  Method,
  RepoStatus,
  RequestedMethod,
  UnavailableReason,
} from '../verdict.js'

/**
 * The tables as Kysely sees them; the migrations say what each is for. bigint comes back as a number: every
 * count and key here stays far below 2^53.
 */
export interface Database {
  repo: { id: Generated<number>; did: string }
  collection: { id: Generated<number>; nsid: string }
  record: RecordTable
  scope: { id: Generated<number>; hash: string; collections: string[] }
  receipt: ReceiptTable
  repo_rev: { repo: number; host: number; rev: string; first_seen_at: Date; seen_at: Date }
  host: HostTable
  rev_listing: RevListingTable
  host_turns: { host: number; taken_until: Generated<Date> }
  /** document is JSON text: a stranger's document may hold what jsonb refuses. */
  identity: { did: string; document: string; handle: string | null; updated_at: Date }
  spent_token: { issuer: string; jti: string; expires_at: Date }
  job: JobTable
  job_progress: JobProgressTable
  manifest: ManifestTable
  manifest_part: ManifestPartTable
  job_failure: { job: number; class: FailureClass; count: number }
  listing: ListingTable
  start_cursor: StartCursorTable
  job_repo: JobRepoTable
  account_state: AccountStateTable
  reading_page: { job: number; repo: number; reading: number; collection: number; rkeys: string[] }
  worker: WorkerTable
  engagement: { job: number; worker: string }
  caller: CallerTable
  request_count: { did: string; minute: number; count: number }
}

/** Read as a parsed value, written as JSON text. */
type Json<T> = ColumnType<T, string, string>

export interface RecordTable {
  repo: number
  collection: number
  level: Level
  rkey: string
  cid: string | null
  rev: string | null
  /** JSON text, never parsed on the way out: what came in goes out unchanged. */
  value: string | null
}

export interface ReceiptTable {
  repo: number
  scope: number
  records: number
  level: Level
  method: Method
  host: number
  rev: string | null
  data_cid: string | null
  counts: Json<Record<string, number>>
  completed_at: Date
  unreadable: Generated<number>
  unreadable_first: Json<UnreadableRecord[]> | null
  read_from: Date | null
}

/** A record that a signed tree names, but whose bytes are not valid data. */
export interface UnreadableRecord {
  collection: string
  rkey: string
  cid: string
}

export interface HostTable {
  id: Generated<number>
  origin: string
  epoch: Generated<number>
  next_request_at: Generated<Date>
  failures: Generated<number>
  parked: Generated<boolean>
  parkings: Generated<number>
  refusals: Generated<number>
  unstated: Generated<number>
  unanswered_since: Date | null
  given_up: Generated<boolean>
  budget: ColumnType<unknown, string | null, string | null>
  unsupported: Generated<string[]>
  unsupported_at: Date | null
}

export interface RevListingTable {
  host: number
  jobs: number[]
  began_at: Date
  cursor: string | null
  pages: Generated<number>
  mark: string | null
  listed: Generated<number>
  wanted: Generated<number>
  done: Generated<boolean>
  attempts: Generated<number>
  retry_at: Date | null
}

export interface JobTable {
  key: Generated<number>
  id: string
  caller: string
  client_token: string | null
  input_hash: string | null
  name: string | null
  scope: number
  collections: string[] | null
  repo_count: number | null
  hosts: string[] | null
  method: RequestedMethod
  level: Level
  status: JobStatus
  stage: JobStage
  discovery_complete: Generated<boolean>
  error: string | null
  created_at: Date
  started_at: Date | null
  completed_at: Date | null
  details: Generated<JobDetails>
  repo_limit: number | null
  retrying: FailureClass[] | null
  manifest_of: Date | null
  refreshes: string | null
  refresh_after: string | null
  purge: JobPurge | null
}

export interface JobProgressTable {
  job: number
  seq: Generated<number>
  state_seq: Generated<number>
  stopped: Generated<boolean>
  total: Generated<number>
  resolved: Generated<number>
  completed: Generated<number>
  unavailable: Generated<number>
  failed: Generated<number>
  records: Generated<number>
}

export interface ManifestTable {
  job: number
  completed_at: Date
  hash: string
  head: string
  receipts: number
  parts: number
  built_at: Date
}

export interface ManifestPartTable {
  job: number
  completed_at: Date
  part: number
  last_did: string
  tally: Json<unknown>
  lines: Buffer
}

export interface ListingTable {
  job: number
  origin: string
  lists: string
  host: number | null
  cursor: string | null
  pages: Generated<number>
  mark: string | null
  done: Generated<boolean>
  attempts: Generated<number>
  retry_at: Date | null
  failure: string | null
}

export interface StartCursorTable {
  job: number
  relay: string
  seq: number | null
  attempts: Generated<number>
  retry_at: Date | null
  failure: string | null
}

export interface JobRepoTable {
  id: Generated<number>
  repo: number
  job: number
  host: number | null
  did: string
  status: Generated<RepoStatus>
  method: Method | null
  failure: FailureClass | null
  reason: UnavailableReason | null
  attempts: Generated<number>
  records: Generated<number>
  seq: number
  changed_at: Generated<Date>
  retry_at: Date | null
  progress: Json<unknown> | null
  message: string | null
  rev: string | null
  since_rev: string | null
}

export interface AccountStateTable {
  repo: number
  reason: UnavailableReason | null
  seen_at: Date
  untold: boolean
  unpurged: boolean
}

export interface WorkerTable {
  id: string
  alive_until: Date
  backend: number | null
  reported_at: Generated<Date>
  tasks: Generated<Json<unknown>>
}

export interface CallerTable {
  did: string
  permissions: string[]
  jobs_of: Generated<string[]>
  running_jobs: number | null
  repos_per_job: number | null
  requests_per_minute: number | null
  streams: number | null
  created_at: Date
  updated_at: Date
}
