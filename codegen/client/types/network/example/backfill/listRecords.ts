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
const id = 'network.example.backfill.listRecords'

export type QueryParams = {
  /** The job's id. */
  job: string
  /** Only records of this collection. */
  collection?: string
  /** Only records of this account. */
  repo?: string
  /** Of a job that refreshes another one: whether to leave out what there was then. A repo that is closed with 'since' comes with what has changed since that rev; any other comes whole, and what is known of it from before does not count any more. */
  changes?: boolean
  /** The most records to return, with 'changes' also those that are gone; and the most repos. Large records make a page shorter. */
  limit?: number
  cursor?: string
}
export type InputSchema = undefined

export interface OutputSchema {
  /** Absent at the end of what has been fetched so far; a page with one may still be empty. */
  cursor?: string
  records: NetworkExampleBackfillDefs.RecordView[]
  /** Records that are gone, where only changes were asked for; in the order of the others. */
  deleted?: NetworkExampleBackfillDefs.DeletedRecordView[]
  /** Where only changes were asked for: what becomes of the repos on this page, in their order. The last one of a page may be left open for the next. */
  repos?: (
    | $Typed<RepoComplete>
    | $Typed<RepoUnavailable>
    | $Typed<RepoRestarted>
    | { $type: string }
  )[]
}

export interface CallOptions {
  signal?: AbortSignal
  headers?: HeadersMap
}

export interface Response {
  success: boolean
  headers: HeadersMap
  data: OutputSchema
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
    if (e.error === 'NotPermitted') return new NotPermittedError(e)
    if (e.error === 'DirectoryUnavailable')
      return new DirectoryUnavailableError(e)
  }

  return e
}

/** A repo has been given to its end. */
export interface RepoComplete {
  $type?: 'network.example.backfill.listRecords#repoComplete'
  /** What was given is what has changed since this revision. Absent: these are all records there are. */
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

/** A repo has no records to be had: what of them was handed over before does not count any more. */
export interface RepoUnavailable {
  $type?: 'network.example.backfill.listRecords#repoUnavailable'
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

/** The repo that the page before has left open was renewed meanwhile: what came of it there does not count, and all of it follows again. */
export interface RepoRestarted {
  $type?: 'network.example.backfill.listRecords#repoRestarted'
  did: string
}

const hashRepoRestarted = 'repoRestarted'

export function isRepoRestarted<V>(v: V) {
  return is$typed(v, id, hashRepoRestarted)
}

export function validateRepoRestarted<V>(v: V) {
  return validate<RepoRestarted & V>(v, id, hashRepoRestarted)
}
