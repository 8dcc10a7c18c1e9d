import { readdir, readFile } from 'node:fs/promises'
import { basename, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { LexiconDoc, LexUserType, LexXrpcProcedure, LexXrpcQuery } from '@atproto/lexicon'
import { XRPCError } from '@atproto/xrpc'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import * as createJob from '../../codegen/client/types/network/example/backfill/createJob.js'
import * as getJobStatus from '../../codegen/client/types/network/example/backfill/getJobStatus.js'
import * as listJobRepos from '../../codegen/client/types/network/example/backfill/listJobRepos.js'
import * as listJobs from '../../codegen/client/types/network/example/backfill/listJobs.js'
import * as listRecords from '../../codegen/client/types/network/example/backfill/listRecords.js'
import { createPlcCaller } from '../support/network/caller.js'
import { type Backfill, startTestService, type TestService } from '../support/service.js'
import { type Directory, exchange, startDirectory } from './support.js'

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

function isMethod(main: LexUserType | undefined): boolean {
  return main?.type === 'query' || main?.type === 'procedure'
}

let network: Directory
let service: TestService
/** A caller who may do what any caller may, and one who may do nothing. */
let backfill: Backfill
let outsider: Backfill

beforeAll(async () => {
  network = await startDirectory()
  const [caller, other] = [await createPlcCaller(network.plc), await createPlcCaller(network.plc)]
  const environment = { BACKFILL_ACCESS: 'allowlist', BACKFILL_ALLOW: caller.did }
  service = await startTestService({ network, engine: false, environment })
  backfill = service.as(caller)
  outsider = service.as(other)
})

afterAll(async () => {
  await service?.[Symbol.asyncDispose]()
  await network?.[Symbol.asyncDispose]()
})

type Provoke = () => Promise<unknown>

/** For every error that a lexicon declares: a call that brings it about. */
const errors: Record<string, Record<string, Provoke>> = {
  createJob: {
    InvalidCollection: () => backfill.createJob({ collections: ['status'] }),
    InvalidRepo: () => backfill.createJob({ repos: ['nobody'] }),
    ScopeTooBroad: () => backfill.createJob({}),
    ClientTokenConflict: async () => {
      await backfill.createJob({ collections, clientToken: 'once' })
      await backfill.createJob({ collections, clientToken: 'once', name: 'another' })
    },
    MethodNotOffered: () => backfill.createJob({ collections, method: 'sparse' }),
    LevelNotOffered: () => backfill.createJob({ collections, level: 'signed' }),
    NotPermitted: () => outsider.createJob({ collections }),
    // Nobody resolves handles in a network of a directory alone.
    DirectoryUnavailable: () => backfill.createJob({ repos: ['ada.example'] }),
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
    NotPermitted: () => outsider.listJobRepos({ job }),
  },
  listRecords: {
    JobNotFound: () => backfill.listRecords({ job }),
    NotPermitted: () => outsider.listRecords({ job }),
    DirectoryUnavailable: async () => {
      const { data } = await backfill.createJob({ collections })
      await backfill.listRecords({ job: data.id, repo: 'ada.example' })
    },
  },
}

/** Declared for callers of today, and brought about only by methods that are not there yet. */
const NOT_YET = new Set(['listJobRepos DetailsDeleted', 'listRecords DetailsDeleted'])

const STATUSES: Record<string, number> = { NotPermitted: 403, DirectoryUnavailable: 503 }

/** The classes that the generated client knows errors by. */
const classes: Record<string, Record<string, unknown>> = {
  createJob: { ...createJob },
  getJobStatus: { ...getJobStatus },
  listJobs: { ...listJobs },
  listJobRepos: { ...listJobRepos },
  listRecords: { ...listRecords },
}

describe('every error that a lexicon declares', () => {
  const declared = methods.flatMap(({ name, main }) =>
    (main.errors ?? []).map((error) => `${name} ${error.name}`),
  )

  test('is brought about here, or by a method that is still to come', () => {
    const provoked = Object.entries(errors).flatMap(([method, byName]) =>
      Object.keys(byName).map((name) => `${method} ${name}`),
    )
    expect([...provoked, ...NOT_YET].sort()).toEqual([...declared].sort())
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
    expect(endpoints.map(({ nsid }) => nsid).sort()).toEqual(methods.map(({ id }) => id).sort())
  })

  test.each(methods.map(({ id, main }) => [id, main] as const))('is answered: %s', async (id, main) => {
    const method = main.type === 'procedure' ? 'POST' : 'GET'
    const { status } = await exchange(`${service.url}/xrpc/${id}`, { method })
    expect(status).not.toBe(501)
    expect(status).toBeLessThan(500)
  })

  test('says of itself whether it needs a token, and means it', async () => {
    for (const { id, main } of methods) {
      const needed = /requires service auth/i.test(main.description ?? '')
      expect(needed).not.toBe(/requires no auth/i.test(main.description ?? ''))
      const params = Object.keys(main.parameters?.properties ?? {}).includes('job') ? `?job=${job}` : ''
      const method = main.type === 'procedure' ? 'POST' : 'GET'
      const { status } = await exchange(`${service.url}/xrpc/${id}${params}`, { method })
      expect([id, status]).toEqual([id, needed ? 401 : 200])
    }
  })

  test('has its file, and every file of the API its method', async () => {
    const helpers = ['context', 'cursor', 'errors', 'index', 'view']
    const files = await readdir(fileURLToPath(new URL('../../src/api', import.meta.url)))
    const names = files.map((file) => basename(file, '.ts')).filter((name) => !helpers.includes(name))
    expect(names.sort()).toEqual(methods.map(({ name }) => name).sort())
  })
})
