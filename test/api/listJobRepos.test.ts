import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { QueryParams } from '../../codegen/client/types/network/example/backfill/listJobRepos.js'
import { addRepos } from '../../src/store/listings.js'
import { addJob, didOf, POST, type TestJob } from '../support/fixtures.js'
import { type Caller, createPlcCaller } from '../support/network/caller.js'
import { type Backfill, startTestService, type TestService } from '../support/service.js'
import { addJobInEveryState, ONE, REPOS, RETRY_AT, REV, TWO } from './every-state.js'
import {
  callRaw,
  type Directory,
  invalidRequest,
  newcomer,
  readPages,
  refusal,
  refusedWith,
  startDirectory,
} from './support.js'

const UNKNOWN = '3l3qo2vuowo2b'

let network: Directory
let service: TestService
let caller: Caller
let backfill: Backfill
let admin: Caller
let job: TestJob

beforeAll(async () => {
  network = await startDirectory()
  admin = await createPlcCaller(network.plc)
  service = await startTestService({ network, engine: false, environment: { BACKFILL_ADMINS: admin.did } })
  ;({ caller, backfill } = await newcomer(network, service))
  job = await addJobInEveryState(service.service.store, caller.did)
})

afterAll(async () => {
  await service?.[Symbol.asyncDispose]()
  await network?.[Symbol.asyncDispose]()
})

function collect(params: Partial<QueryParams>, between: () => Promise<unknown> = async () => {}) {
  return readPages(async (cursor) => {
    const { data } = await backfill.listJobRepos({ job: job.id, ...params, ...cursor })
    await between()
    return { items: data.repos.map(({ did }) => did), cursor: data.cursor }
  })
}

const didsOf = (...names: (keyof typeof REPOS)[]) => names.map((name) => REPOS[name])
const EVERY = Object.values(REPOS)

describe('a repo', () => {
  const all = async () => (await backfill.listJobRepos({ job: job.id })).data.repos
  const shown = async (name: keyof typeof REPOS) => (await all()).find(({ did }) => did === REPOS[name])

  test('that waits has nothing but its DID', async () => {
    expect(await shown('waiting')).toEqual({
      did: REPOS.waiting,
      status: 'waiting',
      recordsFetched: 0,
      attempts: 0,
    })
  })

  test('that is to be tried again says when, and what went wrong', async () => {
    expect(await shown('deferred')).toEqual({
      did: REPOS.deferred,
      status: 'resolved',
      pdsEndpoint: ONE,
      recordsFetched: 0,
      attempts: 2,
      retryAt: RETRY_AT.toISOString(),
      failure: { class: 'timeout', message: 'slow', retryable: true },
    })
  })

  test('that is being fetched says how far it has come', async () => {
    expect(await shown('fetching')).toMatchObject({ status: 'fetching', recordsFetched: 2, pdsEndpoint: TWO })
  })

  test('that is completed has its receipt', async () => {
    expect(await shown('completed')).toEqual({
      did: REPOS.completed,
      handle: 'ada.example',
      status: 'completed',
      pdsEndpoint: ONE,
      recordsFetched: 3,
      attempts: 0,
      receipt: {
        did: REPOS.completed,
        rev: REV,
        counts: [{ collection: POST, count: 3 }],
        totalRecords: 3,
        method: 'list-records',
        level: 'content',
        pdsEndpoint: ONE,
        completedAt: expect.any(String),
      },
    })
    expect((await shown('empty'))?.receipt).toMatchObject({ counts: [], totalRecords: 0 })
    expect((await shown('empty'))?.receipt).not.toHaveProperty('rev')
  })

  test('that is not to be had says why', async () => {
    expect(await shown('unavailable')).toMatchObject({ status: 'unavailable', reason: 'takendown' })
    expect(await shown('failed')).toMatchObject({
      status: 'failed',
      attempts: 1,
      failure: { class: 'repo-not-found', message: 'not here', retryable: false },
    })
    expect(await shown('unknown')).not.toHaveProperty('pdsEndpoint')
  })
})

