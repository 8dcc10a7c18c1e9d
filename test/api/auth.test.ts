import { Secp256k1Keypair } from '@atproto/crypto'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { createDatabase, type TestDatabase } from '../support/database.js'
import { type Caller, createPlcCaller, createWebCaller } from '../support/network/caller.js'
import { startDidWeb } from '../support/network/did-web.js'
import { LoopbackServer, sendError, sendJson } from '../support/network/loopback.js'
import { mintJwt } from '../support/network/service-jwt.js'
import { type WrongJwt, wrongJwts } from '../support/network/wrong-jwts.js'
import type { TestService } from '../support/service.js'
import { ask, askAs, askWith, expectRefused, METHOD, newAddress, startBehindProxy } from './auth-support.js'
import { type Directory, exchange, nsid, startDirectory } from './support.js'

const HOUR_MS = 3_600_000

let network: Directory
let service: TestService

beforeAll(async () => {
  network = await startDirectory()
  service = await startBehindProxy({ network })
})

afterAll(async () => {
  await service?.[Symbol.asyncDispose]()
  await network?.[Symbol.asyncDispose]()
})

describe.each([
  ['did:plc', () => createPlcCaller(network.plc)],
  ['did:web', () => createWebCaller()],
])('a caller with a %s', (_, create) => {
  let caller: Caller
  beforeAll(async () => {
    caller = await create()
  })
  afterAll(() => caller?.[Symbol.asyncDispose]())

  test('is let in, whichever way it names the service', async () => {
    for (const aud of [service.did, `${service.did}#atproto_backfill`]) {
      const { status, json, headers } = await askAs(service, caller, { aud })
      expect({ status, json }).toEqual({ status: 200, json: { jobs: [] } })
      expect(headers.has('www-authenticate')).toBe(false)
    }
    expectRefused(
      await askAs(service, caller, { aud: `${service.did}#atproto_labeler` }),
      401,
      'BadJwtAudience',
    )
  })

  test.each<[WrongJwt, string]>(
    Object.entries({
      'another audience': 'BadJwtAudience',
      'no audience': 'BadJwt',
      'another method': 'BadJwtLexiconMethod',
      'no method': 'BadJwtLexiconMethod',
      expired: 'JwtExpired',
      'valid for two hours': 'BadJwtLifetime',
      'no expiry': 'BadJwt',
      'issued in the future': 'JwtNotYetValid',
      'no jti': 'BadJwtId',
      'an empty jti': 'BadJwtId',
      'a key that is not there': 'BadJwtKey',
      'a session token': 'BadJwtType',
      'an issuer that is no DID': 'BadJwtIss',
      'an issuer that does not exist': 'UnknownIssuer',
      'HMAC instead of a signature': 'BadJwtSignature',
      'issued by a did:key': 'BadJwtIss',
      'signed by another key': 'BadJwtSignature',
      'signed on another curve': 'BadJwtSignature',
      'changed after signing': 'BadJwtSignature',
      'not signed': 'BadJwtSignature',
      'parts that are not JSON': 'BadJwt',
      'parts that are not base64url': 'BadJwt',
      'one part': 'BadJwt',
    } satisfies Record<WrongJwt, string>) as [WrongJwt, string][],
  )('is refused a token with the fault: %s', async (fault, error) => {
    const token = await wrongJwts[fault](caller, { aud: service.did, lxm: METHOD })
    const answer = await askWith(service, token)
    expectRefused(answer, 401, error)
    expect(answer.headers.get('www-authenticate')).toBe(`Bearer realm="${service.did}", error="${error}"`)
  })

  test('uses a token once', async () => {
    const token = await caller.serviceJwt({ aud: service.did, lxm: METHOD })
    expect((await askWith(service, token)).status).toBe(200)
    expectRefused(await askWith(service, token), 401, 'JwtReplayed')
  })

  test('takes another key, and the old one is worth nothing any more', async () => {
    await using other = await create()
    const oldKey = other.key
    expect((await askAs(service, other)).status).toBe(200)
    await other.rotateKey()
    expect((await askAs(service, other)).status).toBe(200)
    expectRefused(await askAs(service, other, { key: oldKey }), 401, 'BadJwtSignature')
  })
})

describe('a request without a token', () => {
  test.each([
    ['no header', null],
    ['an empty token', 'Bearer '],
    ['a password', 'Basic YWRtaW46YWRtaW4='],
    ['another scheme', 'DPoP a.b.c'],
    ['two words', 'Bearer a.b.c d'],
  ])('is refused: %s', async (_, authorization) => {
    expectRefused(await ask(service, authorization), 401, 'AuthMissing')
  })

  test.each([
    ['getJobStatus', { job: '3l3qo2vuowo2b' }],
    ['listJobs', {}],
    ['listJobRepos', { job: '3l3qo2vuowo2b' }],
    ['listRecords', { job: '3l3qo2vuowo2b' }],
  ])('is refused by %s', async (method, params) => {
    const headers = { 'x-forwarded-for': newAddress() }
    const url = `${service.url}/xrpc/${nsid(method)}?${new URLSearchParams(params)}`
    expectRefused(await exchange(url, { headers }), 401, 'AuthMissing')
  })

  test('is refused by createJob before its body is read', async () => {
    const headers = { 'x-forwarded-for': newAddress(), 'content-type': 'application/json' }
    const url = `${service.url}/xrpc/${nsid('createJob')}`
    expectRefused(await exchange(url, { method: 'POST', headers, body: '{' }), 401, 'AuthMissing')
  })

  test('is answered by describeService', async () => {
    expect((await exchange(`${service.url}/xrpc/${nsid('describeService')}`)).status).toBe(200)
  })
})

