/**
 * GENERATED CODE - DO NOT MODIFY
 */
import { type ValidationResult, BlobRef } from '@atproto/lexicon'
import { CID } from 'multiformats/cid'
import { validate as _validate } from '../../../../lexicons.js'
import {
  type $Typed,
  is$typed as _is$typed,
  type OmitKey,
} from '../../../../util.js'

const is$typed = _is$typed,
  validate = _validate
const id = 'network.example.backfill.defs'

/** A backfill job and how far it has come. */
export interface JobView {
  $type?: 'network.example.backfill.defs#jobView'
  /** What other methods take as 'job'. Later jobs have greater ids. */
  id: string
  /** Who asked for the job, and owns it. */
  caller: string
  /** The caller's own name for the job. */
  name?: string
  /** The collections asked for, as they were asked for. Absent: every collection. */
  collections?: string[]
  /** How many repos the caller named. Absent: the repos are discovered. */
  repoCount?: number
  /** The hosts whose repos were asked for. Absent: the job is not limited to hosts. */
  hosts?: JobHost[]
  method: RequestedMethod
  level: Level
  status: JobStatus
  stage: JobStage
  /** Whether every repo of the job is known, so that totalRepos no longer grows. */
  discoveryComplete?: boolean
  /** Repos known so far. */
  totalRepos: number
  /** Repos whose PDS has been found. */
  resolvedRepos: number
  /** Repos with an outcome: completedRepos + unavailableRepos + failedRepos. */
  processedRepos: number
  /** Repos whose whole record set is stored. */
  completedRepos: number
  /** Repos whose account is deactivated, taken down, suspended or gone. */
  unavailableRepos: number
  /** Repos given up, for the reasons in failures. */
  failedRepos: number
  /** Records fetched so far, in all repos. */
  totalRecords: number
  /** The failed repos by class. */
  failures?: FailureCount[]
  /** Where each relay's firehose stood just before anything of the job was read. To go on live without a gap, replay from here and apply an event only if its rev is greater than that of the repo's receipt, or if the receipt has none. A relay whose position could not be had is missing: what it alone tells cannot be joined without a gap. */
  startCursors?: StartCursor[]
  /** Why the job failed, for people to read. What single repos failed with is in failures. */
  error?: string
  createdAt: string
  startedAt?: string
  /** When the job ended, whether it was completed, failed or was cancelled. */
  completedAt?: string
  /** The job that this one repeats, to find what has changed since. */
  refreshes?: string
  /** What has become of the job's records, if they were to go: 'purging' while they go, 'purged' when those are gone that no other job needs. */
  purge?: 'purging' | 'purged' | (string & {})
  manifest?: ManifestView
}

const hashJobView = 'jobView'

export function isJobView<V>(v: V) {
  return is$typed(v, id, hashJobView)
}

export function validateJobView<V>(v: V) {
  return validate<JobView & V>(v, id, hashJobView)
}

/** The manifest of a job that has ended: JSON lines with the receipt of each completed repo and the outcome of every other, in the order of their DIDs, and a last line that sums them up and is signed with the service's key. The receipts are those that the repos had when it was made. The document is kept with the job's details, this much of it for as long as the job. */
export interface ManifestView {
  $type?: 'network.example.backfill.defs#manifestView'
  /** SHA-256 of the whole document, in hexadecimal. */
  hash: string
  /** How many repos have a receipt in it. */
  receipts: number
  createdAt: string
}

const hashManifestView = 'manifestView'

export function isManifestView<V>(v: V) {
  return is$typed(v, id, hashManifestView)
}

export function validateManifestView<V>(v: V) {
  return validate<ManifestView & V>(v, id, hashManifestView)
}

/** A host that a job is limited to. */
export interface JobHost {
  $type?: 'network.example.backfill.defs#jobHost'
  /** Host name, with the port if it is not the default one. */
  hostname: string
}

const hashJobHost = 'jobHost'

