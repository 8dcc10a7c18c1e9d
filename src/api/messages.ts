import { MessageFrame } from '@atproto/xrpc-server'
import type {
  Info,
  JobCompleted,
  JobCounters,
  JobSnapshot,
  JobStageChanged,
  RepoDiscovered,
  RepoFailed,
  RepoFetched,
  RepoResolved,
  RepoUnavailable,
} from '../../codegen/server/types/network/example/backfill/subscribeJob.js'
import type { FeedEvent } from '../jobs/feed-event.js'
import type { ChangedRepo } from '../store/changes.js'
import type { JobRow } from '../store/jobs.js'
import { isRetryable } from '../verdict.js'
import { jobView } from './view.js'

/** What happens in a job, as the lexicon tells it. */

/** A message that is encoded once, however many streams it goes out on. */
export class EncodedMessage<T extends object> extends MessageFrame {
  readonly $type: string
  readonly #bytes: Uint8Array

  constructor(name: string, body: T) {
    // A message has fields of JSON only, and none that is undefined: CBOR takes it as it is.
    super(body as ConstructorParameters<typeof MessageFrame>[0], { type: name })
    this.$type = name
    this.#bytes = super.toBytes()
  }

  get byteLength(): number {
    return this.#bytes.byteLength
  }

  override toBytes(): Uint8Array {
    return this.#bytes
  }
}

/** Where and when something happened: what every message of a job has. */
interface Heading {
  readonly seq: number
  readonly job: string
  readonly time: string
}

/** @param now ms since the epoch: the time of what has no time of its own */
export function jobMessage(event: FeedEvent, now: number) {
  const at = event.kind === 'repo' ? event.repo.changedAt : new Date(now)
  const heading: Heading = { seq: event.seq, job: event.job.id, time: at.toISOString() }
  switch (event.kind) {
    case 'repo':
      return repoMessage(heading, event.job, event.repo)
    case 'snapshot':
      return new EncodedMessage<JobSnapshot>('#jobSnapshot', { ...heading, view: jobView(event.job) })
    case 'counters':
      return new EncodedMessage<JobCounters>('#jobCounters', { ...heading, ...counters(event.job) })
    case 'stage':
      return new EncodedMessage<JobStageChanged>('#jobStageChanged', { ...heading, stage: event.job.stage })
    case 'completed':
      return new EncodedMessage<JobCompleted>('#jobCompleted', { ...heading, ...ending(event.job) })
    case 'outdated':
      return new EncodedMessage<Info>('#info', {
        name: 'OutdatedCursor',
        message: 'What changed since the cursor is not known any more; the whole job follows',
      })
  }
}

function repoMessage(heading: Heading, job: JobRow, repo: ChangedRepo) {
  const { did, origin, status } = repo
  if (status === 'failed') {
    const failure = repo.failure ?? 'bad-response'
    return new EncodedMessage<RepoFailed>('#repoFailed', {
      ...heading,
      did,
      class: failure,
      message: repo.message ?? '',
      retryable: isRetryable(failure),
    })
  }
  if (status === 'unavailable')
    return new EncodedMessage<RepoUnavailable>('#repoUnavailable', {
      ...heading,
      did,
      reason: repo.reason ?? 'deactivated',
    })
  if (status === 'waiting' || origin === null)
    return new EncodedMessage<RepoDiscovered>('#repoDiscovered', { ...heading, did })
  if (status === 'completed')
    return new EncodedMessage<RepoFetched>('#repoFetched', {
      ...heading,
      did,
      pdsEndpoint: origin,
      recordsFetched: repo.records,
      ...(repo.rev !== null && { rev: repo.rev }),
      level: repo.level ?? job.level,
    })
  return new EncodedMessage<RepoResolved>('#repoResolved', { ...heading, did, pdsEndpoint: origin })
}

function counters(job: JobRow) {
  const view = jobView(job)
  return {
    status: view.status,
    stage: view.stage,
    discoveryComplete: job.discovery_complete,
    totalRepos: view.totalRepos,
    resolvedRepos: view.resolvedRepos,
    processedRepos: view.processedRepos,
    completedRepos: view.completedRepos,
    unavailableRepos: view.unavailableRepos,
    failedRepos: view.failedRepos,
    totalRecords: view.totalRecords,
    ...(view.failures && { failures: view.failures }),
  }
}

function ending(job: JobRow) {
  return { status: job.status, ...(job.error !== null && { error: job.error }) }
}
