import { once } from 'node:events'
import { request as startRequest } from 'node:http'
import { gzipSync } from 'node:zlib'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type Caller, createPlcCaller } from '../support/network/caller.js'
import { startTestService, type TestService } from '../support/service.js'
import { callRaw, type Directory, exchange, nsid, startDirectory } from './support.js'

const COLLECTIONS = ['network.example.status']
const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/

let network: Directory
let service: TestService
let caller: Caller

beforeAll(async () => {
  network = await startDirectory()
  service = await startTestService({ network, engine: false })
  caller = await createPlcCaller(network.plc)
})

afterAll(async () => {
  await service?.[Symbol.asyncDispose]()
  await network?.[Symbol.asyncDispose]()
})

const at = (path: string, on = service) => `${on.url}${path}`
const health = (on: TestService) => exchange(at('/xrpc/_health', on))

describe('the DID document', () => {
  test('says where the service answers, and whose signature is its own', async () => {
    const { status, json } = await exchange(at('/.well-known/did.json'))
    expect({ status, json }).toEqual({
      status: 200,
      json: {
        '@context': ['https://www.w3.org/ns/did/v1', 'https://w3id.org/security/multikey/v1'],
        id: service.did,
        verificationMethod: [
          {
            id: `${service.did}#atproto`,
            type: 'Multikey',
            controller: service.did,
            publicKeyMultibase: service.service.serviceKey.did.slice('did:key:'.length),
          },
        ],
        service: [{ id: '#atproto_backfill', type: 'AtprotoBackfillService', serviceEndpoint: service.url }],
      },
    })
  })

  test('has the public address', async () => {
    const environment = { PUBLIC_URL: 'https://backfill.example' }
    await using named = await startTestService({ network, engine: false, environment })
    const { json } = await exchange(
      `http://127.0.0.1:${named.service.config.server.port}/.well-known/did.json`,
    )
    expect(json).toMatchObject({
      id: 'did:web:backfill.example',
      service: [{ serviceEndpoint: 'https://backfill.example' }],
    })
  })

  test('is left to the directory where the DID is a did:plc', async () => {
    await using named = await startTestService({
      network,
      engine: false,
      environment: { SERVICE_DID: caller.did },
    })
    const { status, json } = await exchange(at('/.well-known/did.json', named))
    expect({ status, json }).toEqual({
      status: 404,
      json: { error: 'NotFound', message: expect.stringContaining(caller.did) },
    })
  })
})

describe('the name of a request', () => {
  test('is new for each', async () => {
    const ids = await Promise.all(
      [1, 2, 3].map(async () => (await health(service)).headers.get('x-request-id')),
    )
    for (const id of ids) expect(id).toMatch(UUID)
    expect(new Set(ids).size).toBe(3)
  })

  test.each(['abc', 'A-1_b.2', 'x'.repeat(64)])('is the one it came with: %s', async (id) => {
    const { headers } = await exchange(at('/xrpc/_health'), { headers: { 'x-request-id': id } })
    expect(headers.get('x-request-id')).toBe(id)
  })

  test.each(['', 'a b', 'x'.repeat(65), '"quoted"', 'line%0d'])(
    'is ours where it came with %j',
    async (id) => {
      const { headers } = await exchange(at('/xrpc/_health'), { headers: { 'x-request-id': id } })
      expect(headers.get('x-request-id')).toMatch(UUID)
    },
  )

  test.each(['/', '/.well-known/did.json', `/xrpc/${nsid('listJobs')}`, '/xrpc/a.b.nothing', '/xrpc/%ff'])(
    'comes with every answer: %s',
    async (path) => {
      const { headers } = await exchange(at(path), { headers: { 'x-request-id': 'mine' } })
      expect(headers.get('x-request-id')).toBe('mine')
      expect(headers.has('x-powered-by')).toBe(false)
    },
  )
})

