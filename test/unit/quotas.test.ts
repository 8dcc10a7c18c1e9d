import { describe, expect, it } from 'vitest'
import { readConfig } from '../../src/config.js'
import { checkRepos, quotasFor } from '../../src/jobs/quotas.js'
import type { CallerRow } from '../../src/store/callers.js'

const OWN = 'did:web:backfill.example'
const ADMIN = 'did:web:admin.example'
const OTHER = 'did:web:other.example'
const config = readConfig({
  SERVICE_DID: OWN,
  BACKFILL_ADMINS: ADMIN,
  QUOTA_RUNNING_JOBS: '5',
  QUOTA_REPOS_PER_JOB: '0',
  QUOTA_REQUESTS_PER_MINUTE: '60',
  QUOTA_STREAMS: '4',
})
const DEFAULTS = { runningJobs: 5, reposPerJob: null, requestsPerMinute: 60, streams: 4 }
const NONE = { runningJobs: null, reposPerJob: null, requestsPerMinute: null, streams: null }

const row = (permissions: string[], quotas: Partial<CallerRow> = {}): CallerRow => ({
  did: OTHER,
  permissions,
  jobs_of: [],
  running_jobs: null,
  repos_per_job: null,
  requests_per_minute: null,
  streams: null,
  created_at: new Date(0),
  updated_at: new Date(0),
  ...quotas,
})

describe('the quotas of a caller', () => {
  it('are the defaults where nothing else was said, one by one', () => {
    expect(quotasFor(OTHER, config, null)).toEqual(DEFAULTS)
    expect(quotasFor(OTHER, config, row(['create']))).toEqual(DEFAULTS)
    const some = row(['create'], { running_jobs: 0, repos_per_job: 9, streams: 1 })
    expect(quotasFor(OTHER, config, some)).toEqual({
      ...DEFAULTS,
      runningJobs: 0,
      reposPerJob: 9,
      streams: 1,
    })
  })

  it('are none for admins, but those that were set', () => {
    expect(quotasFor(ADMIN, config, null)).toEqual(NONE)
    expect(quotasFor(OTHER, config, row(['admin']))).toEqual(NONE)
    expect(quotasFor(ADMIN, config, row([], { running_jobs: 2 }))).toEqual({ ...NONE, runningJobs: 2 })
  })

  it('are none for the service itself, which makes jobs from the command line', () => {
    expect(quotasFor(OWN, config, null)).toEqual(NONE)
  })
})

it.each<[limit: number | null, repos: number | null, fits: boolean]>([
  [null, 1_000, true],
  [null, null, true],
  [5, 5, true],
  [5, 6, false],
  [5, null, true],
  [0, 1, false],
  // It would find some, or be pointless.
  [0, null, false],
])('of %j repos a job with %j of them: %j', (reposPerJob, repos, fits) => {
  const check = () => checkRepos({ ...NONE, reposPerJob }, OTHER, repos)
  if (fits) check()
  else expect(check).toThrow(expect.objectContaining({ code: 'QuotaExceeded' }))
})
