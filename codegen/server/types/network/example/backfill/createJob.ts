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
    | 'InvalidCollection'
    | 'InvalidRepo'
    | 'InvalidHost'
    | 'ScopeTooBroad'
    | 'ClientTokenConflict'
    | 'LevelNotOffered'
    | 'QuotaExceeded'
    | 'NotPermitted'
    | 'DirectoryUnavailable'
}

export type HandlerOutput = HandlerError | HandlerSuccess
