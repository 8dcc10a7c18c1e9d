import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { collectRecords, repoOf } from '../support/jobs.js'
import {
  type Account,
  createAccounts,
  deleteRecord,
  putRecord,
  putRecords,
  type StoredRecord,
} from '../support/network/accounts.js'
import type { TestPds } from '../support/network/pds.js'
import type { Backfill, TestService } from '../support/service.js'
import { type RealWorld, recordsOf, startRealWorld, values } from './real-world.js'
import { expectRecords } from './support.js'

const GRAPH_LIKE = 'network.example.graph.like'
const GRAPH_FOLLOW = 'network.example.graph.follow'
const GRAPHIC = 'network.example.graphic.picture'
const STATUS = 'network.example.status'

let real: RealWorld
let one: TestPds
let two: TestPds
let service: TestService
let backfill: Backfill
let run: RealWorld['run']

beforeAll(async () => {
  real = await startRealWorld()
  ;({ one, two, service, backfill, run } = real)
})

afterAll(async () => {
  await real?.[Symbol.asyncDispose]()
})

const rkeyOf = ({ uri }: StoredRecord) => uri.slice(uri.lastIndexOf('/') + 1)

describe('what a job covers', () => {
  let alice: Account
  let bob: Account

  beforeAll(async () => {
    ;[alice, bob] = (await createAccounts(one, ['alice-1', 'bob-1'])) as [Account, Account]
    await putRecords(alice, GRAPH_LIKE, values(3))
    await putRecords(alice, GRAPH_FOLLOW, values(2))
    await putRecords(alice, GRAPHIC, values(1))
    await putRecords(alice, STATUS, values(2))
    await putRecords(bob, GRAPHIC, values(1))
  })

  test('a prefix: whole segments only; a handle stands for its account', async () => {
    const job = await run({ collections: ['network.example.graph.*'], repos: [alice.handle, bob.did] })
    expect(job).toMatchObject({ status: 'completed', completedRepos: 2, totalRepos: 2, totalRecords: 5 })
    await expectRecords(
      { backfill, api: service },
      job.id,
      await recordsOf([alice], GRAPH_LIKE, GRAPH_FOLLOW),
    )
    expect((await repoOf(backfill, job.id, alice.did)).receipt?.counts).toEqual([
      { collection: GRAPH_FOLLOW, count: 2 },
      { collection: GRAPH_LIKE, count: 3 },
    ])
    expect((await repoOf(backfill, job.id, bob.did)).receipt).toMatchObject({ totalRecords: 0, counts: [] })
  })

  test('no collections: every one there is', async () => {
    const job = await run({ repos: [alice.did, bob.did] })
    const expected = [
      ...(await recordsOf([alice], GRAPH_LIKE, GRAPH_FOLLOW, GRAPHIC, STATUS)),
      ...(await recordsOf([bob], GRAPHIC)),
    ]
    expect(job).toMatchObject({ status: 'completed', totalRecords: expected.length })
    await expectRecords({ backfill, api: service }, job.id, expected)
  })

  test('several collections, named in any order, of which some are not there', async () => {
    const job = await run({
      collections: [STATUS, 'network.example.nothing', GRAPHIC],
      repos: [alice.did, bob.handle],
    })
    const expected = [...(await recordsOf([alice], GRAPHIC, STATUS)), ...(await recordsOf([bob], GRAPHIC))]
    await expectRecords({ backfill, api: service }, job.id, expected)
    const only = await collectRecords(backfill, { job: job.id, collection: GRAPHIC, limit: 1 })
    const uris = expected.map(({ uri }) => uri).filter((uri) => uri.includes(GRAPHIC))
    expect(only.map(({ uri }) => uri).sort()).toEqual(uris.sort())
  })
})

