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
const id = 'network.example.backfill.purgeJob'

export type QueryParams = {}

export interface InputSchema {
  /** The job's id. */
  job: string
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
  error?: 'JobNotFound' | 'InvalidState' | 'DetailsDeleted' | 'NotPermitted'
}

export type HandlerOutput = HandlerError | HandlerSuccess
