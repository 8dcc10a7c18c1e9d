/**
 * GENERATED CODE - DO NOT MODIFY
 */
import {
  type Auth,
  type Options as XrpcOptions,
  Server as XrpcServer,
  type StreamConfigOrHandler,
  type MethodConfigOrHandler,
  createServer as createXrpcServer,
} from '@atproto/xrpc-server'
import { schemas } from './lexicons.js'
import * as NetworkExampleBackfillCancelJob from './types/network/example/backfill/cancelJob.js'
import * as NetworkExampleBackfillCreateJob from './types/network/example/backfill/createJob.js'
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

export function createServer(options?: XrpcOptions): Server {
  return new Server(options)
}

export class Server {
  xrpc: XrpcServer
  network: NetworkNS

  constructor(options?: XrpcOptions) {
    this.xrpc = createXrpcServer(schemas, options)
    this.network = new NetworkNS(this)
  }
}

export class NetworkNS {
  _server: Server
  example: NetworkExampleNS

  constructor(server: Server) {
    this._server = server
    this.example = new NetworkExampleNS(server)
  }
}

export class NetworkExampleNS {
  _server: Server
  backfill: NetworkExampleBackfillNS

  constructor(server: Server) {
    this._server = server
    this.backfill = new NetworkExampleBackfillNS(server)
  }
}

export class NetworkExampleBackfillNS {
  _server: Server

  constructor(server: Server) {
    this._server = server
  }

  cancelJob<A extends Auth = void>(
    cfg: MethodConfigOrHandler<
      A,
      NetworkExampleBackfillCancelJob.QueryParams,
      NetworkExampleBackfillCancelJob.HandlerInput,
      NetworkExampleBackfillCancelJob.HandlerOutput
    >,
  ) {
    const nsid = 'network.example.backfill.cancelJob' // @ts-ignore
    return this._server.xrpc.method(nsid, cfg)
  }

  createJob<A extends Auth = void>(
    cfg: MethodConfigOrHandler<
      A,
      NetworkExampleBackfillCreateJob.QueryParams,
      NetworkExampleBackfillCreateJob.HandlerInput,
      NetworkExampleBackfillCreateJob.HandlerOutput
    >,
  ) {
    const nsid = 'network.example.backfill.createJob' // @ts-ignore
    return this._server.xrpc.method(nsid, cfg)
  }

  deleteAllJobDetails<A extends Auth = void>(
    cfg: MethodConfigOrHandler<
      A,
      NetworkExampleBackfillDeleteAllJobDetails.QueryParams,
      NetworkExampleBackfillDeleteAllJobDetails.HandlerInput,
      NetworkExampleBackfillDeleteAllJobDetails.HandlerOutput
    >,
  ) {
    const nsid = 'network.example.backfill.deleteAllJobDetails' // @ts-ignore
    return this._server.xrpc.method(nsid, cfg)
  }

  deleteCaller<A extends Auth = void>(
    cfg: MethodConfigOrHandler<
      A,
      NetworkExampleBackfillDeleteCaller.QueryParams,
      NetworkExampleBackfillDeleteCaller.HandlerInput,
      NetworkExampleBackfillDeleteCaller.HandlerOutput
    >,
  ) {
    const nsid = 'network.example.backfill.deleteCaller' // @ts-ignore
    return this._server.xrpc.method(nsid, cfg)
  }

  deleteJobDetails<A extends Auth = void>(
    cfg: MethodConfigOrHandler<
      A,
      NetworkExampleBackfillDeleteJobDetails.QueryParams,
      NetworkExampleBackfillDeleteJobDetails.HandlerInput,
      NetworkExampleBackfillDeleteJobDetails.HandlerOutput
    >,
  ) {
    const nsid = 'network.example.backfill.deleteJobDetails' // @ts-ignore
    return this._server.xrpc.method(nsid, cfg)
  }

  describeService<A extends Auth = void>(
    cfg: MethodConfigOrHandler<
      A,
      NetworkExampleBackfillDescribeService.QueryParams,
      NetworkExampleBackfillDescribeService.HandlerInput,
      NetworkExampleBackfillDescribeService.HandlerOutput
    >,
  ) {
    const nsid = 'network.example.backfill.describeService' // @ts-ignore
    return this._server.xrpc.method(nsid, cfg)
  }

  exportRecords<A extends Auth = void>(
    cfg: MethodConfigOrHandler<
      A,
      NetworkExampleBackfillExportRecords.QueryParams,
      NetworkExampleBackfillExportRecords.HandlerInput,
      NetworkExampleBackfillExportRecords.HandlerOutput
    >,
  ) {
    const nsid = 'network.example.backfill.exportRecords' // @ts-ignore
    return this._server.xrpc.method(nsid, cfg)
  }

  getJobStatus<A extends Auth = void>(
    cfg: MethodConfigOrHandler<
      A,
      NetworkExampleBackfillGetJobStatus.QueryParams,
      NetworkExampleBackfillGetJobStatus.HandlerInput,
      NetworkExampleBackfillGetJobStatus.HandlerOutput
    >,
  ) {
    const nsid = 'network.example.backfill.getJobStatus' // @ts-ignore
    return this._server.xrpc.method(nsid, cfg)
  }

  getPdsSummary<A extends Auth = void>(
    cfg: MethodConfigOrHandler<
      A,
      NetworkExampleBackfillGetPdsSummary.QueryParams,
      NetworkExampleBackfillGetPdsSummary.HandlerInput,
      NetworkExampleBackfillGetPdsSummary.HandlerOutput
    >,
  ) {
    const nsid = 'network.example.backfill.getPdsSummary' // @ts-ignore
    return this._server.xrpc.method(nsid, cfg)
  }