describe('a scope that is asked for again', () => {
  test('gives the same records from the same rows', async () => {
    const accounts = await createAccounts(one, ['carol-1', 'carol-2', 'carol-3'])
    for (const account of accounts) await putRecords(account, STATUS, values(4))
    const wish = { collections: [STATUS], repos: accounts.map(({ did }) => did) }
    const first = await run(wish)
    const rows = async () =>
      (
        await service.service.store.pool.query(
          'select repo, collection, rkey, cid, xmin from record order by 1, 2, 3',
        )
      ).rows
    const before = await rows()
    const second = await run(wish)
    expect(second).toMatchObject({ status: 'completed', totalRecords: 12 })
    const expected = await recordsOf(accounts, STATUS)
    await expectRecords({ backfill, api: service }, first.id, expected)
    await expectRecords({ backfill, api: service }, second.id, expected)
    expect(await rows()).toEqual(before)
  })

  /** How a repo may differ when it is read again: its records before, and what happens to them. */
  const CHANGES: Record<
    string,
    { before: number; change: (account: Account, had: StoredRecord[]) => Promise<unknown> }
  > = {
    'one page, a record changed, one deleted, one added': {
      before: 5,
      change: async (account, had) => {
        await putRecord(account, STATUS, rkeyOf(had[1]!), { n: 'changed' })
        await deleteRecord(account, STATUS, rkeyOf(had[3]!))
        await putRecords(account, STATUS, [{ n: 'new' }])
      },
    },
    'several pages, the same': {
      before: 230,
      change: async (account, had) => {
        await putRecord(account, STATUS, rkeyOf(had[1]!), { n: 'changed' })
        await deleteRecord(account, STATUS, rkeyOf(had[150]!))
        await deleteRecord(account, STATUS, rkeyOf(had[0]!))
        await putRecords(account, STATUS, [{ n: 'new' }])
      },
    },
    'several pages shrunk to one': {
      before: 210,
      change: async (account, had) => {
        const writes = had.slice(5).map((record) => ({
          $type: 'com.atproto.repo.applyWrites#delete' as const,
          collection: STATUS,
          rkey: rkeyOf(record),
        }))
        for (const batch of [writes.slice(0, 110), writes.slice(110)]) {
          await account.agent.com.atproto.repo.applyWrites({ repo: account.did, writes: batch })
        }
      },
    },
    'one page grown to several': {
      before: 3,
      change: (account) => putRecords(account, STATUS, values(120, 3)),
    },
    'all records gone': {
      before: 2,
      change: (account, had) =>
        had.reduce(
          (done, record) => done.then(() => deleteRecord(account, STATUS, rkeyOf(record))),
          Promise.resolve(),
        ),
    },
  }

  test('gives what is there by then, and tombstones of what is not', async () => {
    const names = Object.keys(CHANGES).map((_, index) => `dora-${index}`)
    const accounts = await createAccounts(two, names)
    const changes = Object.values(CHANGES)
    const had = await Promise.all(
      accounts.map((account, at) => putRecords(account, STATUS, values(changes[at]!.before))),
    )
    const wish = { collections: [STATUS], repos: accounts.map(({ did }) => did) }
    const first = await run(wish)
    await expectRecords({ backfill, api: service }, first.id, had.flat())

    await Promise.all(accounts.map((account, at) => changes[at]!.change(account, had[at]!)))
    // By its name and by a prefix, which asks for the collections first: both find the same.
    const second = await run({ ...wish, collections: ['network.example.*'] })
    const third = await run(wish)
    const expected = await recordsOf(accounts, STATUS)
    for (const job of [second, third]) {
      expect(job).toMatchObject({
        status: 'completed',
        completedRepos: accounts.length,
        totalRecords: expected.length,
      })
      await expectRecords({ backfill, api: service }, job.id, expected)
    }
    const { rows } = await service.service.store.pool.query<{ uri: string }>(
      `select 'at://' || repo.did || '/' || collection.nsid || '/' || rkey as uri
       from record join repo on repo.id = record.repo join collection on collection.id = record.collection
       where cid is null and value is null and rev is not null`,
    )
    const present = new Set(expected.map(({ uri }) => uri))
    const gone = had
      .flat()
      .map(({ uri }) => uri)
      .filter((uri) => !present.has(uri))
    expect(rows.map(({ uri }) => uri).sort()).toEqual(gone.sort())
  })

  test('twice at once gives both the same, each record once', async () => {
    const accounts = await createAccounts(two, ['erin-1', 'erin-2', 'erin-3', 'erin-4'])
    for (const account of accounts) await putRecords(account, STATUS, values(105))
    const repos = accounts.map(({ did }) => did)
    const jobs = await Promise.all([
      run({ collections: [STATUS], repos }),
      run({ collections: ['network.example.*'], repos: repos.toReversed() }),
      run({ repos }),
    ])
    const expected = await recordsOf(accounts, STATUS)
    for (const job of jobs) {
      expect(job).toMatchObject({ status: 'completed', completedRepos: 4, totalRecords: expected.length })
      await expectRecords({ backfill, api: service }, job.id, expected)
    }
  })
})
