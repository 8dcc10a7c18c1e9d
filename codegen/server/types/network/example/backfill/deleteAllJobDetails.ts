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

const is$typed = _is$typed,
  validate = _validate
const id = 'network.example.backfill.deleteAllJobDetails'

export type QueryParams = {}
export type InputSchema = undefined

export interface OutputSchema {
  /** How many jobs lost their list of repos. */
  jobs: number
  /** How many repos these lists had. */
  deletedRepos: number
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
