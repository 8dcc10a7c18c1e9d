import type { Server as HttpServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import type { Keypair } from '@atproto/crypto'
import type { LexiconDoc, LexXrpcSubscription } from '@atproto/lexicon'
import { createServer, createServiceJwt, Subscription } from '@atproto/xrpc-server'
import express from 'express'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { IssuerUnresolvable } from '../../src/auth/errors.js'
import type { Requests } from '../../src/auth/requests.js'
import { createServiceAuth } from '../../src/auth/verifier.js'
import { ALICE, createWorld, METHOD, newK256, SERVICE_DID, standing, type World } from './auth-support.js'

/** Service auth where it is used: in a real xrpc-server over HTTP and WebSocket, on loopback. */

const STREAM = 'network.example.backfill.subscribeJob'
const output = { encoding: 'application/json' }
const message: LexXrpcSubscription['message'] = { schema: { type: 'union', refs: [] } }
const LEXICONS: LexiconDoc[] = [
  { lexicon: 1, id: METHOD, defs: { main: { type: 'procedure', output } } },
  { lexicon: 1, id: STREAM, defs: { main: { type: 'subscription', message } } },
]

let key: Keypair
/** Those of whoever calls. */
let requests: Requests | null
let world: World
let http: HttpServer
let origin: string

beforeEach(async () => {
  key = await newK256()
  requests = null
  const admit = async () => standing(new Set(['read', 'create']), { requests })
  world = createWorld({ [ALICE]: key }, { limiter: undefined, trustedProxies: 1, admit })
  world.nowMs = Date.now()
  const auth = createServiceAuth(world.options)
  const xrpc = createServer(LEXICONS)
  xrpc.method(METHOD, {
    auth: auth('create'),
    handler: ({ auth: { credentials } }) => ({
      encoding: 'application/json',
      body: { did: credentials.did },
    }),
  })
  xrpc.streamMethod(STREAM, {
    auth: auth('read'),
    async *handler({ auth: { credentials } }) {
      yield { did: credentials.did }
    },
  })
  const app = express().use(xrpc.router)
  http = app.listen(0, '127.0.0.1')
  await new Promise((resolve) => http.once('listening', resolve))
  origin = `http://127.0.0.1:${(http.address() as AddressInfo).port}`
})

afterEach(async () => {
  http.closeAllConnections()
  await new Promise((resolve) => http.close(resolve))
})

const token = (lxm: string, signer = key) =>
  createServiceJwt({ iss: ALICE, aud: SERVICE_DID, lxm, keypair: signer })

async function post(authorization?: string, forwarded = '198.51.100.7') {
  const headers: Record<string, string> = { 'x-forwarded-for': forwarded }
  if (authorization !== undefined) headers.authorization = authorization
  const response = await fetch(`${origin}/xrpc/${METHOD}`, { method: 'POST', headers })
  return { status: response.status, headers: response.headers, body: await response.json() }
}

describe('over HTTP', () => {
  it('a good token gives the handler its caller', async () => {
    const { status, headers, body } = await post(`Bearer ${await token(METHOD)}`)
    expect({ status, body }).toEqual({ status: 200, body: { did: ALICE } })
    expect(headers.has('www-authenticate')).toBe(false)
  })

  it.each([
    ['AuthMissing', async () => undefined],
    ['BadJwt', async () => 'Bearer a.b.c'],
    ['BadJwtLexiconMethod', async () => `Bearer ${await token(STREAM)}`],
    ['BadJwtSignature', async () => `Bearer ${await token(METHOD, await newK256())}`],
  ])('a refusal is a 401 %s with a challenge that says the same', async (error, authorization) => {
    const { status, headers, body } = await post(await authorization())
    expect({ status, body }).toEqual({ status: 401, body: { error, message: expect.any(String) } })
    expect(headers.get('www-authenticate')).toBe(`Bearer realm="${SERVICE_DID}", error="${error}"`)
    expect(headers.get('access-control-expose-headers')).toBe('WWW-Authenticate')
  })

  it('a directory that is out of reach is a 503 without detail', async () => {
    world.beforeLookUp = () => Promise.reject(new IssuerUnresolvable('connect ECONNREFUSED 10.1.2.3'))
    const { status, headers, body } = await post(`Bearer ${await token(METHOD)}`)
    expect(status).toBe(503)
    expect(body).toEqual({ error: 'DirectoryUnavailable', message: expect.not.stringContaining('10.1.2.3') })
    expect(headers.has('www-authenticate')).toBe(false)
  })

  it('the thirty-first failure of an address in a minute is a 429 that says when to come back', async () => {
    for (let i = 0; i < 30; i++) await post(undefined, `192.0.2.${i}, 198.51.100.7`)
    world.nowMs += 20_000
    const { status, headers, body } = await post(`Bearer ${await token(METHOD)}`)
    expect({ status, body }).toMatchObject({ status: 429, body: { error: 'RateLimitExceeded' } })
    expect(headers.get('retry-after')).toBe('40')
    expect(headers.get('ratelimit-limit')).toBe('30')
    expect(headers.get('ratelimit-remaining')).toBe('0')
    expect(headers.get('ratelimit-policy')).toBe('30;w=60')
    expect(Number(headers.get('ratelimit-reset'))).toBe(Math.ceil((world.nowMs + 40_000) / 1_000))
    expect((await post(`Bearer ${await token(METHOD)}`, '198.51.100.8')).status).toBe(200)
  })
})

describe('the requests of a caller', () => {
  const call = async () => post(`Bearer ${await token(METHOD)}`)
  const exposed = 'RateLimit-Limit, RateLimit-Remaining, RateLimit-Reset, RateLimit-Policy'

  it('are told of where they are limited, and not where they are not', async () => {
    expect((await call()).headers.has('ratelimit-limit')).toBe(false)
    requests = { limit: 7, count: 3, resetMs: 1_800_000_060_000 }
    const { status, headers } = await call()
    expect(status).toBe(200)
    expect(headers.get('ratelimit-limit')).toBe('7')
    expect(headers.get('ratelimit-remaining')).toBe('4')
    expect(headers.get('ratelimit-reset')).toBe('1800000060')
    expect(headers.get('ratelimit-policy')).toBe('7;w=60')
    expect(headers.get('access-control-expose-headers')).toBe(exposed)
    expect(headers.has('retry-after')).toBe(false)
  })

  it('are refused beyond the limit, with the time to come back', async () => {
    requests = { limit: 7, count: 7, resetMs: world.nowMs + 12_300 }
    expect((await call()).status).toBe(200)
    requests = { ...requests, count: 8 }
    const { status, headers, body } = await call()
    expect({ status, body }).toEqual({
      status: 429,
      body: {
        error: 'RateLimitExceeded',
        message: `${ALICE} may make 7 requests a minute; try again in 13 s`,
      },
    })
    expect(headers.get('ratelimit-limit')).toBe('7')
    expect(headers.get('ratelimit-remaining')).toBe('0')
    expect(headers.get('ratelimit-reset')).toBe(String(Math.ceil((world.nowMs + 12_300) / 1_000)))
    expect(headers.get('ratelimit-policy')).toBe('7;w=60')
    expect(headers.get('retry-after')).toBe('13')
    expect(headers.get('access-control-expose-headers')).toBe(`${exposed}, Retry-After`)
  })

  it('wait a second at least, whatever another process calls the time', async () => {
    requests = { limit: 0, count: 1, resetMs: world.nowMs - 5_000 }
    expect((await call()).headers.get('retry-after')).toBe('1')
  })

  it('are no failed authentications', async () => {
    requests = { limit: 0, count: 1, resetMs: world.nowMs + 1_000 }
    for (let i = 0; i < 31; i++)
      expect((await call()).body).toMatchObject({
        error: 'RateLimitExceeded',
        message: expect.stringContaining(ALICE),
      })
    requests = null
    expect((await call()).status).toBe(200)
  })
})

describe('over WebSocket', () => {
  const stream = async (authorization: string) => {
    const subscription = new Subscription({
      service: origin.replace('http', 'ws'),
      method: STREAM,
      headers: { authorization, 'x-forwarded-for': '198.51.100.7' },
      validate: (value) => value,
    })
    const messages: unknown[] = []
    for await (const message of subscription) messages.push(message)
    return messages
  }

  it('a good token gives the handler its caller', async () => {
    expect(await stream(`Bearer ${await token(STREAM)}`)).toEqual([{ did: ALICE }])
  })

  it('a refusal is an error frame with its name', async () => {
    await expect(stream(`Bearer ${await token(METHOD)}`)).rejects.toMatchObject({
      error: 'BadJwtLexiconMethod',
    })
  })

  it('and a close with 1008 and its name', async () => {
    const socket = new WebSocket(`${origin.replace('http', 'ws')}/xrpc/${STREAM}`)
    const closed = await new Promise<{ code: number; reason: string }>((resolve) => {
      socket.addEventListener('close', ({ code, reason }) => resolve({ code, reason }))
    })
    expect(closed).toEqual({ code: 1008, reason: 'AuthMissing' })
  })

  it('a request too many is an error frame too', async () => {
    requests = { limit: 3, count: 4, resetMs: world.nowMs + 1_000 }
    await expect(stream(`Bearer ${await token(STREAM)}`)).rejects.toMatchObject({
      error: 'RateLimitExceeded',
      message: expect.stringContaining('3 requests a minute'),
    })
  })

  it('failures count together with those over HTTP', async () => {
    for (let i = 0; i < 29; i++) await post()
    await expect(stream('Bearer a.b.c')).rejects.toMatchObject({ error: 'BadJwt' })
    await expect(stream(`Bearer ${await token(STREAM)}`)).rejects.toMatchObject({
      error: 'RateLimitExceeded',
    })
  })
})