export function isJobHost<V>(v: V) {
  return is$typed(v, id, hashJobHost)
}

export function validateJobHost<V>(v: V) {
  return validate<JobHost & V>(v, id, hashJobHost)
}

/** What a job does. 'pausing' and 'cancelling' last until the work in flight has stopped; 'cancelled', 'completed' and 'failed' are ends. */
export type JobStatus =
  | 'running'
  | 'pausing'
  | 'paused'
  | 'cancelling'
  | 'cancelled'
  | 'completed'
  | 'failed'
  | (string & {})
/** What part of its work a job has reached. 'resolving-and-fetching' begins with the first repos found; discoveryComplete says whether more may come. */
export type JobStage =
  | 'pending'
  | 'discovering-repos'
  | 'resolving-and-fetching'
  | 'completed'
  | 'failed'
  | 'cancelled'
  | (string & {})
/** How records are to be fetched: 'list-records' pages through com.atproto.repo.listRecords, 'get-repo' downloads whole repos, 'sparse' reads only the wanted part of a repo's tree, 'auto' leaves the choice to the service, repo by repo. */
export type RequestedMethod =
  'auto' | 'list-records' | 'get-repo' | 'sparse' | (string & {})
/** How a repo's records were fetched; 'unchanged' if those of an earlier receipt were still current and nothing had to be fetched. */
export type Method =
  'list-records' | 'get-repo' | 'sparse' | 'unchanged' | (string & {})
/** How far records are proven. 'signed': part of a tree whose root the account has signed, and nothing of it is missing. 'content': each value has the CID it was given with. 'none': taken as the host gave them. */
export type Level = 'signed' | 'content' | 'none' | (string & {})
/** Why a repo failed: nobody gave a definite answer, so that trying again may help (retryable), or somebody did. */
export type FailureClass =
  | 'host-unavailable'
  | 'dns-failure'
  | 'connection-failed'
  | 'timeout'
  | 'host-error'
  | 'bad-response'
  | 'incomplete-car'
  | 'too-slow'
  | 'directory-unavailable'
  | 'did-not-found'
  | 'did-invalid'
  | 'host-blocked'
  | 'repo-not-found'
  | 'body-too-large'
  | 'cursor-loop'
  | 'cid-mismatch'
  | 'bad-signature'
  | 'did-mismatch'
  | 'bad-tree'
  | 'rev-regressed'
  | 'unverifiable'
  | (string & {})
/** Why an account's records are not to be had, as its host or its DID says. */
export type UnavailableReason =
  | 'deactivated'
  | 'takendown'
  | 'suspended'
  | 'deleted'
  | 'tombstoned'
  | (string & {})

/** How many repos of a job failed in one way. */
export interface FailureCount {
  $type?: 'network.example.backfill.defs#failureCount'
  class: FailureClass
  count: number
  /** Whether trying again may help. */
  retryable: boolean
}

const hashFailureCount = 'failureCount'

export function isFailureCount<V>(v: V) {
  return is$typed(v, id, hashFailureCount)
}

export function validateFailureCount<V>(v: V) {
  return validate<FailureCount & V>(v, id, hashFailureCount)
}

/** A position in a relay's firehose. */
export interface StartCursor {
  $type?: 'network.example.backfill.defs#startCursor'
  /** The relay's origin. */
  relay: string
  /** A cursor for com.atproto.sync.subscribeRepos on this relay. */
  seq: number
}

const hashStartCursor = 'startCursor'

export function isStartCursor<V>(v: V) {
  return is$typed(v, id, hashStartCursor)
}

export function validateStartCursor<V>(v: V) {
  return validate<StartCursor & V>(v, id, hashStartCursor)
}

/** How far a repo of a job has come. 'completed', 'unavailable' and 'failed' are outcomes; there is no other. */
export type RepoStatus =
  | 'waiting'
  | 'resolved'
  | 'fetching'
  | 'completed'
  | 'unavailable'
  | 'failed'
  | (string & {})

