import { randomUUID } from 'node:crypto'
import { ids } from '../../codegen/client/lexicons.js'
import type { InputSchema as CreateJobInput } from '../../codegen/client/types/network/example/backfill/createJob.js'
import type {
  CallerView,
  JobView,
  RecordView,
  RepoView,
} from '../../codegen/client/types/network/example/backfill/defs.js'
import type { OutputSchema as AllDetailsDeletion } from '../../codegen/client/types/network/example/backfill/deleteAllJobDetails.js'
import type { OutputSchema as DetailsDeletion } from '../../codegen/client/types/network/example/backfill/deleteJobDetails.js'
import type { OutputSchema as ServiceDescription } from '../../codegen/client/types/network/example/backfill/describeService.js'
import type { QueryParams as ExportQuery } from '../../codegen/client/types/network/example/backfill/exportRecords.js'
import type { OutputSchema as PdsSummary } from '../../codegen/client/types/network/example/backfill/getPdsSummary.js'
import type {
  OutputSchema as CallersPage,
  QueryParams as CallersQuery,
} from '../../codegen/client/types/network/example/backfill/listCallers.js'
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
import type { InputSchema as PutCallerInput } from '../../codegen/client/types/network/example/backfill/putCaller.js'
import type { InputSchema as RefreshJobInput } from '../../codegen/client/types/network/example/backfill/refreshJob.js'
import type { InputSchema as RetryJobInput } from '../../codegen/client/types/network/example/backfill/retryJob.js'
import { type CallerOptions, ServiceCaller } from './caller.js'
import { SYSTEM_CLOCK } from './clock.js'
import type { Credentials } from './credentials.js'
import { CallerNotFound, InvalidState, QuotaExceeded } from './errors.js'
import { type ExportMessage, readExport } from './export.js'
import type { JobMessage } from './job-messages.js'
import { allPages } from './pages.js'
import { cursorOf, type JobEnd, type RecordMessage } from './record-messages.js'
import { repoOf } from './repo.js'
import { consume, type StreamOptions } from './stream.js'
import { type WaitOptions, waitForEnd } from './wait.js'
import { type RepoMessage, wholeRepos } from './whole-repos.js'

export type BackfillClientOptions = CallerOptions & Credentials

export interface CallOptions {
  /** Ends the call, its retries and its waits; it then rejects with the signal's reason. */
  readonly signal?: AbortSignal
}

export interface ExportOptions extends CallOptions {
  /** Whether to have it sent compressed: for slow networks. Default: false. */
  readonly compressed?: boolean
}

export interface RecordsOptions extends StreamOptions {
  /** Only records of this collection. */
  readonly collection?: string
  /** Only this account: a DID, a handle or an `at://` URI. */
  readonly repo?: string
  /** Of a job that refreshes another one: only what has changed since. See `since` of `repoComplete`. */
  readonly changes?: boolean
}

