import { describe, expect, test } from 'vitest'
import {
  type BackfillClient,
  BackfillError,
  CallerNotFound,
  InvalidPermission,
  InvalidState,
  QuotaExceeded,
  RateLimitExceeded,
} from '../../src/client/index.js'
import {
  claimsOf,
  collect,
  jobView,
  ok,
  refuse,
  type Step,
  scriptedClient,
  startScripted,
} from './support.js'

const JOB = '3lbackfilljob'
const DID = 'did:web:feeds.example.com'
const CALLER = { did: DID, permissions: [{ name: 'read' }], quotas: {}, jobsOf: [], configured: false }

type Call = (client: BackfillClient) => Promise<unknown>

const pause: Call = (client) => client.pauseJob(JOB)
const resume: Call = (client) => client.resumeJob(JOB)
const cancel: Call = (client) => client.cancelJob(JOB)
const retry: Call = (client) => client.retryJob(JOB)
const forget: Call = (client) => client.deleteCaller(DID)

describe('each method', () => {
  const summary = { pdsEndpoints: [] }
  const cases: [method: string, call: Call, answer: unknown, input: unknown][] = [
    ['pauseJob', pause, jobView({ status: 'pausing' }), { job: JOB }],
    ['resumeJob', resume, jobView(), { job: JOB }],
    ['cancelJob', cancel, jobView({ status: 'cancelling' }), { job: JOB }],
    ['retryJob', retry, jobView(), { job: JOB }],
    [
      'retryJob',
      (client) => client.retryJob(JOB, { classes: ['repo-not-found'] }),
      jobView(),
      { job: JOB, classes: ['repo-not-found'] },
    ],
    [
      'refreshJob',
      (client) => client.refreshJob(JOB, { clientToken: 'one', name: 'again' }),
      jobView({ refreshes: JOB }),
      { job: JOB, clientToken: 'one', name: 'again' },
    ],
    ['purgeJob', (client) => client.purgeJob(JOB), jobView({ purge: 'purging' }), { job: JOB }],
    ['getPdsSummary', (client) => client.getPdsSummary(JOB), summary, null],
    ['deleteJobDetails', (client) => client.deleteJobDetails(JOB), { deletedRepos: 7 }, { job: JOB }],
    ['deleteAllJobDetails', (client) => client.deleteAllJobDetails(), { jobs: 2, deletedRepos: 7 }, null],
    [
      'putCaller',
      (client) => client.putCaller({ did: DID, permissions: ['read'] }),
      CALLER,
      { did: DID, permissions: ['read'] },
    ],
    ['listCallers', (client) => client.listCallers({ limit: 3 }), { callers: [CALLER] }, null],
  ]
  test.each(cases)('%s gives what the service answers', async (method, call, answer, input) => {
    await using service = await startScripted(ok(answer))
    expect(await call(await scriptedClient(service.url))).toEqual(answer)
    const [request] = service.requests as [(typeof service.requests)[0]]
    expect(request.url.pathname).toBe(`/xrpc/network.example.backfill.${method}`)
    expect(claimsOf(request).lxm).toBe(`network.example.backfill.${method}`)
    expect(request.body === '' ? null : JSON.parse(request.body)).toEqual(input)
  })

  test('deleteCaller gives nothing, allCallers all pages', async () => {
    await using service = await startScripted(
      ok({}),
      ok({ callers: [CALLER], cursor: DID }),
      ok({ callers: [CALLER] }),
    )
    const client = await scriptedClient(service.url)
    expect(await client.deleteCaller(DID)).toBeUndefined()
    expect(await collect(client.allCallers())).toEqual([CALLER, CALLER])
    expect(service.requests.map(({ url }) => url.search)).toEqual([
      '',
      '?limit=100',
      `?limit=100&cursor=${encodeURIComponent(DID)}`,
    ])
  })
})

describe('refusals', () => {
  const cases: [name: string, status: number, kind: typeof BackfillError, call: Call][] = [
    ['InvalidState', 400, InvalidState, pause],
    ['QuotaExceeded', 429, QuotaExceeded, retry],
    ['InvalidPermission', 400, InvalidPermission, (c) => c.putCaller({ did: DID, permissions: ['x'] })],
    ['CallerNotFound', 400, CallerNotFound, forget],
  ]
  test.each(cases)('%s has its class, and is final', async (name, status, kind, call) => {
    await using service = await startScripted(refuse(status, name, { 'retry-after': '1' }))
    const error = await call(await scriptedClient(service.url)).catch((thrown: unknown) => thrown)
    expect(error).toBeInstanceOf(kind)
    expect(error).not.toBeInstanceOf(RateLimitExceeded)
    expect(service.requests).toHaveLength(1)
  })
})

describe('a request whose answer was lost is not refused for having been carried out', () => {
  const lost: Step[] = [(response) => void response.destroy(), refuse(502, 'BadGateway')]
  const cases: [what: string, call: Call, status: string][] = [
    ['pausing', pause, 'pausing'],
    ['paused meanwhile', pause, 'paused'],
    ['resumed', resume, 'running'],
    ['resumed, and over', resume, 'completed'],
    ['cancelled', cancel, 'cancelled'],
    ['tried again', retry, 'running'],
    ['tried again, and over', retry, 'completed'],
  ]
  test.each(cases)('%s', async (_, call, status) => {
    for (const step of lost) {
      const view = jobView({ status })
      await using service = await startScripted(step, refuse(400, 'InvalidState'), ok(view))
      expect(await call(await scriptedClient(service.url))).toEqual(view)
      expect(service.requests.at(-1)!.url.pathname).toMatch(/getJobStatus$/)
    }
  })

  test.each([
    ['the job is elsewhere', [lost[0]!, refuse(400, 'InvalidState'), ok(jobView({ status: 'cancelled' }))]],
    ['it is the first request', [refuse(400, 'InvalidState'), ok(jobView())]],
    [
      'the first one was only told to wait',
      [refuse(429, 'RateLimitExceeded'), refuse(400, 'InvalidState'), ok(jobView())],
    ],
  ] as [string, Step[]][])('unless %s', async (_, steps) => {
    await using service = await startScripted(...steps)
    await expect(resume(await scriptedClient(service.url))).rejects.toBeInstanceOf(InvalidState)
  })

  test('a caller who is gone already was deleted by the first one', async () => {
    await using service = await startScripted(lost[1]!, refuse(400, 'CallerNotFound'))
    await forget(await scriptedClient(service.url))
    expect(service.requests).toHaveLength(2)
  })

  test('what else is wrong is told', async () => {
    await using service = await startScripted(lost[1]!, refuse(400, 'JobNotFound'))
    await expect(resume(await scriptedClient(service.url))).rejects.toBeInstanceOf(BackfillError)
  })
})
