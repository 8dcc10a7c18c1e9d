/**
 * GENERATED CODE - DO NOT MODIFY
 */
import { type HeadersMap, XRPCError } from '@atproto/xrpc'
import { type ValidationResult, BlobRef } from '@atproto/lexicon'
import { CID } from 'multiformats/cid'
import { validate as _validate } from '../../../../lexicons.js'
import {
  type $Typed,
  is$typed as _is$typed,
  type OmitKey,
} from '../../../../util.js'
import type * as NetworkExampleBackfillDefs from './defs.js'

const is$typed = _is$typed,
  validate = _validate
const id = 'network.example.backfill.exportRecords'

export type QueryParams = {
  /** The job's id. */
  job: string
  /** Only records of this collection. */
  collection?: string
  /** Only records of this account. */
  repo?: string
  /** Of a job that refreshes another one: whether to leave out what there was then. A repo that is closed with 'since' comes with what has changed since that rev; any other comes whole, and what is known of it from before does not count any more. */
  changes?: boolean
  /** Only repos that were completed after this: the cursor of a line of an earlier stream, or a seq of subscribeRecords. */
  cursor?: number
  /** Gives the manifest of a job that has ended instead: a line for each repo and a signed last line, for the whole job. None of collection, repo and cursor goes with it. */
  manifest?: boolean
}
export type InputSchema = undefined

export interface CallOptions {
  signal?: AbortSignal
  headers?: HeadersMap
}

export interface Response {
  success: boolean
  headers: HeadersMap
  data: Uint8Array
}

export class JobNotFoundError extends XRPCError {
  constructor(src: XRPCError) {
    super(src.status, src.error, src.message, src.headers, { cause: src })
  }
}

export class DetailsDeletedError extends XRPCError {
  constructor(src: XRPCError) {
    super(src.status, src.error, src.message, src.headers, { cause: src })
  }
}

export class ManifestNotReadyError extends XRPCError {
  constructor(src: XRPCError) {
    super(src.status, src.error, src.message, src.headers, { cause: src })
  }
}

export class FutureCursorError extends XRPCError {
  constructor(src: XRPCError) {
    super(src.status, src.error, src.message, src.headers, { cause: src })
  }
}

export class QuotaExceededError extends XRPCError {
  constructor(src: XRPCError) {
    super(src.status, src.error, src.message, src.headers, { cause: src })
  }
}

export class NotPermittedError extends XRPCError {
  constructor(src: XRPCError) {
    super(src.status, src.error, src.message, src.headers, { cause: src })
  }
}

export class DirectoryUnavailableError extends XRPCError {
  constructor(src: XRPCError) {
    super(src.status, src.error, src.message, src.headers, { cause: src })
  }
}

export function toKnownErr(e: any) {
  if (e instanceof XRPCError) {
    if (e.error === 'JobNotFound') return new JobNotFoundError(e)
    if (e.error === 'DetailsDeleted') return new DetailsDeletedError(e)
    if (e.error === 'ManifestNotReady') return new ManifestNotReadyError(e)
    if (e.error === 'FutureCursor') return new FutureCursorError(e)
    if (e.error === 'QuotaExceeded') return new QuotaExceededError(e)
    if (e.error === 'NotPermitted') return new NotPermittedError(e)
    if (e.error === 'DirectoryUnavailable')
      return new DirectoryUnavailableError(e)
  }

  return e
}

/** A repo's whole record set is in the lines before. */
export interface RepoComplete {
  $type?: 'network.example.backfill.exportRecords#repoComplete'
  /** What cursor takes to go on after this repo. */
  cursor: number
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

/** A record is gone, where only changes were asked for. */
export interface RecordDeleted {
  $type?: 'network.example.backfill.exportRecords#recordDeleted'
  uri: string
  /** The revision at which it was found to be gone. Absent if the method gives none. */
  rev?: string
}

const hashRecordDeleted = 'recordDeleted'

export function isRecordDeleted<V>(v: V) {
  return is$typed(v, id, hashRecordDeleted)
}

export function validateRecordDeleted<V>(v: V) {
  return validate<RecordDeleted & V>(v, id, hashRecordDeleted)
}

/** A repo has no records to be had: what of them was handed over before does not count any more. */
export interface RepoUnavailable {
  $type?: 'network.example.backfill.exportRecords#repoUnavailable'
  /** What cursor takes to go on after this repo. */
  cursor: number
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

/** What the lines before have of a repo does not count, if there is any: it was renewed while it was read, or its account has changed since then. It follows again, unless it is gone. */
export interface RepoRestarted {
  $type?: 'network.example.backfill.exportRecords#repoRestarted'
  did: string
}

const hashRepoRestarted = 'repoRestarted'

export function isRepoRestarted<V>(v: V) {
  return is$typed(v, id, hashRepoRestarted)
}

export function validateRepoRestarted<V>(v: V) {
  return validate<RepoRestarted & V>(v, id, hashRepoRestarted)
}

/** The last line of a whole stream: every repo that had an outcome when the stream began, and is asked for, is in the lines before with all of its records, as its receipt has them; or it is counted here, as it has none. */
export interface Trailer {
  $type?: 'network.example.backfill.exportRecords#trailer'
  /** How many lines are records. */
  records: number
  /** Over all bytes before this line, uncompressed; hexadecimal. */
  sha256: string
  /** What cursor takes for what is completed later. */
  cursor: number
  /** Whether the job had ended when the stream began, so that nothing more comes. */
  jobEnded: boolean
  /** How many repos, of those asked for, were not fetched, because that failed. They are in no line. */
  failedRepos?: number
  /** How many lines say that a repo has no records to be had. */
  unavailableRepos?: number
}

const hashTrailer = 'trailer'

export function isTrailer<V>(v: V) {
  return is$typed(v, id, hashTrailer)
}

export function validateTrailer<V>(v: V) {
  return validate<Trailer & V>(v, id, hashTrailer)
}
