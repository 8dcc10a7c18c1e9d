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

export interface HandlerInput {
  encoding: 'application/json'
  body: InputSchema
}

export interface HandlerSuccess {
  encoding: 'application/json'
  body: OutputSchema
  headers?: { [key: string]: string }
}

export interface HandlerError {
  status: number
  message?: string
  error?:
    | 'JobNotFound'
    | 'InvalidState'
    | 'DetailsDeleted'
    | 'InvalidHost'
    | 'ScopeTooBroad'
    | 'ClientTokenConflict'
    | 'QuotaExceeded'
    | 'NotPermitted'
}

export type HandlerOutput = HandlerError | HandlerSuccess
