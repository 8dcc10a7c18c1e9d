import { fileURLToPath } from 'node:url'
import { type LexiconDoc, Lexicons } from '@atproto/lexicon'
import { describe, expect, it } from 'vitest'
import { checkLexicons } from '../../scripts/lexicons/check.js'
import { readTree } from '../../scripts/lexicons/tree.js'
import { walk } from '../../scripts/lexicons/walk.js'
import * as verdict from '../../src/verdict.js'

const tree = await readTree(fileURLToPath(new URL('../../lexicons', import.meta.url)))
const files = new Map([...tree].map(([path, bytes]) => [path, bytes.toString('utf8')]))
const documents = [...files.values()].map((text): LexiconDoc => JSON.parse(text))
const lexicons = new Lexicons(structuredClone(documents))

/** The namespace, wherever it has been moved to. */
const base = documents.find(({ id }) => id.endsWith('.backfill.defs'))!.id.slice(0, -'.defs'.length)
const parts = documents.flatMap((document) =>
  [...walk(JSON.parse(JSON.stringify(document)))].map((part) => ({ ...part, id: document.id })),
)

const DID = 'did:plc:ewvi7nxzyoun6zhxrhs64oiz'
const TID = '3l3qo2vuowo2b'
const CID = 'bafyreidfayvfuwqa7qlnopdjiqrxzs6blmoeu4rujcjtnci5beludirz2a'
const TIME = '2026-01-02T03:04:05.678Z'
const PDS = 'https://pds.example.com'

/** As little as a job can be. */
const job = {
  id: TID,
  caller: DID,
  method: 'auto',
  level: 'content',
  status: 'running',
  stage: 'pending',
  ...{
    totalRepos: 0,
    resolvedRepos: 0,
    processedRepos: 0,
    completedRepos: 0,
    unavailableRepos: 0,
    failedRepos: 0,
  },
  totalRecords: 0,
  createdAt: TIME,
}
const failure = { class: 'timeout', message: 'no answer within 30 s', retryable: true }
const record = {
  uri: `at://${DID}/com.example.post/${TID}`,
  cid: CID,
  value: { $type: 'com.example.post', text: '' },
}
const { value: _, ...unreadable } = record

/** All that a job can be. */
const wholeJob = {
  ...job,
  name: 'Grüße an 👩‍👩‍👧‍👦'.padEnd(128, '…'),
  collections: ['com.example.post', 'com.example.feed.*'],
  repoCount: 2,
  hosts: [{ hostname: 'pds.example.com' }],
  discoveryComplete: true,
  failures: [{ class: 'timeout', count: 1, retryable: true }],
  startCursors: [{ relay: 'https://relay.example.com', seq: 12_345_678_901 }],
  error: 'Discovery failed',
  startedAt: TIME,
  completedAt: TIME,
}
const receipt = {
  did: DID,
  rev: TID,
  dataCid: CID,
  counts: [{ collection: 'com.example.post', count: 1 }],
  totalRecords: 1,
  method: 'unchanged',
  level: 'signed',
  pdsEndpoint: PDS,
  completedAt: TIME,
  unreadableCount: 1,
  unreadable: [unreadable],
}
const repo = { did: DID, status: 'waiting', recordsFetched: 0, attempts: 0 }
const service = {
  did: 'did:web:localhost%3A3000',
  version: '0.1.0',
  relays: [{ url: 'https://relay.example.com' }],
  limits: { maxCollections: 100, maxRepos: 1_000, maxInputBytes: 1_048_576 },
  endpoints: [{ nsid: `${base}.createJob` }],
  methods: [{ name: 'auto' }],
  levels: [{ name: 'content' }],
}

