import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { JOB_STATUSES, type JobStatus } from '../../src/verdict.js'
import { addJob, didOf } from '../support/fixtures.js'
import { type Caller, createPlcCaller } from '../support/network/caller.js'
import { type Backfill, startTestService, type TestService } from '../support/service.js'
import {
  callRaw,
  type Directory,
  invalidRequest,
  newcomer,
  readPages,
  refusal,
  startDirectory,
} from './support.js'

let network: Directory
let service: TestService
let admin: Caller

beforeAll(async () => {
  network = await startDirectory()
  admin = await createPlcCaller(network.plc)
  service = await startTestService({ network, engine: false, environment: { BACKFILL_ADMINS: admin.did } })
})

afterAll(async () => {
  await service?.[Symbol.asyncDispose]()
  await network?.[Symbol.asyncDispose]()
})

/** Jobs of a caller, oldest first. */
async function addJobs(caller: Caller, count: number): Promise<string[]> {
  const ids: string[] = []
  for (let n = 0; n < count; n += 1) {
    ids.push((await addJob(service.service.store, { caller: caller.did, repos: [didOf(n)] })).id)
  }
  return ids
}

async function setStatus(id: string, status: JobStatus): Promise<void> {
  await service.service.store.db.updateTable('job').set({ status }).where('id', '=', id).execute()
}

/** Ids of all pages; `between` happens after each. */
async function collect(
  backfill: Backfill,
  params: { limit?: number; status?: string },
  between: (page: string[]) => Promise<unknown> = async () => {},
): Promise<string[][]> {
  return readPages(async (cursor) => {
    const { data } = await backfill.listJobs({ ...params, ...cursor })
    const items = data.jobs.map(({ id }) => id)
    await between(items)
    return { items, cursor: data.cursor }
  })
}

describe('the jobs of a caller', () => {
  test('are none at first', async () => {
    const { backfill } = await newcomer(network, service)
    expect((await backfill.listJobs()).data).toEqual({ jobs: [] })
  })

  test('come newest first, in pages of any size', async () => {
    const { caller, backfill } = await newcomer(network, service)
    const newestFirst = (await addJobs(caller, 7)).reverse()
    for (const limit of [1, 2, 3, 6, 7, 8, 100]) {
      const pages = await collect(backfill, { limit })
      expect(pages.flat()).toEqual(newestFirst)
      expect(pages).toHaveLength(Math.ceil(7 / limit))
    }
  })

  test('come fifty to a page unless another size is asked for', async () => {
    const { caller, backfill } = await newcomer(network, service)
    await addJobs(caller, 51)
    expect((await collect(backfill, {})).map((page) => page.length)).toEqual([50, 1])
  })

  test('look as getJobStatus shows them', async () => {
    const { backfill } = await newcomer(network, service)
    const { data: job } = await backfill.createJob({ repos: [didOf(1), didOf(2)], name: 'n' })
    expect((await backfill.listJobs()).data).toEqual({ jobs: [job] })
  })

  test('stay in place on later pages while new ones are made', async () => {
    const { caller, backfill } = await newcomer(network, service)
    const before = (await addJobs(caller, 7)).reverse()
    const pages = await collect(backfill, { limit: 3 }, () => addJobs(caller, 2))
    expect(pages.flat()).toEqual(before)
    expect((await collect(backfill, {})).flat()).toHaveLength(13)
  })

  test('are each listed once by a reader that races with their making', async () => {
    const { caller, backfill } = await newcomer(network, service)
    const before = await addJobs(caller, 8)
    const input = { collections: ['network.example.status'] }
    const making = Promise.all(Array.from({ length: 12 }, () => backfill.createJob(input)))
    const read = (await collect(backfill, { limit: 1 })).flat()
    const made = (await making).map(({ data }) => data.id)
    expect(read).toEqual([...new Set(read)].sort().reverse())
    expect(read).toEqual(expect.arrayContaining(before))
    expect((await collect(backfill, { limit: 4 })).flat()).toEqual([...before, ...made].sort().reverse())
  })

  test('can be asked for by status, across pages', async () => {
    const { caller, backfill } = await newcomer(network, service)
    const ids = (await addJobs(caller, 2 * JOB_STATUSES.length)).reverse()
    const statusOf = (index: number) => JOB_STATUSES[index % JOB_STATUSES.length]!
    await Promise.all(ids.map((id, index) => setStatus(id, statusOf(index))))
    for (const status of JOB_STATUSES) {
      const wanted = ids.filter((_, index) => statusOf(index) === status)
      expect((await collect(backfill, { status, limit: 1 })).flat()).toEqual(wanted)
    }
  })

  test('are for nobody else but the admins', async () => {
    const [one, other] = [await newcomer(network, service), await newcomer(network, service)]
    const [first] = await addJobs(one.caller, 1)
    const [second] = await addJobs(other.caller, 1)
    expect((await collect(one.backfill, {})).flat()).toEqual([first])
    expect((await collect(other.backfill, {})).flat()).toEqual([second])
    const everybodys = (await collect(service.as(admin), { limit: 100 })).flat()
    expect(everybodys.slice(0, 2)).toEqual([second, first])
    expect(everybodys.length).toBeGreaterThan(2)
    const before = everybodys.at(-1)!
    expect((await one.backfill.listJobs({ cursor: before })).data).toEqual({ jobs: [] })
  })
})

describe('what is refused', () => {
  test.each([
    ['a word', 'later'],
    ['a cursor of listJobRepos', didOf(1)],
    ['a cursor of listRecords', '3/network.example.status/3l3qo2vuowo2b'],
    ['a TID in capitals', '3L3QO2VUOWO2B'],
    ['two TIDs', '3l3qo2vuowo2b3l3qo2vuowo2b'],
    ['a NUL', '3l3qo2vuowo2\u0000'],
    ['something long', '3'.repeat(2_049)],
  ])('a cursor that is %s', async (_, cursor) => {
    const { backfill } = await newcomer(network, service)
    expect(await refusal(backfill.listJobs({ cursor }))).toEqual(invalidRequest('cursor'))
  })

  test.each(['0', '-1', '101', '1001', '99999999999999999999', 'ten'])('a limit of %s', async (limit) => {
    const { caller } = await newcomer(network, service)
    const answer = await callRaw(service, caller, 'listJobs', { params: { limit } })
    expect(answer.status).toBe(400)
    expect(answer.json).toMatchObject({ error: 'InvalidRequest', message: expect.stringContaining('limit') })
  })

  test.each(['done', 'RUNNING', 'running ', 'x'.repeat(65)])('the status %j', async (status) => {
    const { backfill } = await newcomer(network, service)
    expect(await refusal(backfill.listJobs({ status }))).toEqual(invalidRequest('status'))
  })

  test('an unknown status, with those there are', async () => {
    const { backfill } = await newcomer(network, service)
    expect(await refusal(backfill.listJobs({ status: 'done' }))).toEqual(
      invalidRequest('"done"', ...JOB_STATUSES),
    )
  })
})
