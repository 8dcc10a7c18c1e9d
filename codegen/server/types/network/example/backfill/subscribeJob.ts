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
import { ErrorFrame } from '@atproto/xrpc-server'
import { IncomingMessage } from 'node:http'
import type * as NetworkExampleBackfillDefs from './defs.js'

const is$typed = _is$typed,
  validate = _validate
const id = 'network.example.backfill.subscribeJob'

export type QueryParams = {
  /** The job's id. */
  job: string
  /** The seq of the last message seen; 0 for all from the beginning. */
  cursor?: number
}
export type OutputSchema =
  | $Typed<JobSnapshot>
  | $Typed<RepoDiscovered>
  | $Typed<RepoResolved>
  | $Typed<RepoFetched>
  | $Typed<RepoFailed>
  | $Typed<RepoUnavailable>
  | $Typed<JobCounters>
  | $Typed<JobStageChanged>
  | $Typed<JobCompleted>
  | $Typed<Info>
  | { $type: string }
export type HandlerError = ErrorFrame<
  | 'JobNotFound'
  | 'FutureCursor'
  | 'ConsumerTooSlow'
  | 'NotPermitted'
  | 'QuotaExceeded'
>
export type HandlerOutput = HandlerError | OutputSchema

/** The whole job as it is now. */
export interface JobSnapshot {
  $type?: 'network.example.backfill.subscribeJob#jobSnapshot'
  /** Increases within the job; what cursor takes. */
  seq: number
  job: string
  time: string
  view: NetworkExampleBackfillDefs.JobView
}

const hashJobSnapshot = 'jobSnapshot'

export function isJobSnapshot<V>(v: V) {
  return is$typed(v, id, hashJobSnapshot)
}

export function validateJobSnapshot<V>(v: V) {
  return validate<JobSnapshot & V>(v, id, hashJobSnapshot)
}

/** A repo belongs to the job; its host is not known yet. */
export interface RepoDiscovered {
  $type?: 'network.example.backfill.subscribeJob#repoDiscovered'
  /** Increases within the job; what cursor takes. */
  seq: number
  job: string
  time: string
  did: string
}

const hashRepoDiscovered = 'repoDiscovered'

export function isRepoDiscovered<V>(v: V) {
  return is$typed(v, id, hashRepoDiscovered)
}

export function validateRepoDiscovered<V>(v: V) {
  return validate<RepoDiscovered & V>(v, id, hashRepoDiscovered)
}

/** A repo's host is known; its records are being waited for. */
export interface RepoResolved {
  $type?: 'network.example.backfill.subscribeJob#repoResolved'
  /** Increases within the job; what cursor takes. */
  seq: number
  job: string
  time: string
  did: string
  /** The PDS's origin. */
  pdsEndpoint: string
}

const hashRepoResolved = 'repoResolved'

export function isRepoResolved<V>(v: V) {
  return is$typed(v, id, hashRepoResolved)
}

export function validateRepoResolved<V>(v: V) {
  return validate<RepoResolved & V>(v, id, hashRepoResolved)
}

/** A repo is completed: its whole record set is stored. */
export interface RepoFetched {
  $type?: 'network.example.backfill.subscribeJob#repoFetched'
  /** Increases within the job; what cursor takes. */
  seq: number
  job: string
  time: string
  did: string
  /** The PDS's origin. */
  pdsEndpoint: string
  recordsFetched: number
  /** The revision of the repo that this is the record set of. Absent if the method gives none. */
  rev?: string
  level: NetworkExampleBackfillDefs.Level
}

const hashRepoFetched = 'repoFetched'

export function isRepoFetched<V>(v: V) {
  return is$typed(v, id, hashRepoFetched)
}

export function validateRepoFetched<V>(v: V) {
  return validate<RepoFetched & V>(v, id, hashRepoFetched)
}

/** A repo has been given up. */
export interface RepoFailed {
  $type?: 'network.example.backfill.subscribeJob#repoFailed'
  /** Increases within the job; what cursor takes. */
  seq: number
  job: string
  time: string
  did: string
  class: NetworkExampleBackfillDefs.FailureClass
  /** For people to read. */
  message: string
  /** Whether trying again may help. */
  retryable: boolean
}

const hashRepoFailed = 'repoFailed'

export function isRepoFailed<V>(v: V) {
  return is$typed(v, id, hashRepoFailed)
}

export function validateRepoFailed<V>(v: V) {
  return validate<RepoFailed & V>(v, id, hashRepoFailed)
}

/** An account's records are not to be had. Also told of a repo that was completed, when its account is found to be gone later; the job's counters do not change by that. */
export interface RepoUnavailable {
  $type?: 'network.example.backfill.subscribeJob#repoUnavailable'
  /** Increases within the job; what cursor takes. */
  seq: number
  job: string
  time: string
  did: string
  reason: NetworkExampleBackfillDefs.UnavailableReason
}

const hashRepoUnavailable = 'repoUnavailable'

export function isRepoUnavailable<V>(v: V) {
  return is$typed(v, id, hashRepoUnavailable)
}

export function validateRepoUnavailable<V>(v: V) {
  return validate<RepoUnavailable & V>(v, id, hashRepoUnavailable)
}

/** How far the job has come; at most once a second. */
export interface JobCounters {
  $type?: 'network.example.backfill.subscribeJob#jobCounters'
  /** Increases within the job; what cursor takes. */
  seq: number
  job: string
  time: string
  status: NetworkExampleBackfillDefs.JobStatus
  stage: NetworkExampleBackfillDefs.JobStage
  /** Whether every repo of the job is known. */
  discoveryComplete: boolean
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
  failures?: NetworkExampleBackfillDefs.FailureCount[]
}

const hashJobCounters = 'jobCounters'

export function isJobCounters<V>(v: V) {
  return is$typed(v, id, hashJobCounters)
}

export function validateJobCounters<V>(v: V) {
  return validate<JobCounters & V>(v, id, hashJobCounters)
}

/** The job has reached another part of its work. */
export interface JobStageChanged {
  $type?: 'network.example.backfill.subscribeJob#jobStageChanged'
  /** Increases within the job; what cursor takes. */
  seq: number
  job: string
  time: string
  stage: NetworkExampleBackfillDefs.JobStage
}

const hashJobStageChanged = 'jobStageChanged'

export function isJobStageChanged<V>(v: V) {
  return is$typed(v, id, hashJobStageChanged)
}

export function validateJobStageChanged<V>(v: V) {
  return validate<JobStageChanged & V>(v, id, hashJobStageChanged)
}

/** The job has ended, in the way that status says. The last message. */
export interface JobCompleted {
  $type?: 'network.example.backfill.subscribeJob#jobCompleted'
  /** Increases within the job; what cursor takes. */
  seq: number
  job: string
  time: string
  status: NetworkExampleBackfillDefs.JobStatus
  /** Why the job failed, for people to read. */
  error?: string
}

const hashJobCompleted = 'jobCompleted'

export function isJobCompleted<V>(v: V) {
  return is$typed(v, id, hashJobCompleted)
}

export function validateJobCompleted<V>(v: V) {
  return validate<JobCompleted & V>(v, id, hashJobCompleted)
}

/** Something about the stream itself. */
export interface Info {
  $type?: 'network.example.backfill.subscribeJob#info'
  /** 'OutdatedCursor': what changed since the cursor is not known any more, repo by repo; the whole job follows. */
  name: string
  message?: string
}

const hashInfo = 'info'

export function isInfo<V>(v: V) {
  return is$typed(v, id, hashInfo)
}

export function validateInfo<V>(v: V) {
  return validate<Info & V>(v, id, hashInfo)
}
