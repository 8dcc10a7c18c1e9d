import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { collectRepos, repoOf } from '../support/jobs.js'
import {
  type Account,
  createAccount,
  createAccounts,
  deactivate,
  deleteAccount,
  putRecords,
  type StoredRecord,
  tombstone,
  updatePlcEndpoint,
} from '../support/network/accounts.js'
import { createPlcCaller } from '../support/network/caller.js'
import { type Network, startNetwork } from '../support/network/network.js'
import type { TestPds } from '../support/network/pds.js'
import { type StandInPds, startStandInPds } from '../support/network/stand-in-pds.js'
import { type Backfill, startTestService, type TestService } from '../support/service.js'
import { eventually } from '../support/wait.js'
import { expectRecords, finished, outcomes, SWEEP_EVERY_MS } from './support.js'

const _GRAPH_LIKE = 'network.example.graph.like'
const _GRAPH_FOLLOW = 'network.example.graph.follow'
const _GRAPHIC = 'network.example.graphic.picture'
const STATUS = 'network.example.status'

let network: Network
let one: TestPds
let two: TestPds
let service: TestService
let backfill: Backfill

beforeAll(async () => {
  network = await startNetwork({ pdsCount: 2 })
  ;[one, two] = network.pdses as [TestPds, TestPds]
  service = await startTestService({ network, overrides: { sweepEveryMs: SWEEP_EVERY_MS } })
  backfill = service.as(await createPlcCaller(network.plc))
})

afterAll(async () => {
  await service?.[Symbol.asyncDispose]()
  await network?.[Symbol.asyncDispose]()
})

type Wish = Parameters<Backfill['createJob']>[0]

const run = async (wish: Wish) => finished(backfill, (await backfill.createJob(wish)).data.id)
const values = (count: number, from = 0) => Array.from({ length: count }, (_, n) => ({ n: n + from }))
const _rkeyOf = ({ uri }: StoredRecord) => uri.slice(uri.lastIndexOf('/') + 1)

/** What a PDS has of an account now, whatever we think it has. */
async function world(account: Account, ...collections: string[]): Promise<StoredRecord[]> {
  const found: StoredRecord[] = []
  for (const collection of collections) {
    let cursor: string | undefined
    do {
      const { data } = await account.pds.agent.com.atproto.repo.listRecords({
        repo: account.did,
        collection,
        limit: 100,
        cursor,
      })
      found.push(...(data.records as StoredRecord[]))
      cursor = data.cursor
    } while (cursor)
  }
  return found
}

describe('where an account is', () => {
  let elsewhere: StandInPds

  beforeAll(async () => {
    elsewhere = await startStandInPds()
  })

  afterAll(async () => {
    await elsewhere?.[Symbol.asyncDispose]()
  })

  test('is looked up again when the PDS at hand has forgotten it, or says it is gone', async () => {
    const names = ['moved-forgotten', 'moved-inactive', 'moved-and-lost', 'only-inactive']
    const [forgotten, inactive, lost, stays] = (await createAccounts(one, names)) as [
      Account,
      Account,
      Account,
      Account,
    ]
    const accounts = [forgotten, inactive, lost, stays]
    for (const account of accounts) await putRecords(account, STATUS, values(2))
    const wish = { collections: [STATUS], repos: accounts.map(({ did }) => did) }
    expect(await run(wish)).toMatchObject({ status: 'completed', completedRepos: 4 })

    // The documents at hand name the PDS they were at.
    await deleteAccount(forgotten)
    await deactivate(inactive)
    await deleteAccount(lost)
    await deactivate(stays)
    elsewhere.host(forgotten.did, STATUS, 3)
    elsewhere.host(inactive.did, STATUS, 120)
    for (const account of [forgotten, inactive, lost]) await updatePlcEndpoint(account, elsewhere.url)

    const job = await run(wish)
    expect(Object.fromEntries(await outcomes(backfill, job.id))).toEqual({
      [forgotten.did]: 'completed',
      [inactive.did]: 'completed',
      [lost.did]: 'failed repo-not-found',
      [stays.did]: 'unavailable deactivated',
    })
    expect((await repoOf(backfill, job.id, forgotten.did)).pdsEndpoint).toBe(elsewhere.url)
    await expectRecords({ backfill, api: service }, job.id, elsewhere.world.values())
  })

  test('nowhere: deleted, never heard of, or its DID ended', async () => {
    const [deleted, ended] = (await createAccounts(two, ['deleted-1', 'ended-1'])) as [Account, Account]
    await deleteAccount(deleted)
    await tombstone(ended)
    const unknown = 'did:plc:aaaaaaaaaaaaaaaaaaaaaaaa'
    const job = await run({ collections: [STATUS], repos: [deleted.did, ended.did, unknown] })
    expect(Object.fromEntries(await outcomes(backfill, job.id))).toEqual({
      [deleted.did]: 'failed repo-not-found',
      // This directory does not tell the two apart.
      [ended.did]: 'failed did-not-found',
      [unknown]: 'failed did-not-found',
    })
    expect(job).toMatchObject({ status: 'completed', failedRepos: 3 })
    expect(job.failures).toEqual([
      { class: 'did-not-found', count: 2, retryable: false },
      { class: 'repo-not-found', count: 1, retryable: false },
    ])
  })
})

describe('a PDS that is down', () => {
  test('fails its repos after their attempts, and no other; up again in time, it fails none', async () => {
    const here = await createAccount(one, 'fred-here')
    const there = await createAccounts(two, ['fred-there-1', 'fred-there-2'])
    for (const account of [here, ...there]) await putRecords(account, STATUS, values(2))
    const wish = { collections: [STATUS], repos: [here, ...there].map(({ did }) => did) }
    const expected = (await Promise.all([here, ...there].map((account) => world(account, STATUS)))).flat()
    await two.stop()
    const job = await run(wish)
    expect(job).toMatchObject({ status: 'completed', completedRepos: 1, failedRepos: 2, resolvedRepos: 3 })
    expect(job.failures).toEqual([{ class: 'connection-failed', count: 2, retryable: true }])
    for (const { did } of there) {
      expect(await repoOf(backfill, job.id, did)).toMatchObject({
        attempts: 3,
        failure: { class: 'connection-failed', retryable: true },
      })
    }
    await expectRecords(
      { backfill, api: service },
      job.id,
      expected.filter(({ uri }) => uri.includes(here.did)),
    )

    const { data } = await backfill.createJob(wish)
    await eventually(
      () => collectRepos(backfill, data.id),
      (repos) => repos.filter(({ attempts }) => attempts > 0).length === 2,
    )
    await two.restart()
    expect(await finished(backfill, data.id)).toMatchObject({ status: 'completed', completedRepos: 3 })
    await expectRecords({ backfill, api: service }, data.id, expected)
  })
})
