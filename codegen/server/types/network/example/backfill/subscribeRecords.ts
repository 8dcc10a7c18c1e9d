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
const id = 'network.example.backfill.subscribeRecords'

export type QueryParams = {
  /** The job's id. */
  job: string
  /** Only records of this collection. */
  collection?: string
  /** Only this account. */
  repo?: string
  /** Of a job that refreshes another one: whether to leave out what there was then. A repo that is closed with 'since' comes with what has changed since that rev; any other comes whole, and what is known of it from before does not count any more. */
  changes: boolean
  /** The seq of the last repo that was closed; 0 or absent for all from the beginning. */
  cursor?: number
}
export type OutputSchema =
  | $Typed<Records>
  | $Typed<RecordsDeleted>
  | $Typed<RepoComplete>
  | $Typed<RepoUnavailable>
  | $Typed<RepoFailed>
  | $Typed<JobCompleted>
  | $Typed<Info>
  | { $type: string }
export type HandlerError = ErrorFrame<
  | 'JobNotFound'
  | 'DetailsDeleted'
  | 'FutureCursor'
  | 'ConsumerTooSlow'
  | 'QuotaExceeded'
  | 'NotPermitted'
  | 'DirectoryUnavailable'
>
export type HandlerOutput = HandlerError | OutputSchema

/** Some of a repo's records, by collection and record key. */
export interface Records {
  $type?: 'network.example.backfill.subscribeRecords#records'
  /** The repo's number in the job; all messages of one repo have the same. What cursor takes, once the repo is closed. */
  seq: number
  /** 0 for the first of the repo's records, then one more each time. */
  part: number
  did: string
  /** The revision of the repo that this is the record set of. Absent if the method gives none. */
  rev?: string
  level: NetworkExampleBackfillDefs.Level
  /** A mebibyte at most, unless it is a single record. 'value' is absent, too, where it has no form in DAG-CBOR. */
  records: NetworkExampleBackfillDefs.RecordView[]
}

const hashRecords = 'records'

export function isRecords<V>(v: V) {
  return is$typed(v, id, hashRecords)
}

export function validateRecords<V>(v: V) {
  return validate<Records & V>(v, id, hashRecords)
}

/** Records of a repo that are gone, where only changes were asked for. */
export interface RecordsDeleted {
  $type?: 'network.example.backfill.subscribeRecords#recordsDeleted'
  /** The repo's number in the job; all messages of one repo have the same. What cursor takes, once the repo is closed. */
  seq: number
  /** Counted on from the messages with records. */
  part: number
  did: string
  records: NetworkExampleBackfillDefs.DeletedRecordView[]
}

const hashRecordsDeleted = 'recordsDeleted'

export function isRecordsDeleted<V>(v: V) {
  return is$typed(v, id, hashRecordsDeleted)
}

export function validateRecordsDeleted<V>(v: V) {
  return validate<RecordsDeleted & V>(v, id, hashRecordsDeleted)
}

/** A repo is closed: its whole record set has been handed over. */
export interface RepoComplete {
  $type?: 'network.example.backfill.subscribeRecords#repoComplete'
  /** The repo's number in the job; all messages of one repo have the same. What cursor takes, once the repo is closed. */
  seq: number
  /** Where only changes were asked for: these are what has changed since this revision. Absent: these are all records there are. */
  since?: string
  receipt: NetworkExampleBackfillDefs.ReceiptView
}

const hashRepoComplete = 'repoComplete'

export function isRepoComplete<V>(v: V) {
  return is$typed(v, id, hashRepoComplete)
}

export function validateRepoComplete<V>(v: V) {
  return validate<RepoComplete & V>(v, id, hashRepoComplete)
}

/** A repo is closed: its account's records are not to be had. */
export interface RepoUnavailable {
  $type?: 'network.example.backfill.subscribeRecords#repoUnavailable'
  /** The repo's number in the job; all messages of one repo have the same. What cursor takes, once the repo is closed. */
  seq: number
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

/** A repo is closed: it has been given up. */
export interface RepoFailed {
  $type?: 'network.example.backfill.subscribeRecords#repoFailed'
  /** The repo's number in the job; all messages of one repo have the same. What cursor takes, once the repo is closed. */
  seq: number
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

/** The job has ended, in the way that status says, and all of it has been handed over. The last message. */
export interface JobCompleted {
  $type?: 'network.example.backfill.subscribeRecords#jobCompleted'
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
  $type?: 'network.example.backfill.subscribeRecords#info'
  /** 'OutdatedCursor': repos that were closed after the cursor may be missing. */
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
