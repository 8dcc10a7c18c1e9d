import { fileURLToPath } from 'node:url'
import type { LexiconDoc } from '@atproto/lexicon'
import { describe, expect, it } from 'vitest'
import { readTree } from '../../scripts/lexicons/tree.js'
import { PERMISSIONS } from '../../src/auth/permissions.js'
import { type ErrorCode, RequestError } from '../../src/errors.js'
import { checkInput, type JobInput } from '../../src/jobs/input.js'
import * as verdict from '../../src/verdict.js'

const tree = await readTree(fileURLToPath(new URL('../../lexicons', import.meta.url)))
const documents = [...tree.values()].map((bytes): LexiconDoc => JSON.parse(bytes.toString('utf8')))
const nameOf = (document: LexiconDoc) => document.id.slice(document.id.lastIndexOf('.') + 1)

/** What the lexicons declare, for each method: its errors, and whether it needs auth. */
const methods = new Map(
  documents.flatMap((document) => {
    const main = document.defs.main
    if (main?.type !== 'query' && main?.type !== 'procedure') return []
    const errors = (main.errors ?? []).map(({ name }) => name)
    return [
      [nameOf(document), { errors, needsAuth: !/Requires no auth/.test(main.description ?? '') }],
    ] as const
  }),
)

/** What each method can say beside `InvalidRequest`, which every XRPC method may. */
const THROWN: Record<string, (ErrorCode | 'FutureCursor')[]> = {
  createJob: [
    'InvalidCollection',
    'InvalidRepo',
    'InvalidHost',
    'ScopeTooBroad',
    'ClientTokenConflict',
    'LevelNotOffered',
    'QuotaExceeded',
    'DirectoryUnavailable',
  ],
  pauseJob: ['JobNotFound', 'InvalidState'],
  resumeJob: ['JobNotFound', 'InvalidState'],
  cancelJob: ['JobNotFound', 'InvalidState'],
  retryJob: ['JobNotFound', 'InvalidState', 'DetailsDeleted', 'QuotaExceeded'],
  refreshJob: [
    'JobNotFound',
    'InvalidState',
    'DetailsDeleted',
    'InvalidHost',
    'ScopeTooBroad',
    'ClientTokenConflict',
    'QuotaExceeded',
  ],
  purgeJob: ['JobNotFound', 'InvalidState', 'DetailsDeleted'],
  deleteJobDetails: ['JobNotFound', 'InvalidState'],
  deleteAllJobDetails: [],
  putCaller: ['InvalidPermission'],
  deleteCaller: ['CallerNotFound'],
  listCallers: [],
  getPdsSummary: ['JobNotFound', 'DetailsDeleted'],
  getJobStatus: ['JobNotFound'],
  listJobs: [],
  listJobRepos: ['JobNotFound', 'DetailsDeleted'],
  exportRecords: [
    'JobNotFound',
    'DetailsDeleted',
    'ManifestNotReady',
    'FutureCursor',
    'QuotaExceeded',
    'DirectoryUnavailable',
  ],
  listRecords: ['JobNotFound', 'DetailsDeleted', 'DirectoryUnavailable'],
  describeService: [],
}

describe('the words of defs', () => {
  const defs = documents.find((document) => nameOf(document) === 'defs')!
  const lists = Object.entries(defs.defs).flatMap(([name, def]) =>
    'knownValues' in def && def.knownValues ? [[name, def.knownValues] as const] : [],
  )

  it('are those of the code, list by list and in its order', () => {
    expect(Object.fromEntries(lists)).toEqual({
      jobStatus: verdict.JOB_STATUSES,
      jobStage: verdict.JOB_STAGES,
      repoStatus: verdict.REPO_STATUSES,
      method: verdict.METHODS,
      requestedMethod: verdict.REQUESTABLE_METHODS,
      // The lexicon begins with the strongest, the database with the weakest.
      level: [...verdict.LEVELS].reverse(),
      failureClass: verdict.FAILURE_CLASSES,
      unavailableReason: verdict.UNAVAILABLE_REASONS,
      hostState: verdict.HOST_STATES,
      permission: PERMISSIONS,
    })
  })

  it('begin with the failures worth another try', () => {
    const retryable = verdict.FAILURE_CLASSES.filter(verdict.isRetryable)
    expect(retryable).toEqual(verdict.FAILURE_CLASSES.slice(0, 9))
    expect(retryable).toEqual(verdict.RETRYABLE_FAILURES)
  })

  it('hold everything on offer, the weakest level first', () => {
    expect(verdict.LEVELS).toEqual(['none', 'content', 'signed'])
  })
})

describe('the errors of a method', () => {
  it.each([...methods.keys()])('are declared, and no others: %s', (name) => {
    const { errors, needsAuth } = methods.get(name)!
    const thrown: string[] = [...(THROWN[name] ?? []), ...(needsAuth ? ['NotPermitted'] : [])]
    expect([...errors].sort()).toEqual(thrown.sort())
  })

  it('are known for every method there is', () => {
    expect([...methods.keys()].sort()).toEqual(Object.keys(THROWN).sort())
  })

  it.each<JobInput>([
    { collections: ['post'] },
    { repos: ['?'] },
    { hosts: ['?'] },
    { repos: [] },
    { repos: ['alice.example.com'], method: 'quick' },
    { repos: ['alice.example.com'], method: 'list-records', level: 'signed' },
  ])('of createJob are these, for bad input: %o', (input) => {
    const codes: string[] = ['InvalidRequest', ...THROWN.createJob!]
    try {
      checkInput(input)
      expect.unreachable()
    } catch (error) {
      if (!(error instanceof RequestError)) throw error
      expect(codes).toContain(error.code)
    }
  })
})
