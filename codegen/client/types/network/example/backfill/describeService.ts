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
const id = 'network.example.backfill.describeService'

export type QueryParams = {}
export type InputSchema = undefined

export interface OutputSchema {
  /** The audience of service auth tokens. */
  did: string
  /** The version of the software. */
  version: string
  /** The relays that are asked for repos. */
  relays: Relay[]
  limits: Limits
  /** The XRPC methods that the service answers. */
  endpoints: Endpoint[]
  /** What createJob takes as method. */
  methods: OfferedMethod[]
  /** What createJob takes as level. */
  levels: OfferedLevel[]
}

export interface CallOptions {
  signal?: AbortSignal
  headers?: HeadersMap
}

export interface Response {
  success: boolean
  headers: HeadersMap
  data: OutputSchema
}

export function toKnownErr(e: any) {
  return e
}

export interface Relay {
  $type?: 'network.example.backfill.describeService#relay'
  /** The relay's origin. */
  url: string
}

const hashRelay = 'relay'

export function isRelay<V>(v: V) {
  return is$typed(v, id, hashRelay)
}

export function validateRelay<V>(v: V) {
  return validate<Relay & V>(v, id, hashRelay)
}

/** What one request to createJob may hold, and the quotas of a caller that has none of its own. */
export interface Limits {
  $type?: 'network.example.backfill.describeService#limits'
  /** Entries of collections. */
  maxCollections: number
  /** Entries of repos. */
  maxRepos: number
  /** Size of the whole body. */
  maxInputBytes: number
  /** Jobs of one caller that have not ended, at the same time. Absent: no limit. */
  runningJobs?: number
  /** Repos of one job, named or discovered. Absent: no limit. */
  reposPerJob?: number
  /** Requests of one caller in a minute. Absent: no limit. */
  requestsPerMinute?: number
  /** Streams of one caller open at the same time at each process of the service: of exportRecords, subscribeRecords and subscribeJob together. Absent: no limit. */
  streams?: number
}

const hashLimits = 'limits'

export function isLimits<V>(v: V) {
  return is$typed(v, id, hashLimits)
}

export function validateLimits<V>(v: V) {
  return validate<Limits & V>(v, id, hashLimits)
}

export interface Endpoint {
  $type?: 'network.example.backfill.describeService#endpoint'
  nsid: string
}

const hashEndpoint = 'endpoint'

export function isEndpoint<V>(v: V) {
  return is$typed(v, id, hashEndpoint)
}

export function validateEndpoint<V>(v: V) {
  return validate<Endpoint & V>(v, id, hashEndpoint)
}

export interface OfferedMethod {
  $type?: 'network.example.backfill.describeService#offeredMethod'
  name: NetworkExampleBackfillDefs.RequestedMethod
}

const hashOfferedMethod = 'offeredMethod'

export function isOfferedMethod<V>(v: V) {
  return is$typed(v, id, hashOfferedMethod)
}

export function validateOfferedMethod<V>(v: V) {
  return validate<OfferedMethod & V>(v, id, hashOfferedMethod)
}

export interface OfferedLevel {
  $type?: 'network.example.backfill.describeService#offeredLevel'
  name: NetworkExampleBackfillDefs.Level
}

const hashOfferedLevel = 'offeredLevel'

export function isOfferedLevel<V>(v: V) {
  return is$typed(v, id, hashOfferedLevel)
}

export function validateOfferedLevel<V>(v: V) {
  return validate<OfferedLevel & V>(v, id, hashOfferedLevel)
}