describe('the lexicons', () => {
  it('have nothing wrong', () => {
    expect(checkLexicons(files)).toEqual([])
  })

  it.each<[string, readonly string[]]>([
    ['jobStatus', verdict.JOB_STATUSES],
    ['jobStage', verdict.JOB_STAGES],
    ['repoStatus', verdict.REPO_STATUSES],
    ['method', verdict.METHODS],
    ['requestedMethod', verdict.REQUESTABLE_METHODS],
    ['level', verdict.LEVELS],
    ['failureClass', verdict.FAILURE_CLASSES],
    ['unavailableReason', verdict.UNAVAILABLE_REASONS],
  ])('know the words of %s', (name, words) => {
    const def = lexicons.getDefOrThrow(`${base}.defs#${name}`)
    expect(new Set(knownValues(def))).toEqual(new Set(words))
  })

  it.each<[string, readonly string[]]>([
    ['listJobs', verdict.JOB_STATUSES],
    ['listJobRepos', verdict.REPO_STATUSES],
  ])('let %s filter by every status', (name, words) => {
    const main = lexicons.getDefOrThrow(`${base}.${name}`, ['query'])
    expect(knownValues(main.parameters?.properties.status)).toEqual(words)
  })

  it('call the id of a job the same in every method', () => {
    const names = parts
      .filter((part) => part.role === 'parameter' && part.value.format === 'tid')
      .map((part) => part.name)
    expect(new Set(names)).toEqual(new Set(['job']))
  })

  it('answer with lists of objects, so that their entries can grow', () => {
    const answered = parts.filter(
      ({ id, at, type }) => type === 'array' && (id === `${base}.defs` || /output/.test(at)),
    )
    const plain = answered.filter(
      ({ value }) => !/^(ref|union)$/.test(String((value.items as { type?: string }).type)),
    )
    // The echo of the caller's own input.
    expect(plain.map(({ at }) => at)).toEqual(['defs.jobView.properties.collections'])
    expect(answered.length).toBeGreaterThan(8)
  })
})

describe('what a method answers', () => {
  it.each<[string, string, unknown]>([
    ['a job just made', 'createJob', job],
    ['a job with everything', 'getJobStatus', wholeJob],
    ['a word that came later', 'getJobStatus', { ...job, status: 'postponed', level: 'notarised' }],
    ['no jobs', 'listJobs', { jobs: [] }],
    ['a page of jobs', 'listJobs', { cursor: TID, jobs: [wholeJob, job] }],
    ['a repo just found', 'listJobRepos', { cursor: DID, repos: [repo] }],
    [
      'a repo of each outcome',
      'listJobRepos',
      {
        repos: [
          { ...repo, status: 'completed', handle: 'alice.example.com', pdsEndpoint: PDS, receipt },
          { ...repo, status: 'unavailable', reason: 'takendown' },
          { ...repo, status: 'failed', attempts: 5, failure },
        ],
      },
    ],
    [
      'a repo to be tried again',
      'listJobRepos',
      { repos: [{ ...repo, attempts: 1, retryAt: TIME, failure }] },
    ],
    ['records', 'listRecords', { cursor: '1/com.example.post/self', records: [record, unreadable] }],
    [
      'changes',
      'listRecords',
      {
        records: [record],
        deleted: [{ uri: record.uri, rev: TID }, { uri: record.uri }],
        repos: [
          { $type: `${base}.listRecords#repoRestarted`, did: DID },
          { $type: `${base}.listRecords#repoComplete`, since: TID, receipt },
          { $type: `${base}.listRecords#repoUnavailable`, did: DID, reason: 'deleted' },
        ],
      },
    ],
    ['itself', 'describeService', service],
  ])('may be %s (%s, %#)', (_name, method, body) => {
    expect(lexicons.assertValidXrpcOutput(`${base}.${method}`, body)).toEqual(body)
  })

  it.each<[string, string, unknown]>([
    ['a job without an id', 'getJobStatus', { ...job, id: undefined }],
    ['a job with a number as id', 'getJobStatus', { ...job, id: '17' }],
    ['a negative count', 'getJobStatus', { ...job, failedRepos: -1 }],
    ['a name of 129 characters', 'getJobStatus', { ...job, name: 'x'.repeat(129) }],
    ['null for what is absent', 'getJobStatus', { ...job, completedAt: null }],
    ['a host name alone', 'getJobStatus', { ...job, hosts: ['pds.example.com'] }],
    [
      'a receipt without its source',
      'listJobRepos',
      { repos: [{ ...repo, receipt: { ...receipt, pdsEndpoint: undefined } }] },
    ],
    ['a record without a CID', 'listRecords', { records: [{ uri: record.uri }] }],
    ['no list', 'listRecords', {}],
    ['no limits', 'describeService', { ...service, limits: undefined }],
  ])('may not be %s (%s)', (_name, method, body) => {
    expect(() => lexicons.assertValidXrpcOutput(`${base}.${method}`, body)).toThrow()
  })
})

