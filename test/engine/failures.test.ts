import type { LookupFunction } from 'node:net'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { collectRepos } from '../support/jobs.js'
import type { Plan } from '../support/network/stand-in-faults.js'
import type { StandInPds } from '../support/network/stand-in-pds.js'
import type { Backfill, TestService } from '../support/service.js'
import { CASES, change, changeFirst, LIST, swapCids } from './failure-cases.js'
import { expectCounters, expectRecords, finished, newDid, POST, StandIns } from './support.js'

let standIns: StandIns
let pds: StandInPds
let service: TestService
let backfill: Backfill

/** No name but loopback's exists, so that nothing is asked beyond this machine. */
const lookup: LookupFunction = (hostname, _options, callback) => {
  if (hostname === 'localhost') callback(null, [{ address: '127.0.0.1', family: 4 }])
  else callback(Object.assign(new Error(`getaddrinfo ENOTFOUND ${hostname}`), { code: 'ENOTFOUND' }), [])
}

beforeAll(async () => {
  standIns = await StandIns.start()
  pds = await standIns.pds()
  service = await standIns.service({
    environment: { BLOCKED_HOSTS: 'blocked.test' },
    overrides: {
      lookup,
      // Long enough for an honest answer on a busy machine.
      http: { headersTimeoutMs: 1_500, slowWindowMs: 1_500, slowBytesMin: 1_000 },
    },
  })
  backfill = service.as(standIns.caller)
})

afterAll(async () => {
  await service?.[Symbol.asyncDispose]()
  await standIns?.[Symbol.asyncDispose]()
})

describe('one job over many hosts, each of which fails one repo in its own way and serves another', () => {
  const dids = new Map<string, string>()
  const plans = new Map<string, Plan[]>()
  const hosts: StandInPds[] = []
  const good: string[] = []
  let ended: Awaited<ReturnType<typeof collectRepos>>
  let job: Awaited<ReturnType<typeof finished>>

  beforeAll(async () => {
    const have = (host: StandInPds, records: number, endpoint = host.url) => {
      const did = newDid()
      host.host(did, POST, records)
      standIns.directory.register(did, endpoint)
      return did
    }
    for (const [name, { records = 3, endpoint, faults }] of Object.entries(CASES)) {
      // One each: failures of several repos in a row would have their host parked.
      const host = await standIns.pds()
      hosts.push(host)
      good.push(have(host, 2))
      const did = have(host, records, endpoint)
      dids.set(name, did)
      const planned = (typeof faults === 'function' ? faults(did) : faults).map(([of, fault]) =>
        host.faults.plan(
          fault,
          (asked) => asked.did === did && (typeof of === 'string' ? asked.method === of : of(asked)),
        ),
      )
      plans.set(name, planned)
    }
    hosts.push(pds)
    good.push(have(pds, 120))
    const { data } = await backfill.createJob({ collections: [POST], repos: [...good, ...dids.values()] })
    job = await finished(backfill, data.id)
    ended = await collectRepos(backfill, job.id, 100)
  }, 60_000)

  test.each(Object.entries(CASES))('a host that %s', (name, { ends }) => {
    for (const plan of plans.get(name)!) expect(plan.fired).toBeGreaterThan(0)
    const repo = ended.find(({ did }) => did === dids.get(name))!
    const { status, reason, failure, attempts } = repo
    expect([[status, reason ?? failure?.class].filter(Boolean).join(' '), attempts]).toEqual(ends)
    expect(repo.receipt).toBeUndefined()
  })

  test('the others are completed, and the job with them', async () => {
    expect(job).toMatchObject({
      status: 'completed',
      completedRepos: good.length,
      totalRepos: good.length + dids.size,
    })
    const world = hosts.flatMap((host) => [...host.world.values()])
    const records = world.filter(({ uri }) => good.some((did) => uri.startsWith(`at://${did}/`)))
    await expectRecords({ backfill, api: service }, job.id, records)
    expect(job.failures!.reduce((sum, { count }) => sum + count, 0)).toBe(job.failedRepos)
  })
})

test('a job that asks for no proof takes a value without its CID, but nothing that is no CID', async () => {
  const [wrong, odd, good] = standIns.populate(pds, 3, 3) as [string, string, string]
  pds.faults.plan(
    change((body) => ({ ...body, records: swapCids(body.records) })),
    { method: LIST, did: wrong },
    1,
  )
  pds.faults.plan(
    changeFirst((record) => ({ ...record, cid: 'a\u0000b' })),
    { method: LIST, did: odd },
  )
  const { data } = await backfill.createJob({ collections: [POST], repos: [wrong, odd, good], level: 'none' })
  await finished(backfill, data.id)
  const repos = new Map((await collectRepos(backfill, data.id)).map((repo) => [repo.did, repo]))
  expect(repos.get(wrong)).toMatchObject({ status: 'completed', receipt: { level: 'none', totalRecords: 3 } })
  expect(repos.get(odd)).toMatchObject({ status: 'failed', failure: { class: 'bad-response' } })
  expect(repos.get(good)).toMatchObject({ status: 'completed', receipt: { level: 'content' } })
  await expectCounters(service)
})
