import type { Keypair } from '@atproto/crypto'
import { createServiceJwt } from '@atproto/xrpc-server'
import { beforeAll, describe, expect, it } from 'vitest'
import { createServiceAuth } from '../../src/auth/verifier.js'
import {
  ALICE,
  base64Url,
  type Claims,
  createWorld,
  goodClaims,
  jsonPart,
  METHOD,
  makeToken,
  newK256,
  newP256,
  outcomeOf,
  request,
  SERVICE_B,
  SERVICE_DID,
  START_MS,
  signParts,
  type World,
} from './auth-support.js'

let k256: Keypair
let p256: Keypair
let world: World
const now = START_MS / 1_000

beforeAll(async () => {
  k256 = await newK256()
  p256 = await newP256()
})

/** A fresh world per call, so that look-ups and remembered tokens belong to one token. */
async function call(token: string | undefined) {
  world = createWorld({ [ALICE]: k256, [SERVICE_B]: p256 })
  return world.call(token)
}

describe('tokens that are accepted', () => {
  it.each<[string, Claims, Claims?]>([
    ['as the specification writes them', {}],
    ['our DID with the service fragment as audience', { aud: `${SERVICE_DID}#atproto_backfill` }],
    ['no typ', {}, { typ: undefined }],
    ['kid: the bare name', {}, { kid: 'atproto' }],
    ['kid: a fragment', {}, { kid: '#atproto' }],
    ['kid: a DID URL', {}, { kid: `${ALICE}#atproto` }],
    ['exp exactly an hour ahead', { exp: now + 3_600 }],
    ['exp in this very second', { exp: now }],
    ['no iat', { iat: undefined }],
    ['iat 30 s ahead of our clock', { iat: now + 30 }],
    ['nbf in the past', { nbf: now - 1 }],
    ['times with fractions', { exp: now + 59.5, iat: now - 0.5 }],
    ['a jti of 128 characters', { jti: 'x'.repeat(128) }],
    ['claims nobody asked for', { nonce: 'n', sub: 5, extra: { deep: [1] } }],
  ])('%s', async (_, claims, header) => {
    expect(await call(await makeToken(k256, claims, header))).toEqual({ did: ALICE })
  })

  it('a P-256 key, and a did:web', async () => {
    expect(await call(await makeToken(p256, { iss: SERVICE_B }))).toEqual({ did: SERVICE_B })
  })

  it('a did:web with a port', async () => {
    const issuer = 'did:web:localhost%3A2583'
    world = createWorld({ [issuer]: p256 })
    expect(await world.call(await makeToken(p256, { iss: issuer }))).toEqual({ did: issuer })
  })

  it('what xrpc-server itself makes for a caller', async () => {
    const claims = { iss: ALICE, aud: SERVICE_DID, lxm: METHOD, iat: now, exp: now + 60 }
    expect(await call(await createServiceJwt({ ...claims, keypair: k256 }))).toEqual({ did: ALICE })
  })

  it('any case of the scheme, and any number of spaces', async () => {
    world = createWorld({ [ALICE]: k256 })
    const verify = createServiceAuth(world.options)('read')
    const req = request(`bearer   ${await makeToken(k256)} `)
    expect(await outcomeOf(verify({ req }))).toEqual({ did: ALICE })
  })

  it('remembers issuer, jti and expiry', async () => {
    await call(await makeToken(k256, { jti: 'once', exp: now + 10 }))
    expect(world.remembered).toEqual([{ issuer: ALICE, jti: 'once', expiresAt: new Date(START_MS + 10_000) }])
  })
})

