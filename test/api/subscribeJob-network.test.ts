import { afterAll, beforeAll, expect, test } from 'vitest'
import { finished } from '../support/jobs.js'
import { type Account, createAccounts, putRecords } from '../support/network/accounts.js'
import { type Caller, createPlcCaller } from '../support/network/caller.js'
import { type Network, startNetwork } from '../support/network/network.js'
import { startTestService, type TestService } from '../support/service.js'
import { openStream } from './subscribeJob-support.js'

const STATUS = 'network.example.status'

let network: Network
let on: TestService
let caller: Caller
let accounts: readonly Account[]

beforeAll(async () => {
  network = await startNetwork({ pdsCount: 2 })
  caller = await createPlcCaller(network.plc)
  accounts = [
    ...(await createAccounts(network.pdses[0]!, ['ada-s', 'ben-s'])),
    ...(await createAccounts(network.pdses[1]!, ['cat-s'])),
  ]
  for (const account of accounts) await putRecords(account, STATUS, [{ n: 1 }, { n: 2 }])
  on = await startTestService({ network })
})

afterAll(async () => {
  await on?.[Symbol.asyncDispose]()
  await network?.[Symbol.asyncDispose]()
})

test('a job over real accounts is told from its beginning to its end, live and again afterwards', async () => {
  const backfill = on.as(caller)
  const { data: job } = await backfill.createJob({ collections: [STATUS] })
  await using live = await openStream(on, caller, { job: job.id, cursor: 0 })
  expect((await live.end()).code).toBe(1000)
  const ended = await finished(backfill, job.id)
  expect(ended.status).toBe('completed')
  await using replayed = await openStream(on, caller, { job: job.id, cursor: 0 })
  expect((await replayed.end()).code).toBe(1000)
  const known = network.pdses.map((pds) => pds.url)
  for (const stream of [live, replayed]) {
    const fetched = stream.of('#repoFetched')
    expect(fetched.map(({ did }) => did).sort()).toEqual(accounts.map(({ did }) => did).sort())
    for (const { recordsFetched, pdsEndpoint } of fetched) {
      expect(recordsFetched).toBe(2)
      expect(known).toContain(pdsEndpoint)
    }
    expect(stream.of('#jobCounters').at(-1)).toMatchObject({
      status: 'completed',
      totalRepos: 3,
      completedRepos: 3,
      totalRecords: 6,
    })
    expect(stream.messages.at(-1)).toMatchObject({ type: '#jobCompleted', status: 'completed' })
  }
  expect(replayed.lastSeq).toBe(live.lastSeq)
  await using snapshot = await openStream(on, caller, { job: job.id })
  expect((await snapshot.end()).code).toBe(1000)
  expect(snapshot.of('#jobSnapshot')).toMatchObject([{ view: JSON.parse(JSON.stringify(ended)) }])
})
