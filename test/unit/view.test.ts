import { fileURLToPath } from 'node:url'
import { Lexicons } from '@atproto/lexicon'
import { describe, expect, it } from 'vitest'
import { readTree } from '../../scripts/lexicons/tree.js'
import { jobView, repoView } from '../../src/api/view.js'
import type { JobRow } from '../../src/store/jobs.js'
import type { RepoRow } from '../../src/store/repos.js'

const tree = await readTree(fileURLToPath(new URL('../../lexicons', import.meta.url)))
const lexicons = new Lexicons([...tree.values()].map((bytes) => JSON.parse(bytes.toString('utf8'))))
const base = [...lexicons].find(({ id }) => id.endsWith('.backfill.defs'))!.id.slice(0, -'.defs'.length)

const DID = 'did:plc:aaaaaaaaaaaaaaaaaaaaaaaa'
const TID = '3l3qo2vuowo2b'
const CID = 'bafyreidfayvfuwqa7qlnopdjiqrxzs6blmoeu4rujcjtnci5beludirz2a'
const AT = new Date('2026-01-02T03:04:05.678Z')
const TIME = AT.toISOString()

/** A view as it leaves the service, if the lexicon lets it. */
function checked<View extends object>(method: string, wrap: (view: View) => object, view: View): View {
  const json = JSON.parse(JSON.stringify(view)) as View
  lexicons.assertValidXrpcOutput(`${base}.${method}`, wrap(json))
  return json
}

const job: JobRow = {
  ...{ key: 17, id: TID, caller: DID, client_token: 'secret', input_hash: 'secret', name: null, scope: 3 },
  ...{ collections: null, repo_count: null, hosts: null, method: 'auto', level: 'content' },
  ...{ status: 'running', stage: 'pending', discovery_complete: false, error: null },
  ...{ created_at: AT, started_at: null, completed_at: null },
  ...{ total: 0, resolved: 0, completed: 0, unavailable: 0, failed: 0, records: 0, failures: [] },
} as JobRow

const repo: RepoRow = {
  ...{ did: DID, status: 'waiting', method: null, failure: null, reason: null, message: null, attempts: 0 },
  ...{ records: 0, retry_at: null, origin: null, handle: null, rev: null, data_cid: null, counts: null },
  ...{ level: null, receipt_records: null, receipt_method: null, completed_at: null, receipt_origin: null },
  ...{ unreadable: null, unreadable_first: null },
}

const viewOfJob = (change: Partial<JobRow>) =>
  checked('getJobStatus', (view) => view, jobView({ ...job, ...change }))
const viewOfRepo = (change: Partial<RepoRow>) =>
  checked('listJobRepos', (view) => ({ repos: [view] }), repoView({ ...repo, ...change }))

describe('a job as its caller sees it', () => {
  it('has what every job has, and nothing else, when it is new', () => {
    expect(viewOfJob({})).toEqual({
      ...{ id: TID, caller: DID, method: 'auto', level: 'content', status: 'running', stage: 'pending' },
      ...{ discoveryComplete: false, totalRepos: 0, resolvedRepos: 0, processedRepos: 0, completedRepos: 0 },
      ...{ unavailableRepos: 0, failedRepos: 0, totalRecords: 0, failures: [], createdAt: TIME },
    })
  })

  it('has all of it when it is done', () => {
    const done = viewOfJob({
      ...{ name: '', collections: ['com.example.*'], repo_count: 0, status: 'failed', stage: 'failed' },
      ...{
        discovery_complete: true,
        total: 10,
        resolved: 9,
        completed: 5,
        unavailable: 2,
        failed: 3,
        records: 77,
      },
      error: 'Discovery failed',
      failures: [
        { class: 'timeout', count: 2 },
        { class: 'bad-tree', count: 1 },
      ],
      ...{ started_at: AT, completed_at: new Date('2026-01-02T03:05:00Z') },
    })
    expect(done).toMatchObject({
      ...{
        name: '',
        collections: ['com.example.*'],
        repoCount: 0,
        discoveryComplete: true,
        error: 'Discovery failed',
      },
      ...{ totalRepos: 10, resolvedRepos: 9, processedRepos: 10, completedRepos: 5, unavailableRepos: 2 },
      ...{ failedRepos: 3, totalRecords: 77, startedAt: TIME, completedAt: '2026-01-02T03:05:00.000Z' },
      failures: [
        { class: 'timeout', count: 2, retryable: true },
        { class: 'bad-tree', count: 1, retryable: false },
      ],
    })
  })
})

describe('the manifest of a job', () => {
  const made = { manifest_hash: '5e'.repeat(32), manifest_receipts: 0, manifest_built_at: AT }

  it('is shown once it is made', () => {
    expect(viewOfJob(made).manifest).toEqual({ hash: '5e'.repeat(32), receipts: 0, createdAt: TIME })
    const none = { manifest_hash: null, manifest_receipts: null, manifest_built_at: null }
    expect(viewOfJob(none)).not.toHaveProperty('manifest')
  })
})

describe('a repo as a caller sees it', () => {
  it('has little to say at first', () => {
    expect(viewOfRepo({})).toEqual({ did: DID, status: 'waiting', recordsFetched: 0, attempts: 0 })
  })

  it('says why it has to be tried again, and when', () => {
    const waiting = {
      status: 'resolved',
      attempts: 2,
      retry_at: AT,
      failure: 'timeout',
      message: 'no answer',
    } as const
    expect(viewOfRepo({ ...waiting, handle: 'alice.example.com', origin: 'http://localhost:2583' })).toEqual({
      ...{ did: DID, handle: 'alice.example.com', pdsEndpoint: 'http://localhost:2583', status: 'resolved' },
      ...{ recordsFetched: 0, attempts: 2, retryAt: TIME },
      failure: { class: 'timeout', message: 'no answer', retryable: true },
    })
  })

  it('says why it failed or cannot be had', () => {
    expect(viewOfRepo({ status: 'failed', failure: 'cursor-loop' }).failure).toEqual({
      ...{ class: 'cursor-loop', message: '', retryable: false },
    })
    expect(viewOfRepo({ status: 'unavailable', reason: 'takendown' }).reason).toBe('takendown')
  })

  const receipt: Partial<RepoRow> = {
    ...{
      status: 'completed',
      receipt_method: 'list-records',
      records: 3,
      level: 'content',
      receipt_records: 3,
    },
    ...{ completed_at: AT, origin: 'https://new.example.com', receipt_origin: 'https://old.example.com' },
    counts: { 'com.example.b': 2, 'com.example.none': 0, 'com.example.a': 1 },
  }

  it('has a receipt once it is completed, in order and without what it has none of', () => {
    expect(viewOfRepo({ ...receipt, rev: TID, data_cid: CID }).receipt).toEqual({
      ...{ did: DID, rev: TID, dataCid: CID, totalRecords: 3, method: 'list-records', level: 'content' },
      ...{ pdsEndpoint: 'https://old.example.com', completedAt: TIME },
      counts: [
        { collection: 'com.example.a', count: 1 },
        { collection: 'com.example.b', count: 2 },
      ],
    })
  })

  it('may have a receipt without a rev, or of nothing', () => {
    expect(viewOfRepo(receipt).receipt).not.toHaveProperty('rev')
    const empty = viewOfRepo({ ...receipt, counts: { 'com.example.none': 0 }, receipt_records: 0 }).receipt
    expect(empty).toMatchObject({ counts: [], totalRecords: 0 })
  })
})