test('what two callers call their tokens is their own business', async () => {
  const callers = [await createPlcCaller(network.plc), await createPlcCaller(network.plc)]
  for (const caller of callers) expect((await askAs(service, caller, { jti: 'first' })).status).toBe(200)
})

test('an issuer whose document has no key for atproto is unknown', async () => {
  const key = await Secp256k1Keypair.create()
  await using host = await LoopbackServer.start((_url, _request, response) => {
    sendJson(response, 200, { '@context': ['https://www.w3.org/ns/did/v1'], id: did, service: [] })
  })
  const did = `did:web:localhost%3A${host.port}`
  const token = await mintJwt(did, key, { aud: service.did, lxm: METHOD })
  expectRefused(await askWith(service, token), 401, 'UnknownIssuer')
})

describe('two instances over one database', () => {
  let database: TestDatabase
  let instances: [TestService, TestService]
  let caller: Caller
  beforeAll(async () => {
    database = await createDatabase()
    const environment = { SERVICE_DID: service.did }
    instances = [
      await startBehindProxy({ network, database, environment }),
      await startBehindProxy({ network, database, environment }),
    ]
    caller = await createPlcCaller(network.plc)
  })
  afterAll(async () => {
    for (const instance of instances ?? []) await instance[Symbol.asyncDispose]()
    await database?.[Symbol.asyncDispose]()
  })

  test('take a token once between them', async () => {
    const token = await caller.serviceJwt({ aud: service.did, lxm: METHOD })
    expect((await askWith(instances[0], token)).status).toBe(200)
    expectRefused(await askWith(instances[1], token), 401, 'JwtReplayed')
  })

  test('take a token once between them when it comes to both at the same time', async () => {
    const token = await caller.serviceJwt({ aud: service.did, lxm: METHOD })
    const answers = await Promise.all(Array.from({ length: 10 }, (_, n) => askWith(instances[n % 2]!, token)))
    expect(answers.filter(({ status }) => status === 200)).toHaveLength(1)
    for (const answer of answers) if (answer.status !== 200) expectRefused(answer, 401, 'JwtReplayed')
  })

  test('both notice a key that was changed', async () => {
    await caller.rotateKey()
    for (const instance of instances) expect((await askAs(instance, caller)).status).toBe(200)
  })
})

describe('when the issuer cannot be looked up', () => {
  test('a did:plc is refused for now while the directory is down; a key known before still opens', async () => {
    const [known, unknown] = [await createPlcCaller(network.plc), await createPlcCaller(network.plc)]
    expect((await askAs(service, known)).status).toBe(200)
    await network.plc.stop()
    try {
      expectRefused(await askAs(service, unknown), 503, 'DirectoryUnavailable')
      expect((await askAs(service, known)).status).toBe(200)
      // It may be signed by a key that the directory has by now.
      const key = await Secp256k1Keypair.create()
      expectRefused(await askAs(service, known, { key }), 503, 'DirectoryUnavailable')
    } finally {
      await network.plc.restart()
    }
    expect((await askAs(service, unknown)).status).toBe(200)
  })

  test('a key known before opens for a day without the directory', async () => {
    let offsetMs = 0
    await using later = await startBehindProxy({ network, overrides: { now: () => Date.now() + offsetMs } })
    const caller = await createPlcCaller(network.plc)
    const askLater = async () => {
      const iat = Math.floor((Date.now() + offsetMs) / 1_000)
      const token = await caller.serviceJwt({ aud: later.did, lxm: METHOD, iat, exp: iat + 60 })
      return (await askWith(later, token)).status
    }
    expect(await askLater()).toBe(200)
    await network.plc.stop()
    try {
      offsetMs = 23 * HOUR_MS
      expect(await askLater()).toBe(200)
      offsetMs = 25 * HOUR_MS
      expect(await askLater()).toBe(503)
    } finally {
      await network.plc.restart()
    }
    expect(await askLater()).toBe(200)
  })

  test('a did:web is refused for now while its host is down; a key known before still opens', async () => {
    const [known, unknown] = [await createWebCaller(), await createWebCaller()]
    expect((await askAs(service, known)).status).toBe(200)
    await known[Symbol.asyncDispose]()
    await unknown[Symbol.asyncDispose]()
    expect((await askAs(service, known)).status).toBe(200)
    expectRefused(await askAs(service, unknown), 503, 'DirectoryUnavailable')
  })

  test('a host that fails says nothing about its did:web, and one without a document does', async () => {
    const key = await Secp256k1Keypair.create()
    await using broken = await LoopbackServer.start((_url, _request, response) =>
      sendError(response, 500, 'InternalServerError', 'broken'),
    )
    await using empty = await startDidWeb()
    const right = { aud: service.did, lxm: METHOD }
    const brokenToken = await mintJwt(`did:web:localhost%3A${broken.port}`, key, right)
    expectRefused(await askWith(service, brokenToken), 503, 'DirectoryUnavailable')
    expectRefused(await askWith(service, await mintJwt(empty.did, key, right)), 401, 'UnknownIssuer')
  })
})
