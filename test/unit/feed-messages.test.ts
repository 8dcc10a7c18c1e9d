import { Frame, MessageFrame } from '@atproto/xrpc-server'
import { describe, expect, test } from 'vitest'
import { ids, lexicons } from '../../codegen/server/lexicons.js'
import { jobMessage } from '../../src/api/messages.js'
import { countersOf, eventsOf, type FeedEvent } from '../../src/jobs/feed-event.js'
import type { ChangedRepo } from '../../src/store/changes.js'
import type { JobRow } from '../../src/store/jobs.js'
import { FAILURE_CLASSES, isRetryable, REPO_STATUSES, UNAVAILABLE_REASONS } from '../../src/verdict.js'
import { didOf } from '../support/fixtures.js'

const NOW = Date.UTC(2026, 0, 2)
const CHANGED = new Date(Date.UTC(2026, 0, 1))

const JOB = {
  key: 1,
  id: '3l3qo2vuowo2b',
  caller: 'did:web:caller.example',
  name: null,
  collections: null,
  repo_count: null,
  hosts: null,
  method: 'auto',
  level: 'content',
  status: 'running',
  stage: 'resolving-and-fetching',
  discovery_complete: false,
  error: null,
  created_at: CHANGED,
  started_at: CHANGED,
  completed_at: null,
  seq: 90,
  state_seq: 40,
  total: 10,
  resolved: 9,
  completed: 4,
  unavailable: 2,
  failed: 1,
  records: 77,
  failures: [{ class: 'timeout', count: 1 }],
} as unknown as JobRow

const repo = (change: Partial<ChangedRepo> = {}): ChangedRepo => ({
  seq: 12,
  changedAt: CHANGED,
  did: didOf(1),
  status: 'resolved',
  records: 5,
  failure: null,
  message: null,
  reason: null,
  origin: 'https://pds.example',
  rev: null,
  level: null,
  ...change,
})

/** A message as it arrives, checked against the lexicon. */
function arrived(event: FeedEvent): Record<string, unknown> {
  const frame = Frame.fromBytes(jobMessage(event, NOW).toBytes())
  if (!(frame instanceof MessageFrame)) throw new Error('not a message')
  const method = ids.NetworkExampleBackfillSubscribeJob
  lexicons.assertValidXrpcMessage(method, { $type: `${method}${frame.type}`, ...(frame.body as object) })
  return { type: frame.type, ...(frame.body as object) }
}

const arrivedRepo = (change: Partial<ChangedRepo>) =>
  arrived({ kind: 'repo', job: JOB, seq: 12, repo: repo(change) })

describe('what is told of a repo', () => {
  test.each([
    ['waiting', { origin: null }, { type: '#repoDiscovered' }],
    ['resolved', {}, { type: '#repoResolved', pdsEndpoint: 'https://pds.example' }],
    ['fetching', {}, { type: '#repoResolved', pdsEndpoint: 'https://pds.example' }],
    [
      'completed',
      { rev: '3l3qo2vuowo2b', level: 'signed' },
      {
        type: '#repoFetched',
        pdsEndpoint: 'https://pds.example',
        recordsFetched: 5,
        rev: '3l3qo2vuowo2b',
        level: 'signed',
      },
    ],
    [
      'failed',
      { failure: 'unverifiable', message: 'no proof' },
      { type: '#repoFailed', class: 'unverifiable', message: 'no proof', retryable: false },
    ],
    ['unavailable', { reason: 'takendown' }, { type: '#repoUnavailable', reason: 'takendown' }],
  ] as const)('%s', (status, change, message) => {
    expect(arrivedRepo({ status, ...change })).toEqual({
      seq: 12,
      job: JOB.id,
      time: CHANGED.toISOString(),
      did: didOf(1),
      ...message,
    })
  })

  test('every status, class and reason has a message', () => {
    for (const status of REPO_STATUSES) arrivedRepo({ status, failure: 'timeout', reason: 'deleted' })
    for (const failure of FAILURE_CLASSES)
      expect(arrivedRepo({ status: 'failed', failure })).toMatchObject({ retryable: isRetryable(failure) })
    for (const reason of UNAVAILABLE_REASONS)
      expect(arrivedRepo({ status: 'unavailable', reason })).toMatchObject({ reason })
  })

  test('a repo without a rev, and one whose receipt is not at hand', () => {
    const fetched = arrivedRepo({ status: 'completed' })
    expect(fetched).not.toHaveProperty('rev')
    expect(fetched).toMatchObject({ level: 'content' })
  })
})