/** One repo of a job. */
export interface RepoView {
  $type?: 'network.example.backfill.defs#repoView'
  did: string
  handle?: string
  /** The origin of the account's PDS, once it is known. */
  pdsEndpoint?: string
  status: RepoStatus
  /** Records fetched so far. */
  recordsFetched: number
  /** Tries used up. Waiting because a host asks for it does not use one up. */
  attempts: number
  /** When the next try is due. */
  retryAt?: string
  failure?: FailureView
  reason?: UnavailableReason
  receipt?: ReceiptView
}

const hashRepoView = 'repoView'

export function isRepoView<V>(v: V) {
  return is$typed(v, id, hashRepoView)
}

export function validateRepoView<V>(v: V) {
  return validate<RepoView & V>(v, id, hashRepoView)
}

/** Why a repo could not be fetched. */
export interface FailureView {
  $type?: 'network.example.backfill.defs#failureView'
  class: FailureClass
  /** For people to read. */
  message: string
  /** Whether trying again may help. */
  retryable: boolean
}

const hashFailureView = 'failureView'

export function isFailureView<V>(v: V) {
  return is$typed(v, id, hashFailureView)
}

export function validateFailureView<V>(v: V) {
  return validate<FailureView & V>(v, id, hashFailureView)
}

/** The verdict on one repo: what its record set for the job's collections is, and how far that is proven. */
export interface ReceiptView {
  $type?: 'network.example.backfill.defs#receiptView'
  did: string
  /** The revision of the repo that this is the record set of. Absent if the method gives none. */
  rev?: string
  /** The root of the repo's tree at that revision, where the method shows it. */
  dataCid?: string
  /** The records of each collection that has any. */
  counts: CollectionCount[]
  /** The sum of counts, unreadable records included. */
  totalRecords: number
  method: Method
  level: Level
  /** The origin the records came from. */
  pdsEndpoint: string
  completedAt: string
  /** Records that the repo's tree names but whose bytes are not valid atproto data: they are delivered without value. Absent: none. */
  unreadableCount?: number
  /** The first hundred of these. */
  unreadable?: RecordView[]
}

const hashReceiptView = 'receiptView'

export function isReceiptView<V>(v: V) {
  return is$typed(v, id, hashReceiptView)
}

export function validateReceiptView<V>(v: V) {
  return validate<ReceiptView & V>(v, id, hashReceiptView)
}

/** How many records of one collection a repo has. */
export interface CollectionCount {
  $type?: 'network.example.backfill.defs#collectionCount'
  collection: string
  count: number
}

const hashCollectionCount = 'collectionCount'

export function isCollectionCount<V>(v: V) {
  return is$typed(v, id, hashCollectionCount)
}

export function validateCollectionCount<V>(v: V) {
  return validate<CollectionCount & V>(v, id, hashCollectionCount)
}

/** A record that is gone. */
export interface DeletedRecordView {
  $type?: 'network.example.backfill.defs#deletedRecordView'
  uri: string
  /** The revision at which it was found to be gone. Absent if the method gives none. */
  rev?: string
}

const hashDeletedRecordView = 'deletedRecordView'

export function isDeletedRecordView<V>(v: V) {
  return is$typed(v, id, hashDeletedRecordView)
}

export function validateDeletedRecordView<V>(v: V) {
  return validate<DeletedRecordView & V>(v, id, hashDeletedRecordView)
}

/** A record, as com.atproto.repo.listRecords gives it. */
export interface RecordView {
  $type?: 'network.example.backfill.defs#recordView'
  uri: string
  cid: string
  /** The record itself. Absent if the repo's tree names the record but its bytes are not valid atproto data. */
  value?: { [_ in string]: unknown }
}

const hashRecordView = 'recordView'

export function isRecordView<V>(v: V) {
  return is$typed(v, id, hashRecordView)
}

export function validateRecordView<V>(v: V) {
  return validate<RecordView & V>(v, id, hashRecordView)
}