describe('what a method takes', () => {
  const takes = (input: unknown) => lexicons.assertValidXrpcInput(`${base}.createJob`, input)
  const entries = (count: number, entry: string) => Array.from({ length: count }, () => entry)

  it.each<[string, unknown]>([
    ['nothing', {}],
    [
      'all there is',
      {
        collections: ['com.example.*'],
        repos: [DID, 'alice.example.com'],
        method: 'auto',
        level: 'none',
        clientToken: 'x',
        name: 'x',
      },
    ],
    // Each bad entry is named by the handler, which must see them all.
    ['bad entries', { collections: ['*', ''], repos: ['?', ''] }],
    ['as much as is allowed', { collections: entries(100, 'x'), repos: entries(1_000, 'x'.repeat(2_048)) }],
    ['a field that came later', { hosts: ['pds.example.com'] }],
  ])('may be %s', (_name, input) => {
    expect(takes(input)).toEqual(input)
  })

  it.each<[string, unknown]>([
    ['an empty list of collections', { collections: [] }],
    ['an empty list of repos', { repos: [] }],
    ['101 collections', { collections: entries(101, 'x') }],
    ['1,001 repos', { repos: entries(1_001, 'x') }],
    ['a token of 129 bytes', { clientToken: 'x'.repeat(129) }],
    ['an empty token', { clientToken: '' }],
    ['one collection that is no list', { collections: 'com.example.post' }],
  ])('may not be %s', (_name, input) => {
    expect(() => takes(input)).toThrow()
  })

  it.each([
    ['listJobs', {}, { limit: 50 }],
    ['listJobRepos', { job: TID }, { limit: 50, phase: 'discovered' }],
    [
      'listRecords',
      { job: TID, collection: 'com.example.post', repo: 'alice.example.com' },
      { changes: false, limit: 500 },
    ],
  ])('has defaults: %s', (method, given, defaults) => {
    expect(lexicons.assertValidXrpcParams(`${base}.${method}`, given)).toEqual({ ...defaults, ...given })
  })

  it.each<[string, Record<string, unknown>]>([
    ['getJobStatus', {}],
    ['getJobStatus', { job: '17' }],
    ['listJobs', { limit: 0 }],
    ['listJobs', { limit: 101 }],
    ['listJobRepos', { limit: 50 }],
    ['listJobRepos', { job: TID, limit: 101 }],
    ['listJobRepos', { job: TID, pdsEndpoint: 'pds.example.com' }],
    ['listRecords', { job: TID, limit: 1_001 }],
    ['listRecords', { job: TID, collection: 'com.example.*' }],
    ['listRecords', { job: TID, repo: 'alice' }],
  ])('has bounds: %s %j', (method, given) => {
    expect(() => lexicons.assertValidXrpcParams(`${base}.${method}`, given)).toThrow()
  })
})

function knownValues(def: object | undefined): readonly unknown[] {
  return def && 'knownValues' in def && Array.isArray(def.knownValues) ? def.knownValues : []
}
