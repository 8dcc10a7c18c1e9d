import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { collectRepos, repoOf } from '../support/jobs.js'
import {
  type Account,
  createAccount,
  createAccounts,
  deactivate,
  deleteAccount,
  putRecords,
  tombstone,
  updatePlcEndpoint,
} from '../support/network/accounts.js'
import type { TestPds } from '../support/network/pds.js'
import { type StandInPds, startStandInPds } from '../support/network/stand-in-pds.js'
import type { Backfill, TestService } from '../support/service.js'
import { eventually } from '../support/wait.js'
import { type RealWorld, recordsOf, startRealWorld, values } from './real-world.js'
import { expectRecords, finished, outcomes } from './support.js'

const STATUS = 'network.example.status'

const ATTEMPTS = 3

let real: RealWorld
let one: TestPds
let two: TestPds
let service: TestService
let backfill: Backfill
let run: RealWorld['run']
/** Between two tries of a repo, as a share of a minute. No chance, so that it is so every time. */
let patience = 0.001

beforeAll(async () => {
  const repo = { attempts: ATTEMPTS, firstDelayMs: 60_000, maxDelayMs: 60_000 }
  real = await startRealWorld({ retry: { repo }, random: () => patience })
  ;({ one, two, service, backfill, run } = real)
})

afterAll(async () => {
  await real?.[Symbol.asyncDispose]()
})

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
    // The other PDS has no proofs, which what was signed would need.
    const repos = accounts.map(({ did }) => did)
    const wish = { collections: [STATUS], repos, method: 'list-records' }
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
  // Fewer failures than park it: what comes of that has tests of its own.
  test('fails its repo after its attempts, and no other; up again in time, it fails none', async () => {
    const here = await createAccount(one, 'fred-here')
    const there = await createAccounts(two, ['fred-there'])
    for (const account of [here, ...there]) await putRecords(account, STATUS, values(2))
    const wish = { collections: [STATUS], repos: [here, ...there].map(({ did }) => did) }
    const expected = await recordsOf([here, ...there], STATUS)
    await two.stop()
    const job = await run(wish)
    expect(job).toMatchObject({ status: 'completed', completedRepos: 1, failedRepos: 1, resolvedRepos: 2 })
    expect(job.failures).toEqual([{ class: 'connection-failed', count: 1, retryable: true }])
    for (const { did } of there) {
      expect(await repoOf(backfill, job.id, did)).toMatchObject({
        attempts: ATTEMPTS,
        failure: { class: 'connection-failed', retryable: true },
      })
    }
    await expectRecords(
      { backfill, api: service },
      job.id,
      expected.filter(({ uri }) => uri.includes(here.did)),
    )

    // However long the PDS takes to come up again, the next try is not before.
    patience = 1
    const { data } = await backfill.createJob(wish)
    await eventually(
      () => collectRepos(backfill, data.id),
      (repos) => repos.filter(({ attempts }) => attempts > 0).length === 1,
    )
    await two.restart()
    patience = 0.001
    await service.service.store.pool.query(
      "update job_repo set retry_at = now() where retry_at > now() + interval '5 s'",
    )
    expect(await finished(backfill, data.id)).toMatchObject({ status: 'completed', completedRepos: 2 })
    await expectRecords({ backfill, api: service }, data.id, expected)
  })
})
