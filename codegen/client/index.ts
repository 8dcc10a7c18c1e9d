/**
 * GENERATED CODE - DO NOT MODIFY
 */
import {
  XrpcClient,
  type FetchHandler,
  type FetchHandlerOptions,
} from '@atproto/xrpc'
import { schemas } from './lexicons.js'
import { CID } from 'multiformats/cid'
import { type OmitKey, type Un$Typed } from './util.js'
import * as NetworkExampleBackfillCreateJob from './types/network/example/backfill/createJob.js'
import * as NetworkExampleBackfillDefs from './types/network/example/backfill/defs.js'
import * as NetworkExampleBackfillDescribeService from './types/network/example/backfill/describeService.js'
import * as NetworkExampleBackfillGetJobStatus from './types/network/example/backfill/getJobStatus.js'
import * as NetworkExampleBackfillListJobRepos from './types/network/example/backfill/listJobRepos.js'
import * as NetworkExampleBackfillListJobs from './types/network/example/backfill/listJobs.js'
import * as NetworkExampleBackfillListRecords from './types/network/example/backfill/listRecords.js'

export * as NetworkExampleBackfillCreateJob from './types/network/example/backfill/createJob.js'
export * as NetworkExampleBackfillDefs from './types/network/example/backfill/defs.js'
export * as NetworkExampleBackfillDescribeService from './types/network/example/backfill/describeService.js'
export * as NetworkExampleBackfillGetJobStatus from './types/network/example/backfill/getJobStatus.js'
export * as NetworkExampleBackfillListJobRepos from './types/network/example/backfill/listJobRepos.js'
export * as NetworkExampleBackfillListJobs from './types/network/example/backfill/listJobs.js'
export * as NetworkExampleBackfillListRecords from './types/network/example/backfill/listRecords.js'

export class AtpBaseClient extends XrpcClient {
  network: NetworkNS

  constructor(options: FetchHandler | FetchHandlerOptions) {
    super(options, schemas)
    this.network = new NetworkNS(this)
  }

  /** @deprecated use `this` instead */
  get xrpc(): XrpcClient {
    return this
  }
}

export class NetworkNS {
  _client: XrpcClient
  example: NetworkExampleNS

  constructor(client: XrpcClient) {
    this._client = client
    this.example = new NetworkExampleNS(client)
  }
}

export class NetworkExampleNS {
  _client: XrpcClient
  backfill: NetworkExampleBackfillNS

  constructor(client: XrpcClient) {
    this._client = client
    this.backfill = new NetworkExampleBackfillNS(client)
  }
}

export class NetworkExampleBackfillNS {
  _client: XrpcClient

  constructor(client: XrpcClient) {
    this._client = client
  }

  createJob(
    data?: NetworkExampleBackfillCreateJob.InputSchema,
    opts?: NetworkExampleBackfillCreateJob.CallOptions,
  ): Promise<NetworkExampleBackfillCreateJob.Response> {
    return this._client
      .call('network.example.backfill.createJob', opts?.qp, data, opts)
      .catch((e) => {
        throw NetworkExampleBackfillCreateJob.toKnownErr(e)
      })
  }

  describeService(
    params?: NetworkExampleBackfillDescribeService.QueryParams,
    opts?: NetworkExampleBackfillDescribeService.CallOptions,
  ): Promise<NetworkExampleBackfillDescribeService.Response> {
    return this._client.call(
      'network.example.backfill.describeService',
      params,
      undefined,
      opts,
    )
  }

  getJobStatus(
    params?: NetworkExampleBackfillGetJobStatus.QueryParams,
    opts?: NetworkExampleBackfillGetJobStatus.CallOptions,
  ): Promise<NetworkExampleBackfillGetJobStatus.Response> {
    return this._client
      .call('network.example.backfill.getJobStatus', params, undefined, opts)
      .catch((e) => {
        throw NetworkExampleBackfillGetJobStatus.toKnownErr(e)
      })
  }

  listJobRepos(
    params?: NetworkExampleBackfillListJobRepos.QueryParams,
    opts?: NetworkExampleBackfillListJobRepos.CallOptions,
  ): Promise<NetworkExampleBackfillListJobRepos.Response> {
    return this._client
      .call('network.example.backfill.listJobRepos', params, undefined, opts)
      .catch((e) => {
        throw NetworkExampleBackfillListJobRepos.toKnownErr(e)
      })
  }

  listJobs(
    params?: NetworkExampleBackfillListJobs.QueryParams,
    opts?: NetworkExampleBackfillListJobs.CallOptions,
  ): Promise<NetworkExampleBackfillListJobs.Response> {
    return this._client
      .call('network.example.backfill.listJobs', params, undefined, opts)
      .catch((e) => {
        throw NetworkExampleBackfillListJobs.toKnownErr(e)
      })
  }

  listRecords(
    params?: NetworkExampleBackfillListRecords.QueryParams,
    opts?: NetworkExampleBackfillListRecords.CallOptions,
  ): Promise<NetworkExampleBackfillListRecords.Response> {
    return this._client
      .call('network.example.backfill.listRecords', params, undefined, opts)
      .catch((e) => {
        throw NetworkExampleBackfillListRecords.toKnownErr(e)
      })
  }
}
