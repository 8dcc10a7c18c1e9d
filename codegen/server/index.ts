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
import * as NetworkExampleBackfillCreateJob from './types/network/example/backfill/createJob.js'
import * as NetworkExampleBackfillDescribeService from './types/network/example/backfill/describeService.js'
import * as NetworkExampleBackfillGetJobStatus from './types/network/example/backfill/getJobStatus.js'
import * as NetworkExampleBackfillListJobRepos from './types/network/example/backfill/listJobRepos.js'
import * as NetworkExampleBackfillListJobs from './types/network/example/backfill/listJobs.js'
import * as NetworkExampleBackfillListRecords from './types/network/example/backfill/listRecords.js'

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
}
