import { describe, expect, test } from 'vitest'
import { LiveArea } from '../../src/cli/live-area.js'
import { widthOf } from '../../src/cli/text.js'
import { heard, type Watched } from '../../src/cli/watch-state.js'
import { lostText, type Picture, watchLines } from '../../src/cli/watch-view.js'
import type { HostView, JobMessage, JobView } from '../../src/client/index.js'
import { jobView } from '../client/support.js'
import { screenOf } from './screen.js'

const NOW = Date.parse('2030-01-01T00:10:00Z')
const ID = '3lbackfilljob'

const job = (parts: Partial<JobView> = {}): JobView => ({
  ...(jobView() as unknown as JobView),
  name: 'statuses',
  stage: 'resolving-and-fetching',
  discoveryComplete: true,
  totalRepos: 1_200,
  resolvedRepos: 900,
  processedRepos: 480,
  completedRepos: 300,
  unavailableRepos: 177,
  failedRepos: 3,
  totalRecords: 12_345,
  failures: [
    { class: 'did-not-found', count: 1, retryable: false },
    { class: 'timeout', count: 2, retryable: true },
  ],
  ...parts,
})

const host = (name: string, parts: Partial<HostView> = {}): HostView => ({
  pdsEndpoint: `https://${name}`,
  totalRepos: 400,
  completedRepos: 200,
  failedRepos: 1,
  unavailableRepos: 0,
  totalRecords: 999,
  state: 'ok',
  ...parts,
})

const HOSTS = [
  host('one.pds.example'),
  host('two.pds.example', { state: 'cooling', resumesAt: '2030-01-01T00:10:42Z' }),
  ...Array.from({ length: 30 }, (_, index) => host(`${index}.pds.example`, { totalRepos: 10 })),
]

const picture = (parts: Partial<Picture> = {}): Picture => ({
  job: job(),
  hosts: { pdsEndpoints: HOSTS.slice(0, 2) },
  lostAt: null,
  reposPerSecond: 3.7,
  recordsPerSecond: 120,
  now: NOW,
  ...parts,
})

