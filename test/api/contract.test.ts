import { readdir, readFile } from 'node:fs/promises'
import { basename, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { LexiconDoc, LexUserType, LexXrpcProcedure, LexXrpcQuery } from '@atproto/lexicon'
import { XRPCError } from '@atproto/xrpc'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import * as cancelJob from '../../codegen/client/types/network/example/backfill/cancelJob.js'
import * as createJob from '../../codegen/client/types/network/example/backfill/createJob.js'
import * as deleteAllJobDetails from '../../codegen/client/types/network/example/backfill/deleteAllJobDetails.js'
import * as deleteCaller from '../../codegen/client/types/network/example/backfill/deleteCaller.js'
import * as deleteJobDetails from '../../codegen/client/types/network/example/backfill/deleteJobDetails.js'
import * as exportRecords from '../../codegen/client/types/network/example/backfill/exportRecords.js'
import * as getJobStatus from '../../codegen/client/types/network/example/backfill/getJobStatus.js'
import * as getPdsSummary from '../../codegen/client/types/network/example/backfill/getPdsSummary.js'
import * as listCallers from '../../codegen/client/types/network/example/backfill/listCallers.js'
import * as listJobRepos from '../../codegen/client/types/network/example/backfill/listJobRepos.js'
import * as listJobs from '../../codegen/client/types/network/example/backfill/listJobs.js'
import * as listRecords from '../../codegen/client/types/network/example/backfill/listRecords.js'
import * as pauseJob from '../../codegen/client/types/network/example/backfill/pauseJob.js'
import * as purgeJob from '../../codegen/client/types/network/example/backfill/purgeJob.js'
import * as putCaller from '../../codegen/client/types/network/example/backfill/putCaller.js'
import * as refreshJob from '../../codegen/client/types/network/example/backfill/refreshJob.js'
import * as resumeJob from '../../codegen/client/types/network/example/backfill/resumeJob.js'
import * as retryJob from '../../codegen/client/types/network/example/backfill/retryJob.js'
import { moveJob } from '../../src/store/transitions.js'
import { type Caller, createPlcCaller } from '../support/network/caller.js'
import { type Backfill, startTestService, type TestService } from '../support/service.js'
import { newAddress } from './auth-support.js'
import { openStream } from './subscribeJob-support.js'
import { type Directory, exchange, nsid, startDirectory } from './support.js'

/** What the lexicons promise against what the service does. */

const DIRECTORY = fileURLToPath(new URL('../../lexicons/network/example/backfill', import.meta.url))
const job = '3l3qo2vuowo2b'
const collections = ['network.example.status']

const documents = await Promise.all(
  (await readdir(DIRECTORY)).map(
    async (file): Promise<LexiconDoc> => JSON.parse(await readFile(join(DIRECTORY, file), 'utf8')),
  ),
)
const methods = documents
  .map(({ id, defs }) => ({ id, name: id.split('.').at(-1)!, main: defs.main }))
  .filter((each): each is typeof each & { main: LexXrpcProcedure | LexXrpcQuery } => isMethod(each.main))

const streams = documents
  .filter(({ defs }) => defs.main?.type === 'subscription')
  .map(({ id }) => ({ id, name: id.split('.').at(-1)! }))

function isMethod(main: LexUserType | undefined): boolean {
  return main?.type === 'query' || main?.type === 'procedure'
}

let network: Directory
let service: TestService
/** Callers: who may do what any caller may, an admin, one whose quotas are used up, and one who may do nothing. */
let backfill: Backfill
let backfillDid: string
let admin: Backfill
let exhausted: Backfill
let exhaustedCaller: Caller
let exhaustedDid: string
let outsider: Backfill

beforeAll(async () => {
  network = await startDirectory()
  const [caller, other, boss, poor] = await Promise.all(
    Array.from({ length: 4 }, () => createPlcCaller(network.plc)),
  )
  const environment = {
    BACKFILL_ACCESS: 'allowlist',
    BACKFILL_ALLOW: caller!.did,
    BACKFILL_ADMINS: boss!.did,
    TRUST_PROXY: '1',
    QUOTA_STREAMS: '1',
  }
  service = await startTestService({ network, engine: false, environment })
  backfill = service.as(caller!)
  backfillDid = caller!.did
  outsider = service.as(other!)
  admin = service.as(boss!)
  exhausted = service.as(poor!)
  exhaustedCaller = poor!
  exhaustedDid = poor!.did
  await admin.putCaller({ did: exhaustedDid, permissions: ['create'], quotas: { runningJobs: 1 } })
})

afterAll(async () => {
  await service?.[Symbol.asyncDispose]()
  await network?.[Symbol.asyncDispose]()
})

type Provoke = () => Promise<unknown>

/** A job that has ended, and one of which only the counters are left. */
async function cancelled(): Promise<string> {
  const { data } = await backfill.createJob({ collections })
  await backfill.cancelJob({ job: data.id })
  return data.id
}

async function forgotten(): Promise<string> {
  const ended = await cancelled()
  await backfill.deleteJobDetails({ job: ended })
  return ended
}

/** For every error that a lexicon declares: a call that brings it about. */
const errors: Record<string, Record<string, Provoke>> = {
  createJob: {
    InvalidCollection: () => backfill.createJob({ collections: ['status'] }),
    InvalidRepo: () => backfill.createJob({ repos: ['nobody'] }),
    InvalidHost: () => backfill.createJob({ hosts: ['no host'] }),
    ScopeTooBroad: () => backfill.createJob({}),
    ClientTokenConflict: async () => {
      await backfill.createJob({ collections, clientToken: 'once' })
      await backfill.createJob({ collections, clientToken: 'once', name: 'another' })
    },
    LevelNotOffered: () => backfill.createJob({ collections, method: 'list-records', level: 'signed' }),
    NotPermitted: () => outsider.createJob({ collections }),
    QuotaExceeded: async () => {
      await exhausted.createJob({ collections })
      await exhausted.createJob({ collections })
    },
    // Nobody resolves handles in a network of a directory alone.
    DirectoryUnavailable: () => backfill.createJob({ repos: ['ada.example'] }),
  },
  pauseJob: {
    JobNotFound: () => backfill.pauseJob({ job }),
    InvalidState: async () => backfill.pauseJob({ job: await cancelled() }),
    NotPermitted: () => outsider.pauseJob({ job }),
  },
  resumeJob: {
    JobNotFound: () => backfill.resumeJob({ job }),
    InvalidState: async () => backfill.resumeJob({ job: await cancelled() }),
    NotPermitted: () => outsider.resumeJob({ job }),
  },
  cancelJob: {
    JobNotFound: () => backfill.cancelJob({ job }),
    InvalidState: async () => backfill.cancelJob({ job: await cancelled() }),
    NotPermitted: () => outsider.cancelJob({ job }),
  },
  retryJob: {
    JobNotFound: () => backfill.retryJob({ job }),
    InvalidState: async () => backfill.retryJob({ job: await cancelled() }),
    DetailsDeleted: async () => backfill.retryJob({ job: await forgotten() }),
    QuotaExceeded: async () => {
      const { db } = service.service.store
      await admin.putCaller({
        did: exhaustedDid,
        permissions: ['read', 'create'],
        quotas: { runningJobs: 9 },
      })
      const { data } = await exhausted.createJob({ collections })
      const { key } = await db
        .selectFrom('job')
        .select('key')
        .where('id', '=', data.id)
        .executeTakeFirstOrThrow()
      await moveJob(db, key, [{ from: 'running', to: 'failed' }], new Date())
      await admin.putCaller({ did: exhaustedDid, permissions: ['create'], quotas: { runningJobs: 0 } })
      await exhausted.retryJob({ job: data.id })
    },
    NotPermitted: () => outsider.retryJob({ job }),
  },
  refreshJob: {
    JobNotFound: () => backfill.refreshJob({ job }),
    InvalidState: async () => {
      const { data } = await backfill.createJob({ collections })
      await backfill.refreshJob({ job: data.id })
    },
    DetailsDeleted: async () => {
      const { data } = await backfill.createJob({ repos: ['did:plc:aaaaaaaaaaaaaaaaaaaaaaaa'] })
      await backfill.cancelJob({ job: data.id })
      await backfill.deleteJobDetails({ job: data.id })
      await backfill.refreshJob({ job: data.id })
    },
    InvalidHost: async () => {
      const { data } = await backfill.createJob({ hosts: ['pds.example'] })
      await backfill.cancelJob({ job: data.id })
      // As if the service had been told to keep away from private networks since.
      const { db } = service.service.store
      await db
        .updateTable('job')
        .set({ hosts: ['no host'] })
        .where('id', '=', data.id)
        .execute()
      await backfill.refreshJob({ job: data.id })
    },
    ScopeTooBroad: async () => {
      const { data } = await admin.createJob({})
      await admin.cancelJob({ job: data.id })
      const { db } = service.service.store
      // As of somebody who was an admin then.
      await db.updateTable('job').set({ caller: backfillDid }).where('id', '=', data.id).execute()
      await backfill.refreshJob({ job: data.id })
    },
    ClientTokenConflict: async () => {
      const [one, two] = [await cancelled(), await cancelled()]
      await backfill.refreshJob({ job: one, clientToken: 'again' })
      await backfill.refreshJob({ job: two, clientToken: 'again' })
    },
    QuotaExceeded: async () => {
      const quotas = { did: exhaustedDid, permissions: ['read', 'create'] }
      await admin.putCaller({ ...quotas, quotas: { runningJobs: 99 } })
      const { data } = await exhausted.createJob({ collections })
      await exhausted.cancelJob({ job: data.id })
      await admin.putCaller({ ...quotas, quotas: { runningJobs: 0 } })
      await exhausted.refreshJob({ job: data.id })
    },
    NotPermitted: () => outsider.refreshJob({ job }),
  },
  purgeJob: {
    JobNotFound: () => backfill.purgeJob({ job }),
    InvalidState: async () => {
      const { data } = await backfill.createJob({ collections })
      await backfill.purgeJob({ job: data.id })
    },
    DetailsDeleted: async () => backfill.purgeJob({ job: await forgotten() }),
    NotPermitted: () => outsider.purgeJob({ job }),
  },
  deleteJobDetails: {
    JobNotFound: () => backfill.deleteJobDetails({ job }),
    InvalidState: async () => {
      const { data } = await backfill.createJob({ collections })
      await backfill.deleteJobDetails({ job: data.id })
    },
    NotPermitted: () => outsider.deleteJobDetails({ job }),
  },
  deleteAllJobDetails: {
    NotPermitted: () => outsider.deleteAllJobDetails(),
  },
  putCaller: {
    InvalidPermission: () => admin.putCaller({ did: exhaustedDid, permissions: ['everything'] }),
    NotPermitted: () => backfill.putCaller({ did: exhaustedDid, permissions: ['read'] }),
  },
  deleteCaller: {
    CallerNotFound: () => admin.deleteCaller({ did: 'did:web:nobody.example' }),
    NotPermitted: () => backfill.deleteCaller({ did: exhaustedDid }),
  },
  listCallers: {
    NotPermitted: () => backfill.listCallers(),
  },
  getPdsSummary: {
    JobNotFound: () => backfill.getPdsSummary({ job }),
    DetailsDeleted: async () => backfill.getPdsSummary({ job: await forgotten() }),
    NotPermitted: () => outsider.getPdsSummary({ job }),
  },
  getJobStatus: {
    JobNotFound: () => backfill.getJobStatus({ job }),
    NotPermitted: () => outsider.getJobStatus({ job }),
  },
  listJobs: {
    NotPermitted: () => outsider.listJobs(),
  },
  listJobRepos: {
    JobNotFound: () => backfill.listJobRepos({ job }),
    DetailsDeleted: async () => backfill.listJobRepos({ job: await forgotten() }),
    NotPermitted: () => outsider.listJobRepos({ job }),
  },
  exportRecords: {
    JobNotFound: () => backfill.exportRecords({ job }),
    DetailsDeleted: async () => backfill.exportRecords({ job: await forgotten() }),
    NotPermitted: () => outsider.exportRecords({ job }),
    DirectoryUnavailable: async () => {
      const { data } = await backfill.createJob({ collections })
      await backfill.exportRecords({ job: data.id, repo: 'ada.example' })
    },
    QuotaExceeded: async () => {
      const quotas = { runningJobs: 999 }
      await admin.putCaller({ did: exhaustedDid, permissions: ['read', 'create'], quotas })
      const { data } = await exhausted.createJob({ collections })
      const running = { job: data.id }
      await using _stream = await openStream(service, exhaustedCaller, running, {}, nsid('subscribeRecords'))
      // Until the stream counts, which does not end before the job does.
      for (;;) await exhausted.exportRecords(running)
    },
    FutureCursor: async () => backfill.exportRecords({ job: await cancelled(), cursor: 1_000_000 }),
    ManifestNotReady: async () => {
      const { data } = await backfill.createJob({ collections, name: 'no manifest' })
      await backfill.exportRecords({ job: data.id, manifest: true })
    },
  },
  listRecords: {
    JobNotFound: () => backfill.listRecords({ job }),
    DetailsDeleted: async () => backfill.listRecords({ job: await forgotten() }),
    NotPermitted: () => outsider.listRecords({ job }),
    DirectoryUnavailable: async () => {
      const { data } = await backfill.createJob({ collections })
      await backfill.listRecords({ job: data.id, repo: 'ada.example' })
    },
  },
}

const STATUSES: Record<string, number> = {
  NotPermitted: 403,
  QuotaExceeded: 429,
  DirectoryUnavailable: 503,
}

/** The classes that the generated client knows errors by. */
const classes: Record<string, Record<string, unknown>> = {
  cancelJob,
  createJob,
  deleteAllJobDetails,
  deleteCaller,
  deleteJobDetails,
  exportRecords,
  getJobStatus,
  getPdsSummary,
  listCallers,
  listJobRepos,
  listJobs,
  listRecords,
  pauseJob,
  purgeJob,
  putCaller,
  refreshJob,
  resumeJob,
  retryJob,
}

describe('every error that a lexicon declares', () => {
  const declared = methods.flatMap(({ name, main }) =>
    (main.errors ?? []).map((error) => `${name} ${error.name}`),
  )

  test('is brought about here', () => {
    const provoked = Object.entries(errors).flatMap(([method, byName]) =>
      Object.keys(byName).map((name) => `${method} ${name}`),
    )
    expect([...provoked].sort()).toEqual([...declared].sort())
  })

  const cases = Object.entries(errors).flatMap(([method, byName]) =>
    Object.entries(byName).map(([name, provoke]): [string, string, Provoke] => [method, name, provoke]),
  )
  test.each(cases)('%s: %s', async (method, name, provoke) => {
    const error = await provoke().then(
      () => null,
      (thrown: unknown) => thrown,
    )
    expect(error).toBeInstanceOf(XRPCError)
    expect(error).toMatchObject({
      error: name,
      status: STATUSES[name] ?? 400,
      message: expect.stringMatching(/ /),
    })
    expect(error).toBeInstanceOf(classes[method]?.[`${name}Error`])
  })
})

describe('every method of the lexicons', () => {
  test('is named in the description of the service, which names no other', async () => {
    const { endpoints } = (await backfill.describeService()).data
    expect(endpoints.map(({ nsid }) => nsid).sort()).toEqual(
      [...methods, ...streams].map(({ id }) => id).sort(),
    )
  })

  test.each(methods.map(({ id, main }) => [id, main] as const))('is answered: %s', async (id, main) => {
    const method = main.type === 'procedure' ? 'POST' : 'GET'
    const headers = { 'x-forwarded-for': newAddress() }
    const { status } = await exchange(`${service.url}/xrpc/${id}`, { method, headers })
    expect(status).not.toBe(501)
    expect(status).toBeLessThan(500)
  })

  test('says of itself whether it needs a token, and means it', async () => {
    for (const { id, main } of methods) {
      const needed = /requires service auth/i.test(main.description ?? '')
      expect(needed).not.toBe(/requires no auth/i.test(main.description ?? ''))
      const params = Object.keys(main.parameters?.properties ?? {}).includes('job') ? `?job=${job}` : ''
      const method = main.type === 'procedure' ? 'POST' : 'GET'
      // Each from somewhere else: so many at once from one place would be too many.
      const headers = { 'x-forwarded-for': newAddress() }
      const { status } = await exchange(`${service.url}/xrpc/${id}${params}`, { method, headers })
      expect([id, status]).toEqual([id, needed ? 401 : 200])
    }
  })

  test('has its file, and every file of the API its method', async () => {
    const helpers = ['caller-view', 'context', 'cursor', 'errors', 'index', 'messages', 'streams', 'view']
    const files = await readdir(fileURLToPath(new URL('../../src/api', import.meta.url)))
    const names = files.map((file) => basename(file, '.ts')).filter((name) => !helpers.includes(name))
    expect(names.sort()).toEqual([...methods, ...streams].map(({ name }) => name).sort())
  })
})
