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
const id = 'network.example.backfill.listJobs'

export type QueryParams = {
  /** Only jobs of this caller. */
  caller?: string
  /** Only jobs with this status. */
  status?:
    | 'running'
    | 'pausing'
    | 'paused'
    | 'cancelling'
    | 'cancelled'
    | 'completed'
    | 'failed'
    | (string & {})
  limit: number
  cursor?: string
}
export type InputSchema = undefined

export interface OutputSchema {
  /** Absent at the end of the list. */
  cursor?: string
  jobs: NetworkExampleBackfillDefs.JobView[]
}

export type HandlerInput = void

export interface HandlerSuccess {
  encoding: 'application/json'
  body: OutputSchema
  headers?: { [key: string]: string }
}

export interface HandlerError {
  status: number
  message?: string
  error?: 'NotPermitted'
}

export type HandlerOutput = HandlerError | HandlerSuccess