/** A host of a job: what became of its repos, and whether it can be asked now. */
export interface HostView {
  $type?: 'network.example.backfill.defs#hostView'
  /** The PDS's origin. */
  pdsEndpoint: string
  /** Repos of the job on this host. */
  totalRepos: number
  completedRepos: number
  failedRepos: number
  unavailableRepos: number
  /** Records fetched from it so far. */
  totalRecords: number
  state: HostState
  /** When it will be asked again, if state is not 'ok'. */
  resumesAt?: string
}

const hashHostView = 'hostView'

export function isHostView<V>(v: V) {
  return is$typed(v, id, hashHostView)
}

export function validateHostView<V>(v: V) {
  return validate<HostView & V>(v, id, hashHostView)
}

/** Whether a host can be asked: 'ok', 'cooling' while it wants to be left alone, 'parked' while it has been given up for some time. */
export type HostState = 'ok' | 'cooling' | 'parked' | (string & {})

/** Many hosts in one. */
export interface HostAggregate {
  $type?: 'network.example.backfill.defs#hostAggregate'
  /** How many hosts these are. */
  hosts: number
  totalRepos: number
  completedRepos: number
  failedRepos: number
  unavailableRepos: number
  totalRecords: number
}

const hashHostAggregate = 'hostAggregate'

export function isHostAggregate<V>(v: V) {
  return is$typed(v, id, hashHostAggregate)
}

export function validateHostAggregate<V>(v: V) {
  return validate<HostAggregate & V>(v, id, hashHostAggregate)
}

/** What a caller may do. 'read': look at its jobs and their records. 'create': start and steer jobs. 'admin': all of it, for the jobs of everybody, and manage callers. */
export type Permission = 'read' | 'create' | 'admin' | (string & {})

/** What a caller may use. Left out: the service's default. */
export interface Quotas {
  $type?: 'network.example.backfill.defs#quotas'
  /** Jobs that have not ended, at the same time. */
  runningJobs?: number
  /** Repos of one job, named or discovered. */
  reposPerJob?: number
  /** Requests in one minute, to all methods together. */
  requestsPerMinute?: number
  /** Streams open at the same time at each process of the service: of exportRecords, subscribeRecords and subscribeJob together. */
  streams?: number
}

const hashQuotas = 'quotas'

export function isQuotas<V>(v: V) {
  return is$typed(v, id, hashQuotas)
}

export function validateQuotas<V>(v: V) {
  return validate<Quotas & V>(v, id, hashQuotas)
}

/** Who may call, and what it may do. */
export interface CallerView {
  $type?: 'network.example.backfill.defs#callerView'
  did: string
  permissions: GrantedPermission[]
  quotas: Quotas
  /** Other callers whose jobs it may read as if they were its own. */
  jobsOf: ReadableCaller[]
  /** Whether the service's own settings name this caller: then it is known even after deleteCaller. */
  configured: boolean
  createdAt?: string
  updatedAt?: string
}

const hashCallerView = 'callerView'

export function isCallerView<V>(v: V) {
  return is$typed(v, id, hashCallerView)
}

export function validateCallerView<V>(v: V) {
  return validate<CallerView & V>(v, id, hashCallerView)
}

export interface GrantedPermission {
  $type?: 'network.example.backfill.defs#grantedPermission'
  name: Permission
}

const hashGrantedPermission = 'grantedPermission'

export function isGrantedPermission<V>(v: V) {
  return is$typed(v, id, hashGrantedPermission)
}

export function validateGrantedPermission<V>(v: V) {
  return validate<GrantedPermission & V>(v, id, hashGrantedPermission)
}

export interface ReadableCaller {
  $type?: 'network.example.backfill.defs#readableCaller'
  did: string
}

const hashReadableCaller = 'readableCaller'

export function isReadableCaller<V>(v: V) {
  return is$typed(v, id, hashReadableCaller)
}

export function validateReadableCaller<V>(v: V) {
  return validate<ReadableCaller & V>(v, id, hashReadableCaller)
}