describe('claims and headers that do not hold are refused before any DID is resolved', () => {
  it.each<[string, string, Claims, Claims?]>([
    ['another audience', 'BadJwtAudience', { aud: 'did:web:other.example' }],
    ['another service of ours', 'BadJwtAudience', { aud: `${SERVICE_DID}#atproto_labeler` }],
    ['an empty fragment', 'BadJwtAudience', { aud: `${SERVICE_DID}#` }],
    ['no audience', 'BadJwt', { aud: undefined }],
    ['a list of audiences', 'BadJwt', { aud: [SERVICE_DID] }],
    ['another method', 'BadJwtLexiconMethod', { lxm: 'network.example.backfill.listJobs' }],
    ['no method', 'BadJwtLexiconMethod', { lxm: undefined }],
    ['an empty method', 'BadJwtLexiconMethod', { lxm: '' }],
    ['a method that is no string', 'BadJwt', { lxm: [METHOD] }],
    ['exp a second ago', 'JwtExpired', { exp: now - 1 }],
    ['exp long ago', 'JwtExpired', { exp: -1e300 }],
    ['exp more than an hour ahead', 'BadJwtLifetime', { exp: now + 3_601 }],
    ['exp a year ahead', 'BadJwtLifetime', { exp: now + 31_536_000 }],
    ['exp in milliseconds', 'BadJwtLifetime', { exp: START_MS + 60_000 }],
    ['exp enormous', 'BadJwtLifetime', { exp: 1.7e308 }],
    ['no exp', 'BadJwt', { exp: undefined }],
    ['exp null (NaN and Infinity in JSON)', 'BadJwt', { exp: Number.NaN }],
    ['exp a string', 'BadJwt', { exp: String(now + 60) }],
    ['iat 31 s ahead', 'JwtNotYetValid', { iat: now + 31 }],
    ['iat a string', 'BadJwt', { iat: 'now' }],
    ['nbf ahead', 'JwtNotYetValid', { nbf: now + 31 }],
    ['nbf an object', 'BadJwt', { nbf: {} }],
    ['no issuer', 'BadJwt', { iss: undefined }],
    ['an issuer that is a number', 'BadJwt', { iss: 7 }],
    ['an issuer that is no DID', 'BadJwtIss', { iss: 'alice.example' }],
    ['an issuer with a fragment', 'BadJwtIss', { iss: `${ALICE}#atproto` }],
    ['an issuer with a service fragment', 'BadJwtIss', { iss: `${SERVICE_B}#atproto_labeler` }],
    ['did:key', 'BadJwtIss', { iss: 'did:key:zQ3shokFTS3brHcDQrn82RUDfCZESWL1ZdCEJwekUDPQiYBme' }],
    ['did:plc too short', 'BadJwtIss', { iss: 'did:plc:aaaa' }],
    ['did:plc with a path', 'BadJwtIss', { iss: `${ALICE}/../x` }],
    ['did:plc in capitals', 'BadJwtIss', { iss: ALICE.toUpperCase() }],
    ['did:web with a path', 'BadJwtIss', { iss: 'did:web:appview.example:users:alice' }],
    ['did:web with an encoded path', 'BadJwtIss', { iss: 'did:web:appview.example%2Fusers' }],
    ['did:web with an encoded user', 'BadJwtIss', { iss: 'did:web:appview.example%40evil.example' }],
    ['did:web with an encoded query', 'BadJwtIss', { iss: 'did:web:appview.example%3Fx' }],
    ['did:web with an odd port', 'BadJwtIss', { iss: 'did:web:appview.example%3A0x50' }],
    ['did:web in capitals', 'BadJwtIss', { iss: 'did:web:Appview.example' }],
    ['did:web with an empty label', 'BadJwtIss', { iss: 'did:web:appview..example' }],
    ['did:web of no name', 'BadJwtIss', { iss: 'did:web:' }],
    ['did:web of an endless name', 'BadJwtIss', { iss: `did:web:${'a.'.repeat(200)}example` }],
    ['another DID method', 'BadJwtIss', { iss: 'did:example:123456789abcdefghi' }],
    ['no jti', 'BadJwtId', { jti: undefined }],
    ['an empty jti', 'BadJwtId', { jti: '' }],
    ['a jti of 129 characters', 'BadJwtId', { jti: 'x'.repeat(129) }],
    ['a jti that is a number', 'BadJwtId', { jti: 12 }],
    ['a jti that no database stores', 'BadJwtId', { jti: 'a\u0000b' }],
    ['a jti that is not Unicode', 'BadJwtId', { jti: 'a\ud800b' }],
    ['an access token', 'BadJwtType', {}, { typ: 'at+jwt' }],
    ['an access token, written out', 'BadJwtType', {}, { typ: 'application/AT+JWT' }],
    ['a refresh token', 'BadJwtType', {}, { typ: 'refresh+jwt' }],
    ['a DPoP proof', 'BadJwtType', {}, { typ: 'dpop+jwt' }],
    ['a typ that is no string', 'BadJwt', {}, { typ: 1 }],
    ['alg none', 'BadJwtSignature', {}, { alg: 'none' }],
    ['alg HS256', 'BadJwtSignature', {}, { alg: 'HS256' }],
    ['no alg', 'BadJwt', {}, { alg: undefined }],
    ['an extension we cannot know', 'BadJwt', {}, { crit: ['b64'], b64: false }],
    ['kid of another key', 'BadJwtKey', {}, { kid: 'atproto_label' }],
    ['kid of another DID', 'BadJwtKey', {}, { kid: `${SERVICE_B}#atproto` }],
    ['an empty kid', 'BadJwtKey', {}, { kid: '' }],
    ['kid that is no string', 'BadJwt', {}, { kid: ['#atproto'] }],
  ])('%s: %s', async (_, error, claims, header) => {
    expect(await call(await makeToken(k256, claims, header))).toMatchObject({ status: 401, error })
    expect(world.lookUps).toEqual([])
    expect(world.remembered).toEqual([])
  })
})