describe('the repos of a job', () => {
  test('come by DID, in pages of any size', async () => {
    for (let limit = 1; limit <= EVERY.length + 1; limit += 1) {
      const pages = await collect({ limit })
      expect(pages.flat()).toEqual(EVERY)
      expect(pages).toHaveLength(Math.ceil(EVERY.length / limit))
    }
  })

  test.each<[string, Partial<QueryParams>, string[]]>([
    ['discovered', { phase: 'discovered' }, EVERY],
    [
      'resolved',
      { phase: 'resolved' },
      didsOf('deferred', 'resolved', 'fetching', 'completed', 'empty', 'unavailable', 'failed'),
    ],
    ['fetched', { phase: 'fetched' }, didsOf('completed', 'empty')],
    ['waiting', { status: 'waiting' }, didsOf('waiting')],
    ['with a PDS', { status: 'resolved' }, didsOf('deferred', 'resolved')],
    ['being fetched', { status: 'fetching' }, didsOf('fetching')],
    ['completed', { status: 'completed' }, didsOf('completed', 'empty')],
    ['unavailable', { status: 'unavailable' }, didsOf('unavailable')],
    ['failed', { status: 'failed' }, didsOf('failed', 'unknown')],
    ['resolved and failed', { phase: 'resolved', status: 'failed' }, didsOf('failed')],
    ['resolved and waiting', { phase: 'resolved', status: 'waiting' }, []],
    ['fetched and failed', { phase: 'fetched', status: 'failed' }, []],
    ['fetched and completed', { phase: 'fetched', status: 'completed' }, didsOf('completed', 'empty')],
    ['on a PDS', { pdsEndpoint: TWO }, didsOf('fetching', 'failed')],
    ['on a PDS and fetched', { pdsEndpoint: ONE, phase: 'fetched' }, didsOf('completed', 'empty')],
    ['on a PDS of nobody', { pdsEndpoint: 'https://three.example' }, []],
  ])('can be narrowed to those %s', async (_, params, expected) => {
    expect((await collect(params)).flat()).toEqual(expected)
    expect((await collect({ ...params, limit: 1 })).flat()).toEqual(expected)
  })

  test.each([
    'https://one.example/',
    'https://ONE.Example',
    'HTTPS://one.example',
    'https://one.example:443',
    'https://one.example:443/',
    'https://one.example.',
  ])('are found under a PDS spelled %s', async (pdsEndpoint) => {
    expect((await collect({ pdsEndpoint, status: 'completed' })).flat()).toEqual(didsOf('completed', 'empty'))
  })

  test('are each listed once while others are found', async () => {
    const { store } = service.service
    const [before, later] = [[10, 12, 14, 16].map(didOf), [11, 13, 15, 17].map(didOf)]
    const growing = await addJob(store, { caller: caller.did, collections: [POST], repos: before })
    const add = async () => {
      const did = later.shift()
      if (did) await store.db.transaction().execute((trx) => addRepos(trx, growing.key, [did]))
    }
    const read = (await collect({ job: growing.id, limit: 1 }, add)).flat()
    expect(read).toEqual([...new Set(read)].sort())
    expect(read).toEqual(expect.arrayContaining(before))
    expect((await collect({ job: growing.id })).flat()).toEqual([10, 11, 12, 13, 14, 15, 16, 17].map(didOf))
  })

  test('come fifty to a page unless another size is asked for', async () => {
    const repos = Array.from({ length: 101 }, (_, index) => didOf(100 + index))
    const { id } = await addJob(service.service.store, { caller: caller.did, collections: [POST], repos })
    expect((await collect({ job: id })).map((page) => page.length)).toEqual([50, 50, 1])
    expect((await collect({ job: id, limit: 100 })).map((page) => page.length)).toEqual([100, 1])
  })

  test('are for their caller and the admins', async () => {
    const stranger = await newcomer(network, service)
    const hidden = await refusal(stranger.backfill.listJobRepos({ job: job.id }))
    expect(hidden).toEqual(refusedWith('JobNotFound', job.id))
    const missing = await refusal(stranger.backfill.listJobRepos({ job: UNKNOWN }))
    expect({ ...missing, message: missing.message.replace(UNKNOWN, job.id) }).toEqual(hidden)
    const { data } = await service.as(admin).listJobRepos({ job: job.id })
    expect(data.repos.map(({ did }) => did)).toEqual(EVERY)
  })
})

describe('what is refused', () => {
  test.each<[string, Partial<QueryParams>, string[]]>([
    ['a job that is no TID', { job: 'first' }, ['job', 'TID']],
    ['an unknown phase', { phase: 'done' }, ['phase', '"done"', 'discovered, resolved, fetched']],
    ['a phase in capitals', { phase: 'Resolved' }, ['phase']],
    ['an unknown status', { status: 'lost' }, ['status', '"lost"', 'waiting', 'unavailable']],
    ['a status that is no text to look for', { status: 'x'.repeat(65) }, ['status']],
    ['a PDS that is no URI', { pdsEndpoint: 'one.example' }, ['pdsEndpoint']],
    ['a PDS with a path', { pdsEndpoint: `${ONE}/xrpc` }, ['pdsEndpoint', 'origin']],
    ['a PDS with a user', { pdsEndpoint: 'https://me@one.example' }, ['pdsEndpoint', 'origin']],
    ['a PDS of another scheme', { pdsEndpoint: 'at://one.example' }, ['pdsEndpoint', 'origin']],
    ['a cursor that is a word', { cursor: 'later' }, ['cursor']],
    ['a cursor of listJobs', { cursor: UNKNOWN }, ['cursor']],
    ['a cursor of listRecords', { cursor: `3/${POST}/${UNKNOWN}` }, ['cursor']],
    ['a cursor with a NUL', { cursor: 'did:plc:a\u0000' }, ['cursor']],
    ['a cursor that is long', { cursor: `did:web:${'a'.repeat(2_048)}` }, ['cursor']],
  ])('%s', async (_, params, said) => {
    expect(await refusal(backfill.listJobRepos({ job: job.id, ...params }))).toEqual(invalidRequest(...said))
  })

  test.each(['0', '101', '-5', 'all'])('a limit of %s', async (limit) => {
    const answer = await callRaw(service, caller, 'listJobRepos', { params: { job: job.id, limit } })
    expect(answer.status).toBe(400)
    expect(answer.json).toMatchObject({ error: 'InvalidRequest', message: expect.stringContaining('limit') })
  })

  test('no job', async () => {
    const answer = await callRaw(service, caller, 'listJobRepos')
    expect(answer.status).toBe(400)
    expect(answer.json).toMatchObject({ error: 'InvalidRequest', message: expect.stringContaining('job') })
  })
})