describe('a request that is none of ours', () => {
  test.each([
    [501, 'MethodNotImplemented', 'GET', `/xrpc/${nsid('nothing')}`],
    [501, 'MethodNotImplemented', 'POST', `/xrpc/${nsid('nothing')}`],
    [501, 'MethodNotImplemented', 'GET', '/xrpc/com.atproto.sync.getRepo'],
    [501, 'MethodNotImplemented', 'GET', `/xrpc/${nsid('defs')}`],
    [400, 'InvalidRequest', 'GET', `/xrpc/${nsid('createJob')}`],
    [400, 'InvalidRequest', 'POST', `/xrpc/${nsid('listJobs')}`],
    [400, 'InvalidRequest', 'DELETE', `/xrpc/${nsid('getJobStatus')}`],
    [400, 'InvalidRequest', 'GET', '/xrpc/'],
    [400, 'InvalidRequest', 'GET', '/xrpc/not%20a%20method'],
    [400, 'InvalidRequest', 'GET', '/xrpc/%ff'],
    [400, 'InvalidRequest', 'GET', `/xrpc/${nsid('listJobs')}/more`],
  ])('is refused as %i %s: %s %s', async (status, error, method, path) => {
    const answer = await exchange(at(path), { method })
    expect({ status: answer.status, json: answer.json }).toEqual({
      status,
      json: { error, message: expect.any(String) },
    })
  })

  test.each([
    '/',
    '/index.html',
    '/metrics.php',
    '/.well-known/atproto-did',
    '/%ff',
    '/..%2f..%2fetc/passwd',
  ])('gets no page: %s', async (path) => {
    const { status, text } = await exchange(at(path))
    expect(status).toBeGreaterThanOrEqual(400)
    expect(status).toBeLessThan(500)
    expect(text).not.toMatch(/node_modules|at .*:\d+:\d+/)
  })
})

describe('a body', () => {
  const body = JSON.stringify({ collections: COLLECTIONS })
  /** `size` bytes of it; the service ignores the filling. */
  const filled = (size: number) => {
    const start = `${body.slice(0, -1)},"filling":"`
    return `${start}${'x'.repeat(size - start.length - 2)}"}`
  }
  const post = (content: string | Uint8Array<ArrayBuffer>, headers: Record<string, string> = {}) =>
    callRaw(service, caller, 'createJob', { body: content, headers })

  test.each(['application/json', 'application/json; charset=utf-8'])('may be %s', async (type) => {
    expect((await post(body, { 'content-type': type })).status).toBe(200)
  })

  test.each(['text/plain', 'application/x-www-form-urlencoded', 'application/cbor', 'nonsense'])(
    'may not be %s',
    async (type) => {
      const { status, json } = await post(body, { 'content-type': type })
      expect(status).toBe(400)
      expect(json).toEqual({ error: 'InvalidRequest', message: expect.stringMatching(/content-type/i) })
    },
  )

  test('must be there', async () => {
    const authorization = await caller.authorization({ aud: service.did, lxm: nsid('createJob') })
    const { status, json } = await exchange(at(`/xrpc/${nsid('createJob')}`), {
      method: 'POST',
      headers: { ...authorization, 'content-type': 'application/json' },
    })
    expect({ status, json }).toMatchObject({ status: 400, json: { message: expect.any(String) } })
  })

  test.each(['{', '{"collections":[}', 'nothing', '{"a":1}{"b":2}', '\u0000', "{'collections':[]}"])(
    'that is not JSON is refused: %j',
    async (content) => {
      const { status, json } = await post(content)
      expect({ status, json }).toEqual({
        status: 400,
        json: { error: 'InvalidRequest', message: expect.any(String) },
      })
    },
  )

  test('may have 1 MiB, and not a byte more', async () => {
    const limit = 1024 * 1024
    expect((await post(filled(limit))).status).toBe(200)
    const { status, json } = await post(filled(limit + 1))
    expect({ status, json }).toEqual({
      status: 413,
      json: { error: 'PayloadTooLarge', message: expect.any(String) },
    })
  })

  test('may be compressed, and has its size when it is not', async () => {
    const gzip = { 'content-encoding': 'gzip' }
    expect((await post(new Uint8Array(gzipSync(filled(100_000))), gzip)).status).toBe(200)
    const bomb = await post(new Uint8Array(gzipSync(filled(30_000_000))), gzip)
    expect(bomb).toMatchObject({ status: 413, json: { error: 'PayloadTooLarge' } })
    expect(await post(new Uint8Array([1, 2, 3]), gzip)).toMatchObject({
      status: 400,
      json: { error: 'InvalidRequest' },
    })
    expect(await post(body, { 'content-encoding': 'rot13' })).toMatchObject({
      status: 415,
      json: { error: 'UnsupportedMediaType' },
    })
  })

  test('is not for queries', async () => {
    const authorization = await caller.authorization({ aud: service.did, lxm: nsid('listJobs') })
    const headers = { ...authorization, 'content-length': '2', 'content-type': 'application/json' }
    // fetch would not send it.
    const request = startRequest(at(`/xrpc/${nsid('listJobs')}`), { headers }).end('{}')
    const [response] = await once(request, 'response')
    const [status, json] = [response.statusCode, JSON.parse((await response.toArray()).join(''))]
    expect({ status, json }).toMatchObject({ status: 400, json: { error: 'InvalidRequest' } })
  })
})