describe('a watched job on a terminal', () => {
  test('has its stage, a bar for each part of the work, what went wrong, and its hosts', () => {
    expect(watchLines(picture(), 79, 23)).toEqual([
      'Job 3lbackfilljob  statuses',
      'resolving and fetching  40%  4 min left  3.7 repos/s  120 records/s',
      'discovered  [######################################]  1,200',
      'resolved    [############################----------]  900/1,200',
      'fetched     [##########xxxxx-----------------------]  300/1,200  12,345 records',
      'failed      2 timeout, 1 did-not-found',
      'unavailable 177',
      '',
      'PDS              REPOS  COMPLETED  FAILED  UNAVAILABLE  RECORDS  STATE',
      'one.pds.example    400        200       1            0      999  ok',
      'two.pds.example    400        200       1            0      999  cooling 42 s',
    ])
  })

  test('promises nothing while repos are still being found', () => {
    const discovering = job({ stage: 'discovering-repos', discoveryComplete: false, failedRepos: 0 })
    const [, state, discovered, resolved] = watchLines(picture({ job: discovering }), 100, 23)
    expect(state).toBe('discovering repos  3.7 repos/s  120 records/s')
    expect(discovered).toMatch(/^discovered {2}\[-+\] {2}1,200\+$/)
    expect(resolved).toMatch(/ 900\/1,200\+$/)
  })

  test('knows how many repos there will be when they were named', () => {
    const named = job({ discoveryComplete: false, repoCount: 2_400 })
    expect(watchLines(picture({ job: named }), 100, 23)[2]).toMatch(/^discovered {2}\[#{20}-{20}\]/)
  })

  test.each([
    ['pausing', 'pausing: what is in flight ends first  40%'],
    ['paused', `paused  40%  goes on with: aquifer jobs resume ${ID}`],
    ['cancelling', 'cancelling: what is in flight ends first  40%'],
    ['resting', 'resting  40%'],
  ])('that is %s says so, and promises nothing', (status, line) => {
    expect(watchLines(picture({ job: job({ status }) }), 100, 23)[1]).toBe(line)
  })

  test('tells a lost connection when it lasts', () => {
    expect(lostText({ lostAt: NOW - 4_000, now: NOW })).toBeNull()
    const lines = watchLines(picture({ lostAt: NOW - 12_000 }), 100, 23)
    expect(lines).toContain('No connection to the service for 12 s; it is tried again.')
  })

  test('shows as many hosts as there is room for, and how many more there are', () => {
    const many = picture({ hosts: { pdsEndpoints: HOSTS } })
    const lines = watchLines(many, 100, 14)
    expect(lines).toHaveLength(14)
    expect(lines.at(-1)).toBe('… and 28 more: aquifer jobs pds 3lbackfilljob')
    expect(watchLines(many, 100, 100).at(-1)).toBe('… and 20 more: aquifer jobs pds 3lbackfilljob')
    const aggregated = picture({
      hosts: {
        pdsEndpoints: HOSTS.slice(0, 2),
        others: {
          hosts: 1_000,
          totalRepos: 1_000,
          completedRepos: 0,
          failedRepos: 0,
          unavailableRepos: 0,
          totalRecords: 0,
        },
      },
    })
    expect(watchLines(aggregated, 100, 23).at(-1)).toBe('… and 1,000 more: aquifer jobs pds 3lbackfilljob')
    expect(watchLines(picture({ hosts: null }), 100, 23).at(-1)).toBe('unavailable 177')
  })

  test('fits every size, and never moves the cursor by what others wrote', () => {
    const hostile = picture({
      job: job({ name: 'all\u001b[2J \u202eposts', stage: 'a\nb' }),
      hosts: { pdsEndpoints: [host('pds\u001b[31m.example'), ...HOSTS] },
      lostAt: NOW - 60_000,
    })
    for (let columns = 1; columns <= 140; columns += 1) {
      for (const rows of [1, 2, 3, 7, 8, 9, 10, 11, 12, 24, 60]) {
        const lines = watchLines(hostile, columns, rows)
        expect(lines.length).toBeLessThanOrEqual(rows)
        for (const line of lines) expect(widthOf(line)).toBeLessThanOrEqual(columns)
        expect(lines.join('')).not.toMatch(/\p{Cc}|\u202e/u)
      }
    }
  })

  test('on a very low terminal is one line', () => {
    expect(watchLines(picture(), 100, 3)).toEqual([
      '[#########---------------]  40%  480/1,200 repos  12,345 records  3 failed  4 min left  3.7 repos/s',
    ])
  })
})

describe('what messages change', () => {
  const watched: Watched = { job: job({ totalRepos: 0, status: 'paused' }), hosts: null, lostAt: NOW }
  const common = { seq: 7, job: ID, time: '2030-01-01T00:00:00.000Z' }

  test('counters and what else they carry', () => {
    const counters: JobMessage = {
      ...common,
      type: 'jobCounters',
      status: 'running',
      stage: 'resolving-and-fetching',
      discoveryComplete: true,
      totalRepos: 9,
      resolvedRepos: 8,
      processedRepos: 7,
      completedRepos: 7,
      unavailableRepos: 0,
      failedRepos: 0,
      totalRecords: 70,
    }
    expect(heard(watched, counters)).toEqual({
      hosts: null,
      lostAt: null,
      job: {
        ...watched.job,
        status: 'running',
        discoveryComplete: true,
        totalRepos: 9,
        resolvedRepos: 8,
        processedRepos: 7,
        completedRepos: 7,
        unavailableRepos: 0,
        failedRepos: 0,
        totalRecords: 70,
        failures: [],
      },
    })
  })

  test('the stage, the end, and nothing but that the connection is there', () => {
    const stage = heard(watched, { ...common, type: 'jobStageChanged', stage: 'discovering-repos' })
    expect(stage.job.stage).toBe('discovering-repos')
    const end = heard(watched, { ...common, type: 'jobCompleted', status: 'cancelled' })
    expect(end.job.status).toBe('cancelled')
    const repo = heard(watched, { ...common, type: 'repoDiscovered', did: 'did:web:a.test' })
    expect(repo).toEqual({ ...watched, lostAt: null })
    const whole = heard(watched, { ...common, type: 'jobSnapshot', view: job({ totalRepos: 5 }) })
    expect(whole.job.totalRepos).toBe(5)
  })
})

describe('the area on the terminal', () => {
  function terminal(columns = 40, rows = 10) {
    const writes: string[] = []
    const out = { columns, rows, write: (text: string) => writes.push(text) }
    return { out, writes, area: new LiveArea(out as unknown as NodeJS.WriteStream) }
  }

  test('is drawn in place, in one write, and not at all when nothing is new', () => {
    const { writes, area } = terminal()
    area.draw(['one', 'a long line', 'three'])
    area.draw(['one', 'a long line', 'three'])
    expect(writes).toHaveLength(1)
    area.draw(['one', 'short'])
    expect(writes).toHaveLength(2)
    expect(screenOf(`before\n${writes.join('')}`)).toEqual(['before', 'one', 'short', ''])
    // Nothing is wiped before its successor is there.
    expect(writes[1]!.startsWith('\r\u001b[3Aone')).toBe(true)
  })

  test('leaves nothing behind', () => {
    const { writes, area } = terminal()
    area.draw(['one', 'two'])
    area.clear()
    area.clear()
    expect(screenOf(`before\n${writes.join('')}after\n`)).toEqual(['before', 'after', ''])
  })

  test('is found again when the terminal has become narrower', () => {
    const { out, writes, area } = terminal()
    area.draw(['x'.repeat(30), 'y'])
    out.columns = 20
    area.draw(['z'])
    expect(writes[1]!.startsWith('\r\u001b[3A')).toBe(true)
  })
})