describe('what is told of the job', () => {
  const heading = { seq: 90, job: JOB.id, time: new Date(NOW).toISOString() }
  const counters = {
    status: 'running',
    stage: 'resolving-and-fetching',
    discoveryComplete: false,
    totalRepos: 10,
    resolvedRepos: 9,
    processedRepos: 7,
    completedRepos: 4,
    unavailableRepos: 2,
    failedRepos: 1,
    totalRecords: 77,
    failures: [{ class: 'timeout', count: 1, retryable: true }],
  }

  test('the snapshot and the counters say the same', () => {
    expect(arrived({ kind: 'counters', job: JOB, seq: 90 })).toEqual({
      type: '#jobCounters',
      ...heading,
      ...counters,
    })
    expect(arrived({ kind: 'snapshot', job: JOB, seq: 90 })).toMatchObject({
      type: '#jobSnapshot',
      ...heading,
      view: { id: JOB.id, caller: JOB.caller, method: 'auto', ...counters },
    })
  })

  test('its stage, its end and its error', () => {
    expect(arrived({ kind: 'stage', job: JOB, seq: 90 })).toEqual({
      type: '#jobStageChanged',
      ...heading,
      stage: 'resolving-and-fetching',
    })
    const failed = { ...JOB, status: 'failed', error: 'a relay went in circles' } as JobRow
    expect(arrived({ kind: 'completed', job: failed, seq: 90 })).toEqual({
      type: '#jobCompleted',
      ...heading,
      status: 'failed',
      error: 'a relay went in circles',
    })
    expect(arrived({ kind: 'completed', job: { ...JOB, status: 'cancelled' }, seq: 90 })).toEqual({
      type: '#jobCompleted',
      ...heading,
      status: 'cancelled',
    })
    expect(arrived({ kind: 'outdated', job: JOB, seq: 90 })).toMatchObject({
      type: '#info',
      name: 'OutdatedCursor',
    })
  })

  test('a message is encoded once', () => {
    const message = jobMessage({ kind: 'snapshot', job: JOB, seq: 90 }, NOW)
    expect(message.toBytes()).toBe(message.toBytes())
    expect(message.byteLength).toBe(message.toBytes().byteLength)
  })
})

describe('the order of events', () => {
  const repos = [repo({ seq: 38 }), repo({ seq: 39 }), repo({ seq: 41 })]
  const seqs = (after: number, through: number, toldStage: JobRow['stage'] | null = null) =>
    eventsOf(JOB, repos, { after, through }, toldStage).map(({ kind, seq }) => `${kind} ${seq}`)

  test('the stage stands where it was reached', () => {
    expect(seqs(30, 50)).toEqual(['repo 38', 'repo 39', 'stage 40', 'repo 41'])
    expect(eventsOf(JOB, repos.slice(0, 2), { after: 30, through: 40 }, null).at(-1)).toMatchObject({
      kind: 'stage',
    })
    expect(eventsOf(JOB, repos.slice(2), { after: 39, through: 50 }, null)[0]).toMatchObject({
      kind: 'stage',
    })
  })

  test('and is left out when it was reached elsewhere, or told before', () => {
    expect(seqs(40, 50)).not.toContain('stage 40')
    expect(seqs(30, 39)).not.toContain('stage 40')
    expect(seqs(30, 50, 'resolving-and-fetching')).not.toContain('stage 40')
    expect(seqs(30, 50, 'discovering-repos')).toContain('stage 40')
  })
})

test('counters differ when anything they tell differs', () => {
  const changes: Partial<JobRow>[] = [
    { status: 'pausing' },
    { stage: 'completed' },
    { discovery_complete: true },
    { total: 11 },
    { resolved: 10 },
    { completed: 5 },
    { unavailable: 3 },
    { failed: 2 },
    { records: 78 },
    { failures: [{ class: 'timeout', count: 2 }] },
  ]
  const all = changes.map((change) => countersOf({ ...JOB, ...change }))
  expect(new Set([countersOf(JOB), ...all]).size).toBe(changes.length + 1)
  expect(countersOf({ ...JOB, seq: 91 })).toBe(countersOf(JOB))
})