export type ListJobsParams = JobsQuery
export type ListJobReposParams = Omit<ReposQuery, 'job'>
export type ListRecordsParams = Omit<RecordsQuery, 'job'>
/** All records without what else a page has: where only changes are wanted, what is gone would be missing. */
export type AllRecordsParams = Omit<ListRecordsParams, 'changes'>
export type ListCallersParams = CallersQuery
export type ExportRecordsParams = Omit<Partial<ExportQuery>, 'job' | 'manifest'>
export type RefreshJobOptions = Omit<RefreshJobInput, 'job'>
export type RetryJobOptions = Omit<RetryJobInput, 'job'>
export type {
  AllDetailsDeletion,
  CallersPage,
  CreateJobInput,
  DetailsDeletion,
  JobsPage,
  PdsSummary,
  PutCallerInput,
  RecordsPage,
  ReposPage,
  ServiceDescription,
}

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

  /**
   * Asks a running job to stop for a while. It is `pausing` at first, and `paused` when nothing is in flight any
   * more.
   * @throws InvalidState if the job is not running
   */
  async pauseJob(job: string, options?: CallOptions): Promise<JobView> {
    return this.#steer(ids.NetworkExampleBackfillPauseJob, { job }, ['pausing', 'paused'], options)
  }

  /**
   * Lets a paused job go on where it stopped.
   * @throws InvalidState if the job is not paused
   */
  async resumeJob(job: string, options?: CallOptions): Promise<JobView> {
    const reached = ['running', 'completed', 'failed']
    return this.#steer(ids.NetworkExampleBackfillResumeJob, { job }, reached, options)
  }

  /**
   * Ends a job before its time. It is `cancelling` at first, and `cancelled` when nothing is in flight any more.
   * What was fetched stays.
   * @throws InvalidState if the job has ended already
   */
  async cancelJob(job: string, options?: CallOptions): Promise<JobView> {
    return this.#steer(ids.NetworkExampleBackfillCancelJob, { job }, ['cancelling', 'cancelled'], options)
  }

  /**
   * Takes up what failed in a job that has ended: the repos that failed in a retryable way, or in one of the
   * `classes`, and discovery.
   * @throws InvalidState if there is nothing to try again
   */
  async retryJob(job: string, retry: RetryJobOptions = {}, options?: CallOptions): Promise<JobView> {
    const reached = ['running', 'completed']
    return this.#steer(ids.NetworkExampleBackfillRetryJob, { ...retry, job }, reached, options)
  }

  /**
   * Starts a job that repeats one which has ended; what has not changed since is not fetched again. Without a
   * `clientToken` it gets one of its own, as with `createJob`.
   * @throws InvalidState if the job has not ended
   */
  async refreshJob(job: string, refresh: RefreshJobOptions = {}, options?: CallOptions): Promise<JobView> {
    const input = { ...refresh, job, clientToken: refresh.clientToken ?? randomUUID() }
    return this.#caller.call(ids.NetworkExampleBackfillRefreshJob, { input }, options)
  }

  /**
   * Lets a job that has ended leave nothing: its list of repos goes, and so do the records that no other job needs,
   * until `purge` of the job is `purged`. It may be repeated.
   * @throws InvalidState if the job has not ended
   */
  async purgeJob(job: string, options?: CallOptions): Promise<JobView> {
    return this.#caller.call(ids.NetworkExampleBackfillPurgeJob, { input: { job } }, options)
  }

  /** All hosts of a job, the one with most of its repos first, and whether they can be asked now. */
  async getPdsSummary(job: string, options?: CallOptions): Promise<PdsSummary> {
    return this.#caller.call(ids.NetworkExampleBackfillGetPdsSummary, { params: { job } }, options)
  }

  /**
   * Deletes the list of repos of a job that has ended; its counters and its records stay. A repeated request
   * tells 0 repos.
   * @throws InvalidState if the job has not ended
   */
  async deleteJobDetails(job: string, options?: CallOptions): Promise<DetailsDeletion> {
    return this.#caller.call(ids.NetworkExampleBackfillDeleteJobDetails, { input: { job } }, options)
  }

  /** The same for every job of the caller that has ended. */
  async deleteAllJobDetails(options?: CallOptions): Promise<AllDetailsDeletion> {
    return this.#caller.call(ids.NetworkExampleBackfillDeleteAllJobDetails, {}, options)
  }

  /** Says what another service may do; what is left out gets its default. For admins. */
  async putCaller(input: PutCallerInput, options?: CallOptions): Promise<CallerView> {
    return this.#caller.call(ids.NetworkExampleBackfillPutCaller, { input }, options)
  }

  /**
   * Takes back what `putCaller` said of a caller. For admins.
   * @throws CallerNotFound if it has said nothing
   */
  async deleteCaller(did: string, options?: CallOptions): Promise<void> {
    await this.#caller.call(
      ids.NetworkExampleBackfillDeleteCaller,
      { input: { did } },
      { ...options, carriedOut: async (refusal) => (refusal instanceof CallerNotFound ? {} : null) },
    )
  }

  /** A page of who may call, by DID. For admins. */
  async listCallers(params: ListCallersParams = {}, options?: CallOptions): Promise<CallersPage> {
    return this.#caller.call(ids.NetworkExampleBackfillListCallers, { params }, options)
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
   * may be a DID, a handle or an `at://` URI. With `changes`, of a job that refreshes another one, it has what has
   * changed since: also what was `deleted`, and what becomes of the `repos`.
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

  /** All callers, by DID. For admins. */
  allCallers(
    params: ListCallersParams = {},
    options?: CallOptions,
  ): AsyncGenerator<CallerView, void, undefined> {
    const page = (cursor?: string) =>
      this.listCallers({ limit: ITEMS_PER_PAGE, ...params, ...(cursor && { cursor }) }, options)
    return allPages(page, ({ callers }) => callers, params.cursor)
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
    params: AllRecordsParams = {},
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

  /**
   * Follows a job as it goes: first the whole job as it is, then what happens, repo by repo. With a `cursor` it
   * begins with everything that changed since that message, each repo in its latest state. Ends after
   * `jobCompleted`; a lost connection is made again, and nothing is missed. Messages come as fast as they are
   * taken.
   * @throws FutureCursor
   */
  watch(job: string, options: StreamOptions = {}): AsyncGenerator<JobMessage, void, undefined> {
    return this.#caller.subscribe<JobMessage>(
      ids.NetworkExampleBackfillSubscribeJob,
      { job },
      {
        isLast: ({ type }) => type === 'jobCompleted',
        cursorOf: (message) => ('seq' in message ? message.seq : undefined),
      },
      options,
    )
  }

  /**
   * The same by a function that gets each message, and acknowledges it by returning.
   * @returns how the job ended
   * @throws what `watch` and the function throw
   */
  consumeEvents(
    job: string,
    take: (message: JobMessage) => Promise<void> | void,
    options: StreamOptions = {},
  ): Promise<Extract<JobMessage, { type: 'jobCompleted' }>> {
    return consume(this.watch(job, options), take)
  }

  /**
   * Hands over what a job fetches, repo by repo, also while it runs; ends after `jobCompleted`. A repo's records come
   * in parts and count once `repoComplete` has closed it. A message is acknowledged by asking for the next one: a
   * lost connection is made again behind the last repo that was closed, so that nothing is missed and nothing but the
   * records of the repo under way comes twice. Values are JSON data, but for links and bytes: these are objects whose
   * `$link` and `$bytes` are what JSON has.
   * @throws FutureCursor, DetailsDeleted
   */
  records(
    job: string,
    { collection, repo, changes, ...options }: RecordsOptions = {},
  ): AsyncGenerator<RecordMessage, void, undefined> {
    return this.#caller.subscribe<RecordMessage>(
      ids.NetworkExampleBackfillSubscribeRecords,
      { job, collection, repo: repo === undefined ? undefined : repoOf(repo), changes },
      { isLast: ({ type }) => type === 'jobCompleted', cursorOf },
      options,
    )
  }

  /**
   * The same repo by repo: each comes once, when it is closed, with all of its records, which are held in memory until
   * then. The `seq` of every repo is what `cursor` takes.
   * @throws what `records` throws
   */
  repos(job: string, options: RecordsOptions = {}): AsyncGenerator<RepoMessage, void, undefined> {
    const records = (forget: () => void) => {
      const onReconnect: StreamOptions['onReconnect'] = (reconnect) => {
        forget()
        options.onReconnect?.(reconnect)
      }
      return this.records(job, { ...options, onReconnect })
    }
    return wholeRepos(records)
  }

  /**
   * What `records` gives by a function that gets each message, and acknowledges it by returning.
   * @returns how the job ended, once everything has been handed over
   * @throws what `records` and the function throw
   */
  consumeRecords(
    job: string,
    take: (message: RecordMessage) => Promise<void> | void,
    options: RecordsOptions = {},
  ): Promise<JobEnd> {
    return consume(this.records(job, options), take)
  }

  /**
   * Gives what a job has fetched so far in one stream, which is the fastest way; the last message is the `trailer`.
   * A `cursor` leaves out what an earlier stream has given.
   * @throws IncompleteExport if the stream is broken off: its `cursor` says where to go on
   */
  async *exportRecords(
    job: string,
    params: ExportRecordsParams = {},
    { signal, compressed = false }: ExportOptions = {},
  ): AsyncGenerator<ExportMessage, void, undefined> {
    const { repo, ...rest } = params
    const { request, pieces } = await this.#caller.download(
      ids.NetworkExampleBackfillExportRecords,
      { ...rest, job, ...(repo !== undefined && { repo: repoOf(repo) }) },
      compressed ? 'gzip' : 'identity',
      signal,
    )
    yield* readExport(pieces, request, params.cursor)
  }

  /**
   * Gives the manifest of a job that has ended, in pieces of any size: what `verifyManifest` takes.
   * @throws ManifestNotReady, DetailsDeleted
   */
  async *exportManifest(
    job: string,
    { signal }: CallOptions = {},
  ): AsyncGenerator<Uint8Array, void, undefined> {
    const params = { job, manifest: true }
    const nsid = ids.NetworkExampleBackfillExportRecords
    const { pieces } = await this.#caller.download(nsid, params, 'gzip', signal)
    yield* pieces
  }

  /**
   * Asks for another status. A repeated request may come too late for what it asks, since the first one has done
   * it: then the job is where it would be.
   */
  #steer(
    nsid: Parameters<ServiceCaller['call']>[0],
    input: RetryJobInput,
    reached: readonly string[],
    options?: CallOptions,
  ): Promise<JobView> {
    const carriedOut = async (refusal: unknown) => {
      if (!(refusal instanceof InvalidState || refusal instanceof QuotaExceeded)) return null
      const view = await this.getJobStatus(input.job, options)
      return reached.includes(view.status) ? view : null
    }
    return this.#caller.call<JobView>(nsid, { input }, { ...options, carriedOut })
  }
}
