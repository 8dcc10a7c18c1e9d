import { describe, expect, test } from 'vitest'
import { formatPrivateKey, generateKey } from '../../src/client/index.js'
import {
  completed,
  frame,
  JOB,
  type Play,
  type StreamingService,
  sending,
  startAnswering,
  whileOpen,
} from '../client/stream-support.js'
import { jobView } from '../client/support.js'
import { eventually } from '../support/wait.js'
import { CTRL_C, screenOf, start, startOnTerminal } from './support.js'

const KEY = await formatPrivateKey(await generateKey())
const DESCRIPTION = {
  did: 'did:web:service.example.com',
  version: '1.0.0',
  relays: [],
  limits: { maxCollections: 1, maxRepos: 1, maxInputBytes: 1 },
  endpoints: [],
  methods: [],
  levels: [],
}
const COOLING = {
  pdsEndpoint: 'https://slow.pds.example',
  totalRepos: 30,
  completedRepos: 10,
  failedRepos: 0,
  unavailableRepos: 0,
  totalRecords: 70,
  state: 'cooling',
  resumesAt: new Date(Date.now() + 1_800_000).toISOString(),
}
const RUNNING = { stage: 'resolving-and-fetching', discoveryComplete: true, totalRepos: 40 }
const DONE = { processedRepos: 40, completedRepos: 40, totalRecords: 90, completedAt: '2030-01-01T00:00:00Z' }
const ENDED = jobView({ ...RUNNING, ...DONE, status: 'completed', stage: 'completed' })

const counters = (seq: number, parts: Record<string, unknown> = {}) =>
  frame('jobCounters', {
    seq,
    status: 'running',
    ...RUNNING,
    resolvedRepos: 40,
    processedRepos: 10,
    completedRepos: 8,
    unavailableRepos: 0,
    failedRepos: 2,
    totalRecords: 60,
    failures: [{ class: 'timeout', count: 2, retryable: true }],
    ...parts,
  })

/** A service with one job, which has ended as soon as a stream says so. */
async function startService(...plays: readonly Play[]): Promise<StreamingService> {
  let looks = 0
  return startAnswering(
    {
      describeService: () => DESCRIPTION,
      getJobStatus: () => (looks++ === 0 ? jobView(RUNNING) : ENDED),
      getPdsSummary: () => ({ pdsEndpoints: [COOLING] }),
    },
    ...plays,
  )
}

const environmentOf = ({ url }: StreamingService) => ({
  AQUIFER_SERVICE: url,
  AQUIFER_DID: 'did:web:caller.example.com',
  AQUIFER_KEY: KEY,
})

/** Without what a slow machine sees more of: another line of progress comes with every five seconds. */
const upToFirstLine = (stderr: string) => stderr.replace(/(?<=^\d+% .*\n)((\d+% |No connection ).*\n)+/, '')

const SUMMARY = `Done.
  40 of 40 repos completed, 90 records
The records: aquifer records ${JOB} -o records.jsonl
`

// Most of their time they wait, each for a service of its own.
describe.concurrent('jobs watch', () => {
  test('draws the job, what failed and its hosts on a terminal, and leaves only what came of it', async () => {
    const more = Promise.withResolvers<void>()
    await using service = await startService(async function* () {
      yield counters(1)
      await more.promise
      yield completed(2)
    })
    const running = startOnTerminal(['jobs', 'watch', JOB], { env: environmentOf(service), columns: 90 })
    const screen = await eventually(
      () => screenOf(running.stdout),
      (lines) => lines.includes('failed      2 timeout') && / cooling \d+ min/.test(lines.join()),
      60_000,
    )
    expect(screen).toContain(`resolved    [${'#'.repeat(40)}]  40/40`)
    expect(screen).toContain(`fetched     [${'#'.repeat(8)}xx${'-'.repeat(30)}]  8/40  60 records`)
    expect(screen.find((line) => line.startsWith('slow.pds.example'))).toMatch(/ 30 .* cooling /)
    more.resolve()
    const { code, stdout } = await running.ended
    expect(code).toBe(0)
    expect(screenOf(stdout).join('\n')).toBe(SUMMARY)
  })

  test('says on a terminal that the job is paused', async () => {
    await using service = await startService(async function* (connection) {
      yield counters(1, { status: 'paused' })
      await whileOpen(connection)
    })
    const running = startOnTerminal(['jobs', 'watch', JOB], { env: environmentOf(service) })
    await running.until(`paused  25%  goes on with: aquifer jobs resume ${JOB}`)
    running.type(CTRL_C)
    const { code, stdout } = await running.ended
    expect(code).toBe(130)
    expect(screenOf(stdout)).toEqual([
      `The job goes on without you. Come back to it with: aquifer jobs watch ${JOB}`,
      '',
    ])
  })

  test('prints plain lines in a pipe, and goes on after a lost connection', async () => {
    await using service = await startService(sending(counters(1), 1012), sending(counters(2), completed(3)))
    const { code, stdout, stderr } = await start(['jobs', 'watch', JOB], { env: environmentOf(service) })
      .ended
    expect({ code, stdout }).toEqual({ code: 0, stdout: '' })
    expect(upToFirstLine(stderr)).toBe(`0%  0/40 repos  0 records\n${SUMMARY}`)
    expect(service.arrivals.map(({ url }) => url.searchParams.get('cursor'))).toEqual([null, '1'])
  })

  test('says so when the connection is lost for longer', async () => {
    const told = /No connection to the service for \d+ s; it is tried again\.\n/g
    await using service = await startService(sending(counters(1), 1012), async function* () {
      // Away until that is told.
      if (running.stderr.search(told) < 0) yield 1012
      yield completed(2)
    })
    const running = start(['jobs', 'watch', JOB], { env: environmentOf(service) })
    const { code, stderr } = await running.ended
    expect(code).toBe(0)
    expect(stderr.match(told)).toHaveLength(1)
    expect(stderr.endsWith(SUMMARY)).toBe(true)
  })

  test('asks again and again where there are no streams', async () => {
    let looks = 0
    await using service = await startAnswering({
      describeService: () => DESCRIPTION,
      getJobStatus: () => (looks++ < 3 ? jobView(RUNNING) : ENDED),
    })
    // An older service answers the request for a stream like any other that it does not know.
    const { code, stderr } = await start(['jobs', 'watch', JOB], { env: environmentOf(service) }).ended
    expect(code).toBe(0)
    expect(upToFirstLine(stderr)).toBe(`0%  0/40 repos  0 records\n${SUMMARY}`)
    expect(looks).toBe(4)
  })

  test('of a job that has ended tells what came of it at once', async () => {
    await using service = await startAnswering({
      describeService: () => DESCRIPTION,
      getJobStatus: () => ENDED,
    })
    const args = ['jobs', 'watch', JOB, '--json']
    const { code, stdout, stderr } = await start(args, { env: environmentOf(service) }).ended
    expect({ code, stderr }).toEqual({ code: 0, stderr: SUMMARY })
    expect(JSON.parse(stdout)).toEqual(ENDED)
  })
})