describe('what is no token at all', () => {
  it.each<[string, string | undefined]>([
    ['no header', undefined],
    ['an empty header', ''],
    ['no token', 'Bearer '],
    ['another scheme', 'Basic YWRtaW46cGFzcw=='],
    ['a bare token', 'a.b.c'],
    ['two tokens', 'Bearer a.b.c d.e.f'],
  ])('AuthMissing: %s', async (_, header) => {
    world = createWorld({ [ALICE]: k256 })
    const verify = createServiceAuth(world.options)('read')
    expect(await outcomeOf(verify({ req: request(header) }))).toMatchObject({
      status: 401,
      error: 'AuthMissing',
    })
  })

  const good = jsonPart({ typ: 'JWT', alg: 'ES256K' })
  const signature = base64Url(new Uint8Array(64))
  it.each<[string, () => string]>([
    ['one part', () => 'abc'],
    ['two parts', () => `${good}.${jsonPart(goodClaims())}`],
    ['four parts', () => `${good}.${jsonPart(goodClaims())}.${signature}.${signature}`],
    ['three parts that are no JSON', () => 'a.b.c'],
    ['empty parts', () => '..'],
    ['a header that is an array', () => `${jsonPart([])}.${jsonPart(goodClaims())}.${signature}`],
    ['a header that is null', () => `${jsonPart(null)}.${jsonPart(goodClaims())}.${signature}`],
    ['claims that are a string', () => `${good}.${jsonPart('claims')}.${signature}`],
    ['claims that are an array', () => `${good}.${jsonPart([goodClaims()])}.${signature}`],
    [
      'claims that are not UTF-8',
      () =>
        `${good}.${base64Url(Buffer.from(JSON.stringify({ ...goodClaims(), x: '\u00ff' }), 'latin1'))}.${signature}`,
    ],
    [
      'claims with a byte order mark',
      () => `${good}.${base64Url(`\ufeff${JSON.stringify(goodClaims())}`)}.${signature}`,
    ],
    [
      'an exp that overflows',
      () =>
        `${good}.${base64Url(JSON.stringify(goodClaims()).replace(/"exp":\d+/, '"exp":1e999'))}.${signature}`,
    ],
    ['claims nested very deeply', () => `${good}.${base64Url('['.repeat(5_000))}.${signature}`],
    ['padding', () => `${good}.${jsonPart({ ...goodClaims(), x: 1 })}=.${signature}`],
    ['plain base64', () => `${good}.${jsonPart(goodClaims())}.${signature.slice(0, -2)}+/`],
    ['bits beyond the end', () => `${good}.${jsonPart(goodClaims())}.${signature.slice(0, -1)}B`],
    ['a signature that is no base64', () => `${good}.${jsonPart(goodClaims())}.***`],
  ])('BadJwt: %s', async (_, token) => {
    expect(await call(token())).toMatchObject({ status: 401, error: 'BadJwt' })
    expect(world.lookUps).toEqual([])
  })

  it('BadJwt: a token of more than 8 KiB, even if all of it is well signed', async () => {
    const long = await makeToken(k256, { padding: 'x'.repeat(8_192) })
    expect(await call(long)).toMatchObject({ status: 401, error: 'BadJwt' })
    const short = await makeToken(k256, { padding: 'x'.repeat(5_000) })
    expect(await call(short)).toEqual({ did: ALICE })
  })
})

it('of two claims with one name the last one counts, and it is the one that was signed', async () => {
  const claims = JSON.stringify(goodClaims()).replace('{', `{"iss":"did:plc:${'b'.repeat(24)}",`)
  const token = await signParts(k256, jsonPart({ typ: 'JWT', alg: 'ES256K' }), base64Url(claims))
  expect(await call(token)).toEqual({ did: ALICE })
})

it('is bound to the method of the path it was sent to, not to the parameters', async () => {
  world = createWorld({ [ALICE]: k256 })
  const other = 'network.example.backfill.listJobs'
  expect(await world.call(await makeToken(k256, { lxm: other }), 'read', { method: other })).toEqual({
    did: ALICE,
  })
  const smuggled = `${other}?lxm=${METHOD}`
  expect(await world.call(await makeToken(k256), 'read', { method: smuggled })).toMatchObject({
    error: 'BadJwtLexiconMethod',
  })
})
