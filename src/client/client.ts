import { randomUUID } from 'node:crypto'
import { ids } from '../../codegen/client/lexicons.js'
import type { InputSchema as CreateJobInput } from '../../codegen/client/types/network/example/backfill/createJob.js'
import type {
  JobView,
  RecordView,
  RepoView,
} from '../../codegen/client/types/network/example/backfill/defs.js'
import type { OutputSchema as ServiceDescription } from '../../codegen/client/types/network/example/backfill/describeService.js'
import type {
  OutputSchema as ReposPage,
  QueryParams as ReposQuery,
} from '../../codegen/client/types/network/example/backfill/listJobRepos.js'
import type {
  OutputSchema as JobsPage,
  QueryParams as JobsQuery,
} from '../../codegen/client/types/network/example/backfill/listJobs.js'
import type {
  OutputSchema as RecordsPage,
  QueryParams as RecordsQuery,
} from '../../codegen/client/types/network/example/backfill/listRecords.js'
import { type CallerOptions, ServiceCaller } from './caller.js'
import { SYSTEM_CLOCK } from './clock.js'
import type { Credentials } from './credentials.js'
import { allPages } from './pages.js'
import { repoOf } from './repo.js'
import { type WaitOptions, waitForEnd } from './wait.js'

export type BackfillClientOptions = CallerOptions & Credentials

export interface CallOptions {
  /** Ends the call, its retries and its waits; it then rejects with the signal's reason. */
  readonly signal?: AbortSignal
}

export type ListJobsParams = JobsQuery
export type ListJobReposParams = Omit<ReposQuery, 'job'>
export type ListRecordsParams = Omit<RecordsQuery, 'job'>
export type { CreateJobInput, JobsPage, RecordsPage, ReposPage, ServiceDescription }

/** The most that a page may hold, so that few requests are made. Pages of records are shorter: records are long. */
const ITEMS_PER_PAGE = 100
const RECORDS_PER_PAGE = 500

/**
 * Calls an Aquifer service as one caller. Each call brings a fresh service-auth token, and is tried again when
 * nobody answers, on 429 and on 5xx; every method may be repeated without harm.
 *
 * All methods throw a `BackfillError` (see its subclasses), or the signal's reason when it aborts.
 */
export class BackfillClient {
  readonly #caller: ServiceCaller
  readonly #clock: typeof SYSTEM_CLOCK

  /** @throws TypeError or RangeError for options that cannot be used */
  constructor(options: BackfillClientOptions) {
    this.#clock = { ...SYSTEM_CLOCK, ...options.clock }
    this.#caller = new ServiceCaller(options, this.#clock)
  }

  /** Origin of the service. */
  get service(): string {
    return this.#caller.service
  }

  /**
   * Starts a job. Without a `clientToken` it gets one of its own, so that a request that is sent twice makes one
   * job. Repos may be DIDs, handles or `at://` URIs.
   */
  async createJob(input: CreateJobInput, options?: CallOptions): Promise<JobView> {
    const body: CreateJobInput = {
      ...input,
      ...(input.repos && { repos: input.repos.map(repoOf) }),
      clientToken: input.clientToken ?? randomUUID(),
    }
    return this.#caller.call(ids.NetworkExampleBackfillCreateJob, { input: body }, options)
  }

  /** One job and how far it has come. */
  async getJobStatus(job: string, options?: CallOptions): Promise<JobView> {
    return this.#caller.call(ids.NetworkExampleBackfillGetJobStatus, { params: { job } }, options)
  }

  /** A page of the caller's jobs, newest first. */
  async listJobs(params: ListJobsParams = {}, options?: CallOptions): Promise<JobsPage> {
    return this.#caller.call(ids.NetworkExampleBackfillListJobs, { params }, options)
  }

  /** A page of a job's repos, by DID. */
  async listJobRepos(
    job: string,
    params: ListJobReposParams = {},
    options?: CallOptions,
  ): Promise<ReposPage> {
    return this.#caller.call(ids.NetworkExampleBackfillListJobRepos, { params: { ...params, job } }, options)
  }

  /**
   * A page of the records that a job has fetched so far. Values are plain JSON, as their PDS gave them. The repo
   * may be a DID, a handle or an `at://` URI.
   */
  async listRecords(
    job: string,
    params: ListRecordsParams = {},
    options?: CallOptions,
  ): Promise<RecordsPage> {
    const repo = params.repo === undefined ? {} : { repo: repoOf(params.repo) }
    return this.#caller.call(
      ids.NetworkExampleBackfillListRecords,
      { params: { ...params, ...repo, job } },
      options,
    )
  }

  /** What the service is and offers. Needs no permission. */
  async describeService(options?: CallOptions): Promise<ServiceDescription> {
    return this.#caller.describe(options?.signal)
  }

  /** All of the caller's jobs, newest first. A `cursor` says where to begin, a `limit` how long the pages are. */
  allJobs(params: ListJobsParams = {}, options?: CallOptions): AsyncGenerator<JobView, void, undefined> {
    const page = (cursor?: string) =>
      this.listJobs({ limit: ITEMS_PER_PAGE, ...params, ...(cursor && { cursor }) }, options)
    return allPages(page, ({ jobs }) => jobs, params.cursor)
  }

  /** All of a job's repos, by DID. */
  allRepos(
    job: string,
    params: ListJobReposParams = {},
    options?: CallOptions,
  ): AsyncGenerator<RepoView, void, undefined> {
    const page = (cursor?: string) =>
      this.listJobRepos(job, { limit: ITEMS_PER_PAGE, ...params, ...(cursor && { cursor }) }, options)
    return allPages(page, ({ repos }) => repos, params.cursor)
  }

  /** All records that a job has fetched; while it is still running, those it has fetched so far. */
  allRecords(
    job: string,
    params: ListRecordsParams = {},
    options?: CallOptions,
  ): AsyncGenerator<RecordView, void, undefined> {
    const page = (cursor?: string) =>
      this.listRecords(job, { limit: RECORDS_PER_PAGE, ...params, ...(cursor && { cursor }) }, options)
    return allPages(page, ({ records }) => records, params.cursor)
  }

  /**
   * Waits until a job is `completed`, `failed` or `cancelled` and gives it as it then is: look at its `status`,
   * and at `failedRepos`. A service that is away for a few minutes does not end the wait.
   */
  waitForJob(job: string, options: WaitOptions = {}): Promise<JobView> {
    return waitForEnd(() => this.getJobStatus(job, options), this.#clock, options)
  }
}
