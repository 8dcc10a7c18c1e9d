import { DidResolver } from '@atproto/identity'
import { describe, expect, test } from 'vitest'
import { HttpFailure } from '../../src/atproto/http.js'
import { client, httpServer, rawServer, USER_AGENT } from './http-support.js'

describe('fetch', () => {
  test('answers as fetch does', async () => {
    const server = await httpServer((request, response) => {
      response.writeHead(404, {
        'content-type': 'application/json',
        'x-agent': request.headers['user-agent'],
      })
      response.end(JSON.stringify({ accept: request.headers.accept }))
    })
    const { fetch } = client()
    const inputs = [
      server.origin,
      new URL(server.origin),
      new Request(server.origin, { headers: { accept: 'a/b' } }),
    ]
    for (const input of inputs) {
      const init = input instanceof Request ? undefined : { headers: { accept: 'a/b' } }
      const response = await fetch(input, init)
      expect(response).toMatchObject({ ok: false, status: 404, statusText: 'Not Found', redirected: false })
      expect(response.url).toBe(`${server.origin}/`)
      expect(response.headers.get('x-agent')).toBe(USER_AGENT)
      expect(await response.json()).toEqual({ accept: 'a/b' })
    }
  })

  test('takes an answer without a body', async () => {
    const server = await httpServer((_request, response) => response.writeHead(204).end())
    const response = await client().fetch(server.origin)
    expect(response.status).toBe(204)
    expect(response.body).toBeNull()
  })

  test('does with a redirect as it is told', async () => {
    const server = await httpServer((request, response) => {
      if (request.url === '/end') response.end('arrived')
      else response.writeHead(302, { location: '/end' }).end()
    })
    const { fetch } = client()

    const followed = await fetch(server.origin)
    expect(followed).toMatchObject({ status: 200, redirected: true, url: `${server.origin}/end` })
    expect(await followed.text()).toBe('arrived')

    const manual = await fetch(server.origin, { redirect: 'manual' })
    expect(manual.status).toBe(302)
    expect(manual.headers.get('location')).toBe('/end')

    const before = server.requests.length
    await expect(fetch(server.origin, { redirect: 'error' })).rejects.toMatchObject({
      name: 'TypeError',
      cause: { name: 'HttpFailure', failure: 'bad-response' },
    })
    expect(server.requests.length).toBe(before + 1)
  })

  test('does not follow for ever', async () => {
    const server = await httpServer((_request, response) => response.writeHead(302, { location: '/' }).end())
    await expect(client().fetch(server.origin)).rejects.toMatchObject({ cause: { failure: 'bad-response' } })
    expect(server.requests).toHaveLength(6)
  })

  test('has the guards and limits of the client', async () => {
    const large = await httpServer((_request, response) => response.end(Buffer.alloc(512 * 1024 + 1)))
    await expect(client().fetch(large.origin)).rejects.toMatchObject({ cause: { failure: 'body-too-large' } })

    const guarded = client({ allowPrivateNetwork: false })
    const { host } = new URL(large.origin)
    for (const url of [`https://${host}`, `http://${host}`, `https://localhost:${large.port}`]) {
      const error: unknown = await guarded.fetch(url).catch((reason: unknown) => reason)
      expect(error).toBeInstanceOf(TypeError)
      expect((error as Error).cause).toBeInstanceOf(HttpFailure)
      expect((error as Error).cause).toMatchObject({ failure: 'host-blocked' })
    }
    expect(large.connections).toBe(1)
  })

  test('is for GET', async () => {
    await expect(client().fetch('https://pds.example.com', { method: 'POST' })).rejects.toThrow(/GET/)
  })

  test('rejects with the reason of the signal, given beside or in the request', async () => {
    const server = await httpServer(() => {})
    const { fetch } = client()
    const reason = new Error('no longer wanted')
    const { signal } = new AbortController()
    await expect(fetch(server.origin, { signal: AbortSignal.abort(reason) })).rejects.toBe(reason)
    await expect(fetch(server.origin, { signal: AbortSignal.timeout(50) })).rejects.toMatchObject({
      name: 'TimeoutError',
    })
    const inside = new Request(server.origin, { signal: AbortSignal.timeout(50) })
    await expect(fetch(inside)).rejects.toMatchObject({ name: 'TimeoutError' })
    await expect(
      fetch(new Request(server.origin, { signal }), { signal: AbortSignal.abort(reason) }),
    ).rejects.toBe(reason)
  })

  test('a status that fetch has no Response for is a bad response, not a crash', async () => {
    const server = await rawServer((socket) =>
      socket.end('HTTP/1.1 999 Request denied\r\ncontent-length: 0\r\n\r\n'),
    )
    await expect(client().fetch(server.origin)).rejects.toMatchObject({ cause: { failure: 'bad-response' } })
  })

  test('serves the DID resolver of @atproto/identity', async () => {
    const did = 'did:plc:ewvi7nxzyoun6zhxrhs64oiz'
    const server = await httpServer((request, response) => {
      const known = request.url === `/${encodeURIComponent(did)}`
      response
        .writeHead(known ? 200 : 404)
        .end(JSON.stringify(known ? { id: did } : { message: 'not registered' }))
    })
    const resolver = new DidResolver({ plcUrl: server.origin, timeout: 5_000, fetch: client().fetch })
    expect(await resolver.ensureResolve(did)).toEqual({ id: did })
    expect(await resolver.resolve('did:plc:aaaaaaaaaaaaaaaaaaaaaaaa')).toBeNull()
    const guarded = client({ allowPrivateNetwork: false })
    const blocked = new DidResolver({ plcUrl: server.origin, timeout: 5_000, fetch: guarded.fetch })
    await expect(blocked.resolve(did)).rejects.toMatchObject({ cause: { failure: 'host-blocked' } })
  })
})
