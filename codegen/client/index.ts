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
import * as NetworkExampleBackfillAuthBackfill from './types/network/example/backfill/authBackfill.js'
import * as NetworkExampleBackfillCancelJob from './types/network/example/backfill/cancelJob.js'
import * as NetworkExampleBackfillCreateJob from './types/network/example/backfill/createJob.js'
import * as NetworkExampleBackfillDefs from './types/network/example/backfill/defs.js'
import * as NetworkExampleBackfillDeleteAllJobDetails from './types/network/example/backfill/deleteAllJobDetails.js'
import * as NetworkExampleBackfillDeleteCaller from './types/network/example/backfill/deleteCaller.js'
import * as NetworkExampleBackfillDeleteJobDetails from './types/network/example/backfill/deleteJobDetails.js'
import * as NetworkExampleBackfillDescribeService from './types/network/example/backfill/describeService.js'
import * as NetworkExampleBackfillExportRecords from './types/network/example/backfill/exportRecords.js'
import * as NetworkExampleBackfillGetJobStatus from './types/network/example/backfill/getJobStatus.js'
import * as NetworkExampleBackfillGetPdsSummary from './types/network/example/backfill/getPdsSummary.js'
import * as NetworkExampleBackfillListCallers from './types/network/example/backfill/listCallers.js'
import * as NetworkExampleBackfillListJobRepos from './types/network/example/backfill/listJobRepos.js'
import * as NetworkExampleBackfillListJobs from './types/network/example/backfill/listJobs.js'
import * as NetworkExampleBackfillListRecords from './types/network/example/backfill/listRecords.js'
import * as NetworkExampleBackfillPauseJob from './types/network/example/backfill/pauseJob.js'
import * as NetworkExampleBackfillPurgeJob from './types/network/example/backfill/purgeJob.js'
import * as NetworkExampleBackfillPutCaller from './types/network/example/backfill/putCaller.js'
import * as NetworkExampleBackfillRefreshJob from './types/network/example/backfill/refreshJob.js'
import * as NetworkExampleBackfillResumeJob from './types/network/example/backfill/resumeJob.js'
import * as NetworkExampleBackfillRetryJob from './types/network/example/backfill/retryJob.js'
import * as NetworkExampleBackfillSubscribeJob from './types/network/example/backfill/subscribeJob.js'
import * as NetworkExampleBackfillSubscribeRecords from './types/network/example/backfill/subscribeRecords.js'

