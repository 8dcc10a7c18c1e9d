import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { InputSchema } from '../../codegen/client/types/network/example/backfill/createJob.js'
import { startTestService, type TestService } from '../support/service.js'
import { type Directory, newcomer, refusal, refusedWith, startDirectory } from './support.js'

const STATUS = 'network.example.status'
const LIKE = 'network.example.graph.like'
const DID = 'did:plc:ewvi7nxzyoun6zhxrhs64oiz'

let network: Directory
let service: TestService

beforeAll(async () => {
  network = await startDirectory()
  service = await startTestService({ network, engine: false })
})

afterAll(async () => {
  await service?.[Symbol.asyncDispose]()
  await network?.[Symbol.asyncDispose]()
})

describe('a client token', () => {
  const input = {
    collections: [STATUS, LIKE],
    repos: [DID, 'did:web:a.example'],
    clientToken: 'token 1 👍',
    name: 'n',
  }

  test('with the same input gives the same job, whatever the order of the entries', async () => {
    const { backfill } = await newcomer(network, service)
    const { data: first } = await backfill.createJob(input)
    const { data: again } = await backfill.createJob({
      ...input,
      collections: [...input.collections].reverse(),
      repos: [...input.repos, DID].reverse(),
      method: 'auto',
      level: 'content',
    })
    expect(again).toEqual(first)
    expect((await backfill.listJobs()).data.jobs).toHaveLength(1)
  })

  test('gives the job as it is by now', async () => {
    const { backfill } = await newcomer(network, service)
    const { data: job } = await backfill.createJob(input)
    await service.service.store.db
      .updateTable('job')
      .set({ status: 'completed' })
      .where('id', '=', job.id)
      .execute()
    expect((await backfill.createJob(input)).data).toMatchObject({ id: job.id, status: 'completed' })
  })

  test.each<[string, Partial<InputSchema>]>([
    ['collections', { collections: [STATUS] }],
    ['repos', { repos: [DID] }],
    ['no repos at all', { repos: undefined }],
    ['method', { method: 'list-records' }],
    ['level', { level: 'none' }],
    ['name', { name: 'm' }],
  ])('with other input is refused: %s', async (_, change) => {
    const { backfill } = await newcomer(network, service)
    const { data: job } = await backfill.createJob(input)
    expect(await refusal(backfill.createJob({ ...input, ...change }))).toEqual(
      refusedWith('ClientTokenConflict', job.id),
    )
    expect((await backfill.listJobs()).data.jobs).toEqual([job])
  })

  test('belongs to its caller', async () => {
    const [one, other] = [await newcomer(network, service), await newcomer(network, service)]
    const { data: ours } = await one.backfill.createJob(input)
    const { data: theirs } = await other.backfill.createJob({ ...input, name: 'another input' })
    expect(theirs.id).not.toBe(ours.id)
    expect(theirs.caller).toBe(other.caller.did)
  })

  test('used ten times at once makes one job', async () => {
    const { backfill } = await newcomer(network, service)
    const answers = await Promise.all(Array.from({ length: 10 }, () => backfill.createJob(input)))
    expect(new Set(answers.map(({ data }) => data.id)).size).toBe(1)
    expect((await backfill.listJobs()).data.jobs).toHaveLength(1)
  })

  test('used at once with two inputs makes one job and one conflict', async () => {
    const { backfill } = await newcomer(network, service)
    const calls = [input, { ...input, name: 'another' }].map((each) => backfill.createJob(each))
    const ended = await Promise.allSettled(calls)
    expect(ended.map(({ status }) => status).sort()).toEqual(['fulfilled', 'rejected'])
    const lost = calls[ended.findIndex(({ status }) => status === 'rejected')]!
    expect(await refusal(lost)).toEqual(refusedWith('ClientTokenConflict'))
    expect((await backfill.listJobs()).data.jobs).toHaveLength(1)
  })

  test('left out makes a new job each time', async () => {
    const { backfill } = await newcomer(network, service)
    const { clientToken: _, ...rest } = input
    const { data: first } = await backfill.createJob(rest)
    const { data: second } = await backfill.createJob(rest)
    expect(second.id > first.id).toBe(true)
  })
})
