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
  /** Only repos that were completed after this: the cursor of a line of an earlier stream, or a seq of subscribeRecords. */
  cursor?: number
  /** Whether to give the manifest of the job as well, once it has ended. */
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

export class FutureCursorError extends XRPCError {
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
    if (e.error === 'FutureCursor') return new FutureCursorError(e)
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
  receipt: NetworkExampleBackfillDefs.ReceiptView
}

const hashRepoComplete = 'repoComplete'

export function isRepoComplete<V>(v: V) {
  return is$typed(v, id, hashRepoComplete)
}

export function validateRepoComplete<V>(v: V) {
  return validate<RepoComplete & V>(v, id, hashRepoComplete)
}

/** A repo was renewed while it was read: its records in the lines before do not count, and all of them follow again. */
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

/** The last line of a whole stream. */
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
}

const hashTrailer = 'trailer'

export function isTrailer<V>(v: V) {
  return is$typed(v, id, hashTrailer)
}

export function validateTrailer<V>(v: V) {
  return validate<Trailer & V>(v, id, hashTrailer)
}
