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
const id = 'network.example.backfill.putCaller'

export type QueryParams = {}

export interface InputSchema {
  did: string
  /** An empty list bars the caller, even where the service is open to everybody. 'admin' includes 'create' and 'read', 'create' does not include 'read'. */
  permissions: NetworkExampleBackfillDefs.Permission[]
  quotas?: NetworkExampleBackfillDefs.Quotas
  /** Other callers whose jobs it may read as if they were its own. */
  jobsOf?: string[]
}

export type OutputSchema = NetworkExampleBackfillDefs.CallerView

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
  error?: 'InvalidPermission' | 'NotPermitted'
}

export type HandlerOutput = HandlerError | HandlerSuccess
