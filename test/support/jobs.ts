import type {
  JobView,
  RecordView,
  RepoView,
} from '../../codegen/client/types/network/example/backfill/defs.js'
import type { QueryParams as RecordParams } from '../../codegen/client/types/network/example/backfill/listRecords.js'
import type { Backfill } from './service.js'
import { eventually } from './wait.js'

/** A job once it has ended. */
export async function finished(backfill: Backfill, job: string, timeoutMs?: number): Promise<JobView> {
  const look = async () => (await backfill.getJobStatus({ job })).data
  return eventually(look, ({ status }) => !['running', 'pausing', 'cancelling'].includes(status), timeoutMs)
}

/** All repos of a job, page by page. */
export async function collectRepos(backfill: Backfill, job: string, limit = 10): Promise<RepoView[]> {
  const repos: RepoView[] = []
  let cursor: string | undefined
  do {
    const { data } = await backfill.listJobRepos({ job, limit, ...(cursor && { cursor }) })
    repos.push(...data.repos)
    cursor = data.cursor
  } while (cursor)
  return repos
}

export async function repoOf(backfill: Backfill, job: string, did: string): Promise<RepoView> {
  const repo = (await collectRepos(backfill, job)).find((candidate) => candidate.did === did)
  if (!repo) throw new Error(`job ${job} has no repo ${did}`)
  return repo
}

/** All records of a job, page by page. */
export async function collectRecords(backfill: Backfill, params: RecordParams): Promise<RecordView[]> {
  const records: RecordView[] = []
  let cursor: string | undefined
  do {
    const { data } = await backfill.listRecords({ ...params, ...(cursor && { cursor }) })
    records.push(...data.records)
    cursor = data.cursor
  } while (cursor)
  return records
}