export * as NetworkExampleBackfillAuthBackfill from './types/network/example/backfill/authBackfill.js'
export * as NetworkExampleBackfillCancelJob from './types/network/example/backfill/cancelJob.js'
export * as NetworkExampleBackfillCreateJob from './types/network/example/backfill/createJob.js'
export * as NetworkExampleBackfillDefs from './types/network/example/backfill/defs.js'
export * as NetworkExampleBackfillDeleteAllJobDetails from './types/network/example/backfill/deleteAllJobDetails.js'
export * as NetworkExampleBackfillDeleteCaller from './types/network/example/backfill/deleteCaller.js'
export * as NetworkExampleBackfillDeleteJobDetails from './types/network/example/backfill/deleteJobDetails.js'
export * as NetworkExampleBackfillDescribeService from './types/network/example/backfill/describeService.js'
export * as NetworkExampleBackfillExportRecords from './types/network/example/backfill/exportRecords.js'
export * as NetworkExampleBackfillGetJobStatus from './types/network/example/backfill/getJobStatus.js'
export * as NetworkExampleBackfillGetPdsSummary from './types/network/example/backfill/getPdsSummary.js'
export * as NetworkExampleBackfillListCallers from './types/network/example/backfill/listCallers.js'
export * as NetworkExampleBackfillListJobRepos from './types/network/example/backfill/listJobRepos.js'
export * as NetworkExampleBackfillListJobs from './types/network/example/backfill/listJobs.js'
export * as NetworkExampleBackfillListRecords from './types/network/example/backfill/listRecords.js'
export * as NetworkExampleBackfillPauseJob from './types/network/example/backfill/pauseJob.js'
export * as NetworkExampleBackfillPurgeJob from './types/network/example/backfill/purgeJob.js'
export * as NetworkExampleBackfillPutCaller from './types/network/example/backfill/putCaller.js'
export * as NetworkExampleBackfillRefreshJob from './types/network/example/backfill/refreshJob.js'
export * as NetworkExampleBackfillResumeJob from './types/network/example/backfill/resumeJob.js'
export * as NetworkExampleBackfillRetryJob from './types/network/example/backfill/retryJob.js'
export * as NetworkExampleBackfillSubscribeJob from './types/network/example/backfill/subscribeJob.js'
export * as NetworkExampleBackfillSubscribeRecords from './types/network/example/backfill/subscribeRecords.js'

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

  cancelJob(
    data?: NetworkExampleBackfillCancelJob.InputSchema,
    opts?: NetworkExampleBackfillCancelJob.CallOptions,
  ): Promise<NetworkExampleBackfillCancelJob.Response> {
    return this._client
      .call('network.example.backfill.cancelJob', opts?.qp, data, opts)
      .catch((e) => {
        throw NetworkExampleBackfillCancelJob.toKnownErr(e)
      })
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

  deleteAllJobDetails(
    data?: NetworkExampleBackfillDeleteAllJobDetails.InputSchema,
    opts?: NetworkExampleBackfillDeleteAllJobDetails.CallOptions,
  ): Promise<NetworkExampleBackfillDeleteAllJobDetails.Response> {
    return this._client
      .call(
        'network.example.backfill.deleteAllJobDetails',
        opts?.qp,
        data,
        opts,
      )
      .catch((e) => {
        throw NetworkExampleBackfillDeleteAllJobDetails.toKnownErr(e)
      })
  }

  deleteCaller(
    data?: NetworkExampleBackfillDeleteCaller.InputSchema,
    opts?: NetworkExampleBackfillDeleteCaller.CallOptions,
  ): Promise<NetworkExampleBackfillDeleteCaller.Response> {
    return this._client
      .call('network.example.backfill.deleteCaller', opts?.qp, data, opts)
      .catch((e) => {
        throw NetworkExampleBackfillDeleteCaller.toKnownErr(e)
      })
  }

  deleteJobDetails(
    data?: NetworkExampleBackfillDeleteJobDetails.InputSchema,
    opts?: NetworkExampleBackfillDeleteJobDetails.CallOptions,
  ): Promise<NetworkExampleBackfillDeleteJobDetails.Response> {
    return this._client
      .call('network.example.backfill.deleteJobDetails', opts?.qp, data, opts)
      .catch((e) => {
        throw NetworkExampleBackfillDeleteJobDetails.toKnownErr(e)
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

  exportRecords(
    params?: NetworkExampleBackfillExportRecords.QueryParams,
    opts?: NetworkExampleBackfillExportRecords.CallOptions,
  ): Promise<NetworkExampleBackfillExportRecords.Response> {
    return this._client
      .call('network.example.backfill.exportRecords', params, undefined, opts)
      .catch((e) => {
        throw NetworkExampleBackfillExportRecords.toKnownErr(e)
      })
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

  getPdsSummary(
    params?: NetworkExampleBackfillGetPdsSummary.QueryParams,
    opts?: NetworkExampleBackfillGetPdsSummary.CallOptions,
  ): Promise<NetworkExampleBackfillGetPdsSummary.Response> {
    return this._client
      .call('network.example.backfill.getPdsSummary', params, undefined, opts)
      .catch((e) => {
        throw NetworkExampleBackfillGetPdsSummary.toKnownErr(e)
      })
  }

  listCallers(
    params?: NetworkExampleBackfillListCallers.QueryParams,
    opts?: NetworkExampleBackfillListCallers.CallOptions,
  ): Promise<NetworkExampleBackfillListCallers.Response> {
    return this._client
      .call('network.example.backfill.listCallers', params, undefined, opts)
      .catch((e) => {
        throw NetworkExampleBackfillListCallers.toKnownErr(e)
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

  pauseJob(
    data?: NetworkExampleBackfillPauseJob.InputSchema,
    opts?: NetworkExampleBackfillPauseJob.CallOptions,
  ): Promise<NetworkExampleBackfillPauseJob.Response> {
    return this._client
      .call('network.example.backfill.pauseJob', opts?.qp, data, opts)
      .catch((e) => {
        throw NetworkExampleBackfillPauseJob.toKnownErr(e)
      })
  }

  purgeJob(
    data?: NetworkExampleBackfillPurgeJob.InputSchema,
    opts?: NetworkExampleBackfillPurgeJob.CallOptions,
  ): Promise<NetworkExampleBackfillPurgeJob.Response> {
    return this._client
      .call('network.example.backfill.purgeJob', opts?.qp, data, opts)
      .catch((e) => {
        throw NetworkExampleBackfillPurgeJob.toKnownErr(e)
      })
  }

  putCaller(
    data?: NetworkExampleBackfillPutCaller.InputSchema,
    opts?: NetworkExampleBackfillPutCaller.CallOptions,
  ): Promise<NetworkExampleBackfillPutCaller.Response> {
    return this._client
      .call('network.example.backfill.putCaller', opts?.qp, data, opts)
      .catch((e) => {
        throw NetworkExampleBackfillPutCaller.toKnownErr(e)
      })
  }

  refreshJob(
    data?: NetworkExampleBackfillRefreshJob.InputSchema,
    opts?: NetworkExampleBackfillRefreshJob.CallOptions,
  ): Promise<NetworkExampleBackfillRefreshJob.Response> {
    return this._client
      .call('network.example.backfill.refreshJob', opts?.qp, data, opts)
      .catch((e) => {
        throw NetworkExampleBackfillRefreshJob.toKnownErr(e)
      })
  }

  resumeJob(
    data?: NetworkExampleBackfillResumeJob.InputSchema,
    opts?: NetworkExampleBackfillResumeJob.CallOptions,
  ): Promise<NetworkExampleBackfillResumeJob.Response> {
    return this._client
      .call('network.example.backfill.resumeJob', opts?.qp, data, opts)
      .catch((e) => {
        throw NetworkExampleBackfillResumeJob.toKnownErr(e)
      })
  }

  retryJob(
    data?: NetworkExampleBackfillRetryJob.InputSchema,
    opts?: NetworkExampleBackfillRetryJob.CallOptions,
  ): Promise<NetworkExampleBackfillRetryJob.Response> {
    return this._client
      .call('network.example.backfill.retryJob', opts?.qp, data, opts)
      .catch((e) => {
        throw NetworkExampleBackfillRetryJob.toKnownErr(e)
      })
  }
}
