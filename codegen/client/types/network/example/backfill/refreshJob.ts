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
const id = 'network.example.backfill.refreshJob'

export type QueryParams = {}

export interface InputSchema {
  /** The id of the job to repeat. */
  job: string
  /** Makes the request repeatable: the same token and input from the same caller give the same job. */
  clientToken?: string
  /** The caller's own name for the new job. Left out: that of the job to repeat. */
  name?: string
}

export type OutputSchema = NetworkExampleBackfillDefs.JobView

export interface CallOptions {
  signal?: AbortSignal
  headers?: HeadersMap
  qp?: QueryParams
  encoding?: 'application/json'
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

export class InvalidStateError extends XRPCError {
  constructor(src: XRPCError) {
    super(src.status, src.error, src.message, src.headers, { cause: src })
  }
}

export class DetailsDeletedError extends XRPCError {
  constructor(src: XRPCError) {
    super(src.status, src.error, src.message, src.headers, { cause: src })
  }
}

export class InvalidHostError extends XRPCError {
  constructor(src: XRPCError) {
    super(src.status, src.error, src.message, src.headers, { cause: src })
  }
}

export class ScopeTooBroadError extends XRPCError {
  constructor(src: XRPCError) {
    super(src.status, src.error, src.message, src.headers, { cause: src })
  }
}

export class ClientTokenConflictError extends XRPCError {
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

export function toKnownErr(e: any) {
  if (e instanceof XRPCError) {
    if (e.error === 'JobNotFound') return new JobNotFoundError(e)
    if (e.error === 'InvalidState') return new InvalidStateError(e)
    if (e.error === 'DetailsDeleted') return new DetailsDeletedError(e)
    if (e.error === 'InvalidHost') return new InvalidHostError(e)
    if (e.error === 'ScopeTooBroad') return new ScopeTooBroadError(e)
    if (e.error === 'ClientTokenConflict')
      return new ClientTokenConflictError(e)
    if (e.error === 'QuotaExceeded') return new QuotaExceededError(e)
    if (e.error === 'NotPermitted') return new NotPermittedError(e)
  }

  return e
}
