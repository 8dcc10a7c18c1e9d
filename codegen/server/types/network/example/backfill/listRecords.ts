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
const id = 'network.example.backfill.listRecords'

export type QueryParams = {
  /** The job's id. */
  job: string
  /** Only records of this collection. */
  collection?: string
  /** Only records of this account. */
  repo?: string
  /** The most records to return; large ones make a page shorter. */
  limit: number
  cursor?: string
}
export type InputSchema = undefined

export interface OutputSchema {
  /** Absent at the end of what has been fetched so far; a page with one may still be empty. */
  cursor?: string
  records: NetworkExampleBackfillDefs.RecordView[]
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
  error?:
    'JobNotFound' | 'DetailsDeleted' | 'NotPermitted' | 'DirectoryUnavailable'
}

export type HandlerOutput = HandlerError | HandlerSuccess
