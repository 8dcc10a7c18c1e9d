import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { createDatabase, type TestDatabase } from '../support/database.js'
import { didOf } from '../support/fixtures.js'
import { type Caller, createPlcCaller } from '../support/network/caller.js'
import { type Backfill, startTestService, type TestService } from '../support/service.js'
import {
  callRaw,
  type Directory,
  invalidRequest,
  readPages,
  refusal,
  refusedWith,
  startDirectory,
} from './support.js'

/** Who may call, as admins say it: over HTTP, on two processes that share a database. */

const INPUT = { collections: ['network.example.status'] }
const NOT_PERMITTED = { status: 403, error: 'NotPermitted' }

let network: Directory
let database: TestDatabase
let service: TestService
/** Another process on the same database, which lets in everybody. */
let open: TestService
let root: Caller
let listed: Caller
let admin: Backfill

beforeAll(async () => {
  network = await startDirectory()
  database = await createDatabase()
  root = await createPlcCaller(network.plc)
  listed = await createPlcCaller(network.plc)
  const named = { BACKFILL_ADMINS: root.did, BACKFILL_ALLOW: listed.did }
  const start = (access: string) =>
    startTestService({ network, database, engine: false, environment: { ...named, BACKFILL_ACCESS: access } })
  service = await start('allowlist')
  open = await start('open')
  admin = service.as(root)
})

afterAll(async () => {
  await open?.[Symbol.asyncDispose]()
  await service?.[Symbol.asyncDispose]()
  await database?.[Symbol.asyncDispose]()
  await network?.[Symbol.asyncDispose]()
})

const stranger = () => createPlcCaller(network.plc)

/** What a caller may do, found out by doing it. */
async function abilities(on: TestService, caller: Caller): Promise<string[]> {
  const backfill = on.as(caller)
  const tries = {
    read: () => backfill.listJobs({}),
    create: () => backfill.createJob(INPUT),
    admin: () => backfill.listCallers({}),
  }
  const able: string[] = []
  for (const [name, attempt] of Object.entries(tries)) {
    const refused = await attempt().then(
      () => null,
      (error: { status: number; error: string }) => ({ status: error.status, error: error.error }),
    )
    if (refused === null) able.push(name)
    else expect(refused).toEqual(NOT_PERMITTED)
  }
  return able
}

describe('what a caller may do', () => {
  test.each([
    { permissions: [], able: [] },
    { permissions: ['read'], able: ['read'] },
    { permissions: ['create'], able: ['create'] },
    { permissions: ['create', 'read'], able: ['read', 'create'] },
    { permissions: ['admin'], able: ['read', 'create', 'admin'] },
  ])(
    'is what putCaller says, in every process from the next request on: $permissions',
    async ({ permissions, able }) => {
      const caller = await stranger()
      expect(await abilities(service, caller)).toEqual([])
      expect(await abilities(open, caller)).toEqual(['read', 'create'])
      const { data } = await admin.putCaller({ did: caller.did, permissions })
      expect(data.permissions).toEqual(able.map((name) => ({ name })))
      for (const each of [service, open]) expect(await abilities(each, caller)).toEqual(able)
      await admin.deleteCaller({ did: caller.did })
      expect(await abilities(service, caller)).toEqual([])
      expect(await abilities(open, caller)).toEqual(['read', 'create'])
    },
  )

  test('is taken from one that the settings allow, and comes back', async () => {
    expect(await abilities(service, listed)).toEqual(['read', 'create'])
    await admin.putCaller({ did: listed.did, permissions: [] })
    for (const each of [service, open]) expect(await abilities(each, listed)).toEqual([])
    await admin.deleteCaller({ did: listed.did })
    expect(await abilities(service, listed)).toEqual(['read', 'create'])
  })

  test('is everything for the admins of the settings, whatever is said of them', async () => {
    const { data } = await admin.putCaller({ did: root.did, permissions: [] })
    expect(data).toMatchObject({
      configured: true,
      permissions: [{ name: 'read' }, { name: 'create' }, { name: 'admin' }],
    })
    expect(await abilities(service, root)).toEqual(['read', 'create', 'admin'])
    await admin.deleteCaller({ did: root.did })
  })

  test('is an admin’s to say, one that was made so included', async () => {
    const [made, other] = [await stranger(), await stranger()]
    await admin.putCaller({ did: made.did, permissions: ['admin'] })
    await service.as(made).putCaller({ did: other.did, permissions: ['read'] })
    expect(await abilities(service, other)).toEqual(['read'])
    // Its own too.
    await service.as(made).putCaller({ did: made.did, permissions: ['read', 'create'] })
    const lost = service.as(made)
    const again = lost.putCaller({ did: made.did, permissions: ['admin'] })
    await expect(again).rejects.toMatchObject(NOT_PERMITTED)
    await expect(lost.deleteCaller({ did: other.did })).rejects.toMatchObject(NOT_PERMITTED)
    expect(await abilities(service, other)).toEqual(['read'])
  })

  test.each(['read', 'create'])(
    'does not include anything about callers for one that may %s',
    async (name) => {
      const caller = await stranger()
      await admin.putCaller({ did: caller.did, permissions: [name] })
      const backfill = service.as(caller)
      for (const call of [
        () => backfill.putCaller({ did: caller.did, permissions: ['admin'] }),
        () => backfill.deleteCaller({ did: caller.did }),
        () => backfill.listCallers({}),
      ]) {
        expect(await refusal(call())).toMatchObject({
          ...NOT_PERMITTED,
          message: expect.stringContaining('"admin"'),
        })
      }
      expect(await abilities(service, caller)).toEqual([name])
    },
  )
})