  listCallers<A extends Auth = void>(
    cfg: MethodConfigOrHandler<
      A,
      NetworkExampleBackfillListCallers.QueryParams,
      NetworkExampleBackfillListCallers.HandlerInput,
      NetworkExampleBackfillListCallers.HandlerOutput
    >,
  ) {
    const nsid = 'network.example.backfill.listCallers' // @ts-ignore
    return this._server.xrpc.method(nsid, cfg)
  }

  listJobRepos<A extends Auth = void>(
    cfg: MethodConfigOrHandler<
      A,
      NetworkExampleBackfillListJobRepos.QueryParams,
      NetworkExampleBackfillListJobRepos.HandlerInput,
      NetworkExampleBackfillListJobRepos.HandlerOutput
    >,
  ) {
    const nsid = 'network.example.backfill.listJobRepos' // @ts-ignore
    return this._server.xrpc.method(nsid, cfg)
  }

  listJobs<A extends Auth = void>(
    cfg: MethodConfigOrHandler<
      A,
      NetworkExampleBackfillListJobs.QueryParams,
      NetworkExampleBackfillListJobs.HandlerInput,
      NetworkExampleBackfillListJobs.HandlerOutput
    >,
  ) {
    const nsid = 'network.example.backfill.listJobs' // @ts-ignore
    return this._server.xrpc.method(nsid, cfg)
  }

  listRecords<A extends Auth = void>(
    cfg: MethodConfigOrHandler<
      A,
      NetworkExampleBackfillListRecords.QueryParams,
      NetworkExampleBackfillListRecords.HandlerInput,
      NetworkExampleBackfillListRecords.HandlerOutput
    >,
  ) {
    const nsid = 'network.example.backfill.listRecords' // @ts-ignore
    return this._server.xrpc.method(nsid, cfg)
  }

  pauseJob<A extends Auth = void>(
    cfg: MethodConfigOrHandler<
      A,
      NetworkExampleBackfillPauseJob.QueryParams,
      NetworkExampleBackfillPauseJob.HandlerInput,
      NetworkExampleBackfillPauseJob.HandlerOutput
    >,
  ) {
    const nsid = 'network.example.backfill.pauseJob' // @ts-ignore
    return this._server.xrpc.method(nsid, cfg)
  }

  purgeJob<A extends Auth = void>(
    cfg: MethodConfigOrHandler<
      A,
      NetworkExampleBackfillPurgeJob.QueryParams,
      NetworkExampleBackfillPurgeJob.HandlerInput,
      NetworkExampleBackfillPurgeJob.HandlerOutput
    >,
  ) {
    const nsid = 'network.example.backfill.purgeJob' // @ts-ignore
    return this._server.xrpc.method(nsid, cfg)
  }

  putCaller<A extends Auth = void>(
    cfg: MethodConfigOrHandler<
      A,
      NetworkExampleBackfillPutCaller.QueryParams,
      NetworkExampleBackfillPutCaller.HandlerInput,
      NetworkExampleBackfillPutCaller.HandlerOutput
    >,
  ) {
    const nsid = 'network.example.backfill.putCaller' // @ts-ignore
    return this._server.xrpc.method(nsid, cfg)
  }

  refreshJob<A extends Auth = void>(
    cfg: MethodConfigOrHandler<
      A,
      NetworkExampleBackfillRefreshJob.QueryParams,
      NetworkExampleBackfillRefreshJob.HandlerInput,
      NetworkExampleBackfillRefreshJob.HandlerOutput
    >,
  ) {
    const nsid = 'network.example.backfill.refreshJob' // @ts-ignore
    return this._server.xrpc.method(nsid, cfg)
  }

  resumeJob<A extends Auth = void>(
    cfg: MethodConfigOrHandler<
      A,
      NetworkExampleBackfillResumeJob.QueryParams,
      NetworkExampleBackfillResumeJob.HandlerInput,
      NetworkExampleBackfillResumeJob.HandlerOutput
    >,
  ) {
    const nsid = 'network.example.backfill.resumeJob' // @ts-ignore
    return this._server.xrpc.method(nsid, cfg)
  }

  retryJob<A extends Auth = void>(
    cfg: MethodConfigOrHandler<
      A,
      NetworkExampleBackfillRetryJob.QueryParams,
      NetworkExampleBackfillRetryJob.HandlerInput,
      NetworkExampleBackfillRetryJob.HandlerOutput
    >,
  ) {
    const nsid = 'network.example.backfill.retryJob' // @ts-ignore
    return this._server.xrpc.method(nsid, cfg)
  }

  subscribeJob<A extends Auth = void>(
    cfg: StreamConfigOrHandler<
      A,
      NetworkExampleBackfillSubscribeJob.QueryParams,
      NetworkExampleBackfillSubscribeJob.HandlerOutput
    >,
  ) {
    const nsid = 'network.example.backfill.subscribeJob' // @ts-ignore
    return this._server.xrpc.streamMethod(nsid, cfg)
  }

  subscribeRecords<A extends Auth = void>(
    cfg: StreamConfigOrHandler<
      A,
      NetworkExampleBackfillSubscribeRecords.QueryParams,
      NetworkExampleBackfillSubscribeRecords.HandlerOutput
    >,
  ) {
    const nsid = 'network.example.backfill.subscribeRecords' // @ts-ignore
    return this._server.xrpc.streamMethod(nsid, cfg)
  }
}
