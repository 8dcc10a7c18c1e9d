import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { VERSION } from '../../src/version.js'
import { createPlcCaller } from '../support/network/caller.js'
import { startTestService, type TestService } from '../support/service.js'
import { type Directory, exchange, newcomer, nsid, refusal, startDirectory } from './support.js'

const RELAYS = ['http://localhost:11', 'http://localhost:12']
const COLLECTIONS = ['network.example.status']

let network: Directory
let service: TestService

beforeAll(async () => {
  network = await startDirectory()
  service = await startTestService({ network, engine: false, environment: { RELAYS: RELAYS.join(',') } })
})

afterAll(async () => {
  await service?.[Symbol.asyncDispose]()
  await network?.[Symbol.asyncDispose]()
})

const describeIt = async () => {
  const { backfill } = await newcomer(network, service)
  return (await backfill.describeService()).data
}

describe('the service describes itself', () => {
  test('to anybody, in full', async () => {
    const { status, json } = await exchange(`${service.url}/xrpc/${nsid('describeService')}`)
    expect({ status, json }).toEqual({
      status: 200,
      json: {
        did: service.did,
        version: VERSION,
        relays: RELAYS.map((url) => ({ url })),
        limits: {
          maxCollections: 100,
          maxRepos: 1_000,
          maxInputBytes: 1_048_576,
          // Those of a job's repos are not limited.
          runningJobs: 20,
          requestsPerMinute: 3_000,
          streams: 40,
        },
        endpoints: expect.arrayContaining([{ nsid: nsid('describeService') }, { nsid: nsid('createJob') }]),
        methods: ['auto', 'list-records', 'get-repo', 'sparse'].map((name) => ({ name })),
        levels: ['none', 'content', 'signed'].map((name) => ({ name })),
      },
    })
    expect(json).toEqual(await describeIt())
  })

  test('by the DID that it is reached under', async () => {
    expect(service.did).toBe(`did:web:localhost%3A${new URL(service.url).port}`)
    const { did } = await createPlcCaller(network.plc)
    await using named = await startTestService({ network, engine: false, environment: { SERVICE_DID: did } })
    const { backfill } = await newcomer(network, named)
    expect((await backfill.describeService()).data.did).toBe(did)
    // It is also what tokens must be addressed to.
    expect((await backfill.listJobs()).data.jobs).toEqual([])
    expect(named.did).toBe(did)
  })

  test('with the methods and levels that createJob takes, and no others', async () => {
    const { backfill } = await newcomer(network, service)
    const { methods, levels } = await describeIt()
    for (const { name } of methods) {
      expect((await backfill.createJob({ collections: COLLECTIONS, method: name })).data.method).toBe(name)
    }
    for (const { name } of levels) {
      expect((await backfill.createJob({ collections: COLLECTIONS, level: name })).data.level).toBe(name)
    }
    const refused = await refusal(backfill.createJob({ collections: COLLECTIONS, method: 'magic' }))
    expect(refused.error).toBe('InvalidRequest')
    for (const { name } of methods) expect(refused.message).toContain(name)
  })

  test('with limits that hold: one more is too many', async () => {
    const { backfill } = await newcomer(network, service)
    const { maxCollections, maxRepos } = (await describeIt()).limits
    const collections = Array.from({ length: maxCollections + 1 }, (_, n) => `network.example.c${n}`)
    const repos = Array.from({ length: maxRepos + 1 }, (_, n) => `did:web:host${n}.example`)
    for (const input of [{ collections }, { repos }]) {
      expect((await refusal(backfill.createJob(input))).error).toBe('InvalidRequest')
    }
    await backfill.createJob({ collections: collections.slice(1), repos: repos.slice(1) })
  })
})
