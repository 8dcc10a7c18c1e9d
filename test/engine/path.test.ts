import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { collectRecords, finished, repoOf } from '../support/jobs.js'
import {
  type Account,
  createAccount,
  createAccounts,
  createDidWebAccount,
  deactivate,
  putRecords,
  type StoredRecord,
  takeDown,
  type WebAccount,
} from '../support/network/accounts.js'
import { type Caller, createPlcCaller } from '../support/network/caller.js'
import { type Network, startNetwork } from '../support/network/network.js'
import { type Backfill, startTestService, type TestService } from '../support/service.js'

const STATUS = 'network.example.status'
const LIKE = 'network.example.graph.like'
const FOLLOW = 'network.example.graph.follow'

describe('a whole backfill on real PDSs, a real directory and a real Postgres', () => {
  let network: Network
  let testService: TestService
  let caller: Caller
  let backfill: Backfill
  let crowd: Account[]
  let big: Account
  let empty: Account
  let web: WebAccount
  let gone: Account
  let down: Account
  /** Every record of each collection that a backfill must bring, by URI. */
  const world = new Map<string, StoredRecord>()

  const put = async (account: Account, collection: string, values: object[]) => {
    const records = await putRecords(account, collection, values as Record<string, unknown>[])
    for (const record of records) world.set(record.uri, record)
    return records
  }

  beforeAll(async () => {
    network = await startNetwork({ pdsCount: 2, relayPageSize: 7 })
    const [one, two] = network.pdses as [Network['pdses'][0], Network['pdses'][0]]
    crowd = [
      ...(await createAccounts(
        one,
        Array.from({ length: 11 }, (_, index) => `one${index}`),
      )),
      ...(await createAccounts(
        two,
        Array.from({ length: 11 }, (_, index) => `two${index}`),
      )),
    ]
    for (const [index, account] of crowd.entries()) {
      await put(
        account,
        STATUS,
        Array.from({ length: 1 + (index % 5) }, (_, n) => ({ status: `👍 ${n}`, n })),
      )
    }
    big = await createAccount(one, 'collector')
    await put(
      big,
      STATUS,
      Array.from({ length: 1_001 }, (_, n) => ({ status: 'a\u0000b 😀', n })),
    )
    empty = await createAccount(two, 'nothing')
    web = await createDidWebAccount(two, 'webster')
    await put(web, STATUS, [{ status: 'from the web' }])
    await put(web, LIKE, [
      { subject: { $link: 'bafyreidfayvfuwqa7qlnopdjiqrxzs6blmoeu4rujcjtnci5beludirz2a' } },
    ])
    await put(web, FOLLOW, [{ bytes: { $bytes: 'AAEC' } }, { z: 1, a: { y: 2, b: [null, true] } }])
    gone = await createAccount(one, 'leaver')
    await putRecords(gone, STATUS, [{ status: 'still here' }])
    down = await createAccount(two, 'rogue')
    await putRecords(down, STATUS, [{ status: 'not for you' }])
    // The relay has seen them all, and does not notice what becomes of them.
    await network.relay.crawl()
    network.relay.add(empty.did, [STATUS])
    await deactivate(gone)
    await takeDown(two, down.did)
    testService = await startTestService({ network })
    caller = await createPlcCaller(network.plc)
    backfill = testService.as(caller)
  })

  afterAll(async () => {
    await testService?.[Symbol.asyncDispose]()
    await web?.[Symbol.asyncDispose]()
    await network?.[Symbol.asyncDispose]()
  })

  test('discovers, resolves and fetches every record, and says of every repo what became of it', async () => {
    const { data: created } = await backfill.createJob({ collections: [STATUS], name: 'statuses' })
    expect(created).toMatchObject({
      caller: caller.did,
      status: 'running',
      name: 'statuses',
      collections: [STATUS],
    })
    const job = await finished(backfill, created.id)
    expect(job).toMatchObject({
      status: 'completed',
      stage: 'completed',
      discoveryComplete: true,
      totalRepos: 27,
      completedRepos: 25,
      unavailableRepos: 2,
      failedRepos: 0,
      processedRepos: 27,
      failures: [],
    })
    const expected = [...world.values()].filter(({ uri }) => uri.includes(STATUS))
    expect(job.totalRecords).toBe(expected.length)
    const records = await collectRecords(backfill, { job: job.id, limit: 100 })
    expect(new Map(records.map((record) => [record.uri, record]))).toEqual(
      new Map(expected.map((record) => [record.uri, record])),
    )
    expect(records).toHaveLength(expected.length)

    expect(await repoOf(backfill, job.id, gone.did)).toMatchObject({
      status: 'unavailable',
      reason: 'deactivated',
    })
    expect(await repoOf(backfill, job.id, down.did)).toMatchObject({
      status: 'unavailable',
      reason: 'takendown',
    })
    const bigRepo = await repoOf(backfill, job.id, big.did)
    expect(bigRepo).toMatchObject({
      status: 'completed',
      recordsFetched: 1_001,
      pdsEndpoint: network.pdses[0]!.url,
    })
    expect(bigRepo.receipt).toMatchObject({
      totalRecords: 1_001,
      level: 'signed',
      method: 'get-repo',
      counts: [{ collection: STATUS, count: 1_001 }],
    })
    expect(bigRepo.receipt?.dataCid).toMatch(/^bafyrei/)
    expect(bigRepo.receipt?.rev).toMatch(/^[a-z2-7]{13}$/)
    expect(await repoOf(backfill, job.id, empty.did)).toMatchObject({
      status: 'completed',
      recordsFetched: 0,
      receipt: { totalRecords: 0, counts: [] },
    })
    expect(await repoOf(backfill, job.id, web.did)).toMatchObject({ status: 'completed', handle: web.handle })
  })
})