describe('putCaller', () => {
  test('gives the caller as it is now, defaults of its quotas included', async () => {
    const [{ did }, other] = [await stranger(), didOf(7)]
    const { data: first } = await admin.putCaller({
      did,
      permissions: ['create', 'read', 'create'],
      quotas: { runningJobs: 0, reposPerJob: 500, streams: 3 },
      jobsOf: [other, listed.did, other],
    })
    expect(first).toEqual({
      did,
      permissions: [{ name: 'read' }, { name: 'create' }],
      quotas: { runningJobs: 0, reposPerJob: 500, requestsPerMinute: 3_000, streams: 3 },
      jobsOf: [{ did: other }, { did: listed.did }],
      configured: false,
      createdAt: expect.any(String),
      updatedAt: first.createdAt,
    })
    // Whatever the next one leaves out is not kept.
    const { data: second } = await admin.putCaller({ did, permissions: ['read'] })
    expect(second).toEqual({
      did,
      permissions: [{ name: 'read' }],
      quotas: { runningJobs: 20, requestsPerMinute: 3_000, streams: 40 },
      jobsOf: [],
      configured: false,
      createdAt: first.createdAt,
      updatedAt: expect.any(String),
    })
    expect(Date.parse(second.updatedAt!)).toBeGreaterThan(Date.parse(first.updatedAt!))
  })

  test('gives an admin no quotas but those that it sets', async () => {
    const { did } = await stranger()
    const put = async (quotas: { requestsPerMinute?: number }) =>
      (await admin.putCaller({ did, permissions: ['admin'], quotas })).data.quotas
    expect(await put({})).toEqual({})
    expect(await put({ requestsPerMinute: 90 })).toEqual({ requestsPerMinute: 90 })
  })

  test('refuses permissions that there are not, and names them', async () => {
    const { did } = await stranger()
    const put = admin.putCaller({ did, permissions: ['read', 'write', 'Admin', 'write'] })
    expect(await refusal(put)).toEqual(
      refusedWith('InvalidPermission', '"write", "Admin":', 'read, create, admin'),
    )
    expect(await refusal(admin.deleteCaller({ did }))).toEqual(refusedWith('CallerNotFound'))
  })

  test.each([
    ['no DID', 'did', { permissions: [] }],
    ['a handle for a DID', 'did', { did: 'alice.example', permissions: [] }],
    ['no permissions', 'permissions', { did: didOf(1) }],
    ['too many permissions', 'permissions', { did: didOf(1), permissions: Array(11).fill('read') }],
    ['a quota below nothing', 'runningJobs', { did: didOf(1), permissions: [], quotas: { runningJobs: -1 } }],
    ['half a job', 'runningJobs', { did: didOf(1), permissions: [], quotas: { runningJobs: 0.5 } }],
    [
      'a quota beyond counting',
      'reposPerJob',
      { did: didOf(1), permissions: [], quotas: { reposPerJob: 1e300 } },
    ],
    ['the jobs of a handle', 'jobsOf', { did: didOf(1), permissions: [], jobsOf: ['alice.example'] }],
    [
      'the jobs of more than a thousand',
      'jobsOf',
      { did: didOf(1), permissions: [], jobsOf: Array.from({ length: 1_001 }, (_, n) => didOf(n)) },
    ],
  ])('refuses %s', async (_, field, input) => {
    const { status, json } = await callRaw(service, root, 'putCaller', { body: JSON.stringify(input) })
    expect({ status, json }).toEqual({
      status: 400,
      json: { error: 'InvalidRequest', message: expect.stringContaining(field) },
    })
  })

  test('takes the jobs of a thousand', async () => {
    const jobsOf = Array.from({ length: 1_000 }, (_, n) => didOf(n))
    const caller = await stranger()
    const { data } = await admin.putCaller({ did: caller.did, permissions: ['read'], jobsOf })
    expect(data.jobsOf.map(({ did }) => did)).toEqual(jobsOf)
    expect((await service.as(caller).listJobs({})).data).toEqual({ jobs: [] })
  })
})

