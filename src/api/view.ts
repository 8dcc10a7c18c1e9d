import type {
  DeletedRecordView,
  FailureView,
  JobView,
  ManifestView,
  ReceiptView,
  RepoView,
} from '../../codegen/server/types/network/example/backfill/defs.js'
import { recordUri } from '../jobs/record-json.js'
import type { DeletedRecord } from '../store/delivery-lines.js'
import type { JobRow } from '../store/jobs.js'
import type { RepoRow } from '../store/repos.js'
import { type FailureClass, isRetryable } from '../verdict.js'

/** Rows as the lexicons show them. Pure. */

export function jobView(job: JobRow): JobView {
  return {
    id: job.id,
    caller: job.caller,
    ...present('name', job.name),
    ...present('collections', job.collections),
    ...present('repoCount', job.repo_count),
    ...present(
      'hosts',
      job.hosts?.map((hostname) => ({ hostname })),
    ),
    method: job.method,
    level: job.level,
    status: job.status,
    stage: job.stage,
    discoveryComplete: job.discovery_complete,
    totalRepos: job.total,
    resolvedRepos: job.resolved,
    processedRepos: job.completed + job.unavailable + job.failed,
    completedRepos: job.completed,
    unavailableRepos: job.unavailable,
    failedRepos: job.failed,
    totalRecords: job.records,
    failures: (job.failures ?? []).map((failure) => ({ ...failure, retryable: isRetryable(failure.class) })),
    ...present('startCursors', job.start_cursors?.length ? job.start_cursors : null),
    ...present('error', job.error),
    createdAt: job.created_at.toISOString(),
    ...present('startedAt', job.started_at?.toISOString()),
    ...present('completedAt', job.completed_at?.toISOString()),
    ...present('manifest', manifestView(job)),
    ...present('refreshes', job.refreshes),
    ...present('purge', job.purge),
  }
}

function manifestView(job: JobRow): ManifestView | null {
  // A left join, as with receipts.
  const { manifest_hash: hash, manifest_receipts: receipts, manifest_built_at: builtAt } = job
  if (!hash || receipts === null || !builtAt) return null
  return { hash, receipts, createdAt: builtAt.toISOString() }
}

export function repoView(repo: RepoRow): RepoView {
  return {
    did: repo.did,
    ...present('handle', repo.handle),
    ...present('pdsEndpoint', repo.origin),
    status: repo.status,
    recordsFetched: repo.records,
    attempts: repo.attempts,
    ...present('retryAt', repo.retry_at?.toISOString()),
    ...(repo.failure && { failure: failureView(repo.failure, repo.message) }),
    ...present('reason', repo.reason),
    ...present('receipt', receiptView({ ...repo, method: repo.receipt_method })),
  }
}

function failureView(failure: FailureClass, message: string | null): FailureView {
  return { class: failure, message: message ?? '', retryable: isRetryable(failure) }
}

type ReceiptFields = Pick<
  RepoRow,
  | 'did'
  | 'rev'
  | 'data_cid'
  | 'counts'
  | 'receipt_records'
  | 'method'
  | 'level'
  | 'receipt_origin'
  | 'completed_at'
  | 'unreadable'
  | 'unreadable_first'
>

export function receiptView(repo: ReceiptFields): ReceiptView | null {
  // A left join: all of the receipt is there, or nothing of it.
  if (repo.completed_at === null || repo.level === null || repo.receipt_origin === null) return null
  const counts = Object.entries(repo.counts ?? {}).filter(([, count]) => count > 0)
  return {
    did: repo.did,
    ...present('rev', repo.rev),
    ...present('dataCid', repo.data_cid),
    counts: counts.sort().map(([collection, count]) => ({ collection, count })),
    totalRecords: repo.receipt_records ?? 0,
    method: repo.method ?? 'list-records',
    level: repo.level,
    pdsEndpoint: repo.receipt_origin,
    completedAt: repo.completed_at.toISOString(),
    ...(repo.unreadable && {
      unreadableCount: repo.unreadable,
      unreadable: (repo.unreadable_first ?? []).map(({ cid, ...record }) => {
        return { uri: recordUri({ did: repo.did, ...record }), cid }
      }),
    }),
  }
}

export function deletedRecordView({ uri, rev }: DeletedRecord): DeletedRecordView {
  return { uri, ...present('rev', rev) }
}

/** An optional field: left out where there is nothing. */
function present<K extends string, V>(key: K, value: V | null | undefined): { [P in K]?: V } {
  return value === null || value === undefined ? {} : ({ [key]: value } as { [P in K]: V })
}
