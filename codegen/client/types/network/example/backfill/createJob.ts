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
const id = 'network.example.backfill.createJob'

export type QueryParams = {}

export interface InputSchema {
  /** Left out: every collection. */
  collections?: string[]
  /** Left out, without hosts: the relays are asked which repos have the collections. */
  repos?: string[]
  /** Every repo that these PDSs list, whatever its collections. Not together with repos. */
  hosts?: string[]
  method?: NetworkExampleBackfillDefs.RequestedMethod
  level?: NetworkExampleBackfillDefs.Level
  /** Makes the request repeatable: the same token and input from the same caller give the same job. */
  clientToken?: string
  /** The caller's own name for the job. */
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

export class InvalidCollectionError extends XRPCError {
  constructor(src: XRPCError) {
    super(src.status, src.error, src.message, src.headers, { cause: src })
  }
}

export class InvalidRepoError extends XRPCError {
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

export class LevelNotOfferedError extends XRPCError {
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
    if (e.error === 'InvalidCollection') return new InvalidCollectionError(e)
    if (e.error === 'InvalidRepo') return new InvalidRepoError(e)
    if (e.error === 'InvalidHost') return new InvalidHostError(e)
    if (e.error === 'ScopeTooBroad') return new ScopeTooBroadError(e)
    if (e.error === 'ClientTokenConflict')
      return new ClientTokenConflictError(e)
    if (e.error === 'LevelNotOffered') return new LevelNotOfferedError(e)
    if (e.error === 'QuotaExceeded') return new QuotaExceededError(e)
    if (e.error === 'NotPermitted') return new NotPermittedError(e)
    if (e.error === 'DirectoryUnavailable')
      return new DirectoryUnavailableError(e)
  }

  return e
}