describe('deleteCaller', () => {
  test('refuses a caller of which nothing was said, and says so of one that the settings name', async () => {
    const { did } = await stranger()
    await admin.putCaller({ did, permissions: ['read'] })
    expect((await admin.deleteCaller({ did })).data).toEqual({})
    for (const call of [admin.deleteCaller({ did }), admin.deleteCaller({ did: didOf(9) })]) {
      expect(await refusal(call)).toEqual(refusedWith('CallerNotFound'))
    }
    const named = await refusal(admin.deleteCaller({ did: listed.did }))
    expect(named).toEqual(refusedWith('CallerNotFound', listed.did, 'settings'))
  })

  test('leaves the jobs of the caller', async () => {
    const caller = await stranger()
    await admin.putCaller({ did: caller.did, permissions: ['create'] })
    const { data: job } = await service.as(caller).createJob(INPUT)
    await admin.deleteCaller({ did: caller.did })
    expect((await admin.getJobStatus({ job: job.id })).data.caller).toBe(caller.did)
    expect((await open.as(caller).getJobStatus({ job: job.id })).data.id).toBe(job.id)
  })
})

describe('listCallers', () => {
  const list = (limit?: number) =>
    readPages(async (cursor) => {
      const { data } = await admin.listCallers({ ...(limit && { limit }), ...cursor })
      return { items: data.callers, cursor: data.cursor }
    })

  test('has those of the settings and those of putCaller, each once, by DID', async () => {
    const made = await Promise.all(Array.from({ length: 5 }, stranger))
    for (const { did } of [...made, listed]) await admin.putCaller({ did, permissions: ['read'] })
    const all = (await list(100)).flat()
    const dids = all.map(({ did }) => did)
    expect(dids).toEqual([...new Set(dids)].sort())
    expect(dids).toEqual(expect.arrayContaining([root.did, listed.did, ...made.map(({ did }) => did)]))
    for (const limit of [1, 2, 3, dids.length - 1, dids.length]) {
      const pages = await list(limit)
      expect(pages.flat()).toEqual(all)
      expect(pages).toHaveLength(Math.ceil(dids.length / limit))
    }
    await admin.deleteCaller({ did: listed.did })
    const still = (await list()).flat().find(({ did }) => did === listed.did)
    // Only the settings name it now.
    expect(still).toEqual({
      did: listed.did,
      permissions: [{ name: 'read' }, { name: 'create' }],
      quotas: { runningJobs: 20, requestsPerMinute: 3_000, streams: 40 },
      jobsOf: [],
      configured: true,
    })
    const own = (await list()).flat().find(({ did }) => did === root.did)
    expect(own).toMatchObject({ quotas: {}, configured: true })
  })

  test.each(['later', '3l3qo2vuowo2b', 'did:plc:\u0000'])('refuses the cursor %j', async (cursor) => {
    expect(await refusal(admin.listCallers({ cursor }))).toEqual(invalidRequest('cursor'))
  })
})
