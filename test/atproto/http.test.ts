import { once } from 'node:events'
import { createServer } from 'node:net'
import { describe, expect, test } from 'vitest'
import {
  client,
  failureOf,
  httpServer,
  httpsServer,
  rawServer,
  resolver,
  USER_AGENT,
} from './http-support.js'

const roomy = { maxBytes: 1024 * 1024, timeoutMs: 10_000 }

describe('an answer', () => {
  test('is a response whatever its status, with its headers and body', async () => {
    const server = await httpServer((request, response) => {
      const status = Number(request.url?.slice(1))
      response.setHeader('X-Two', ['a', 'b'])
      response
        .writeHead(status, { 'X-Status': String(status) })
        .end(status === 304 ? undefined : `status ${status}`)
    })
    const http = client()
    for (const status of [200, 204, 304, 400, 404, 429, 500, 503]) {
      const response = await http.get({ url: `${server.origin}/${status}`, ...roomy })
      expect(response.status).toBe(status)
      expect(response.headers['x-status']).toBe(String(status))
      expect(response.headers['x-two']).toBe('a, b')
      expect(response.headers.constructor).toBeUndefined()
      expect(response.body.toString()).toBe([204, 304].includes(status) ? '' : `status ${status}`)
    }
  })

  test('was asked for with our name, in gzip, and with what the caller wants said', async () => {
    const server = await httpServer((request, response) => response.end(JSON.stringify(request.headers)))
    const headers = {
      'X-Extra': 'yes',
      'User-Agent': 'somebody else',
      'accept-encoding': 'br',
      Host: 'other',
    }
    const url = `${server.origin}/?a=b%20c`
    const response = await client().get({ url, accept: 'application/json', headers, ...roomy })
    expect(JSON.parse(response.body.toString())).toEqual({
      accept: 'application/json',
      'accept-encoding': 'gzip',
      connection: 'keep-alive',
      host: `127.0.0.1:${server.port}`,
      'user-agent': USER_AGENT,
      'x-extra': 'yes',
    })
    expect(server.requests[0]).toContain('/?a=b%20c')
  })

  test('goes over a connection that is kept', async () => {
    const server = await httpServer((_request, response) => response.end('here'))
    const http = client()
    for (let count = 0; count < 20; count++) await http.get({ url: server.origin, ...roomy })
    expect(server.requests).toHaveLength(20)
    expect(server.connections).toBe(1)
  })

  test('goes over a connection that is given up once it is idle', async () => {
    let closed = false
    const server = await rawServer((socket) => {
      socket.on('close', () => {
        closed = true
      })
      socket.write('HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok')
    })
    const http = client({}, { idleMs: 50 })
    await http.get({ url: server.origin, ...roomy })
    expect(closed).toBe(false)
    await expect.poll(() => closed, { timeout: 10_000 }).toBe(true)
    await http.get({ url: server.origin, ...roomy })
    expect(server.connections).toBe(2)
  })

  test('comes from the host that the system finds by its name', async () => {
    const server = await httpServer((_request, response) => response.end('here'))
    const response = await client().get({ url: `http://localhost:${server.port}/`, ...roomy })
    expect(response.body.toString()).toBe('here')
    expect(server.requests).toEqual([`localhost:${server.port} /`])
  })

  test('is waited for in line when all connections of the origin are busy', async () => {
    let atOnce = 0
    let most = 0
    const server = await httpServer((_request, response) => {
      most = Math.max(most, ++atOnce)
      setTimeout(() => {
        atOnce--
        response.end()
      }, 20)
    })
    const http = client({}, { connectionsPerOrigin: 3 })
    await Promise.all(Array.from({ length: 12 }, () => http.get({ url: server.origin, ...roomy })))
    expect(most).toBe(3)
    expect(server.connections).toBe(3)
  })

  test('each request that goes out is announced', async () => {
    const server = await httpServer((request, response) => {
      if (request.url === '/end') response.end()
      else response.writeHead(302, { location: '/end' }).end()
    })
    const seen: unknown[] = []
    const http = client({ onRequest: (info) => seen.push(info) })
    await http.get({ url: `${server.origin}/start`, maxRedirects: 1, ...roomy })
    expect(seen).toEqual([
      { url: `${server.origin}/start`, hop: 0 },
      { url: `${server.origin}/end`, hop: 1 },
    ])
  })
})

describe('no answer', () => {
  test('nobody listens', async () => {
    const server = createServer().listen(0, '127.0.0.1')
    await once(server, 'listening')
    const { port } = server.address() as { port: number }
    server.close()
    await once(server, 'close')
    const failure = await failureOf(client().get({ url: `http://127.0.0.1:${port}`, ...roomy }))
    expect(failure.failure).toBe('connection-failed')
    expect(failure.message).toBe(`127.0.0.1:${port}: the connection was refused (ECONNREFUSED)`)
  })

  test('none of the addresses of a name answers', async () => {
    const server = createServer().listen(0, '127.0.0.1')
    await once(server, 'listening')
    const { port } = server.address() as { port: number }
    server.close()
    await once(server, 'close')
    const http = client({ lookup: resolver({ 'pds.example.com': ['127.0.0.1', '127.0.0.2'] }) })
    const failure = await failureOf(http.get({ url: `http://pds.example.com:${port}`, ...roomy }))
    expect(failure.failure).toBe('connection-failed')
    expect(failure.message).toMatch(/refused/)
  })

  test.each([
    ['nothing', ''],
    ['half of the headers', 'HTTP/1.1 200 OK\r\ncontent-le'],
    ['less than the announced length', 'HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{"records":[]}'],
    ['a chunk that breaks off', 'HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n64\r\n{"rec'],
    ['something that is not HTTP', '\u0000\u0001SSH-2.0-OpenSSH\r\n'],
    ['a chunk size that is none', 'HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n'],
    ['two lengths', 'HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nab'],
    ['another protocol', 'HTTP/1.1 101 Switching\r\nconnection: upgrade\r\nupgrade: x\r\n\r\n'],
  ])('%s, and the connection ends', async (_what, answer) => {
    const server = await rawServer((socket) => socket.end(answer))
    const failure = await failureOf(client().get({ url: server.origin, ...roomy }))
    expect(failure.failure).toBe('connection-failed')
  })

  test('the connection is reset in the middle of the body', async () => {
    const server = await rawServer((socket) => {
      socket.write('HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nabc', () => socket.resetAndDestroy())
    })
    const failure = await failureOf(client().get({ url: server.origin, ...roomy }))
    expect(failure.failure).toBe('connection-failed')
  })

  test('a name that does not exist, and a resolver that does not answer', async () => {
    const gone = client({ lookup: resolver({}) })
    const missing = await failureOf(gone.get({ url: 'http://gone.example.com/', ...roomy }))
    expect(missing.failure).toBe('dns-failure')
    expect(missing.message).toBe('gone.example.com: there is no such name in DNS (ENOTFOUND)')

    const broken = client({
      lookup: (_hostname, _options, callback) =>
        callback(Object.assign(new Error('getaddrinfo EAI_AGAIN'), { code: 'EAI_AGAIN' }), []),
    })
    const failure = await failureOf(broken.get({ url: 'http://gone.example.com/', ...roomy }))
    expect(failure.failure).toBe('dns-failure')

    const empty = client({ lookup: resolver({ 'empty.example.com': [] }) })
    const none = await failureOf(empty.get({ url: 'http://empty.example.com/', ...roomy }))
    expect(none.failure).toBe('dns-failure')
  })

  test('a certificate that nobody vouches for', async () => {
    const server = await httpsServer((_request, response) => response.end())
    const http = client({ lookup: resolver({ 'pds.example.com': ['127.0.0.1'] }) })
    const failure = await failureOf(http.get({ url: `https://pds.example.com:${server.port}/`, ...roomy }))
    expect(failure.failure).toBe('connection-failed')
    expect(failure.message).toMatch(/TLS: self-signed certificate \(DEPTH_ZERO_SELF_SIGNED_CERT\)$/)
  })

  test('a host is asked again after it failed', async () => {
    let fail = true
    const server = await rawServer((socket) => {
      if (fail) socket.resetAndDestroy()
      else socket.end('HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok')
    })
    const http = client()
    expect((await failureOf(http.get({ url: server.origin, ...roomy }))).failure).toBe('connection-failed')
    fail = false
    expect((await http.get({ url: server.origin, ...roomy })).body.toString()).toBe('ok')
  })

  test('messages are one bounded line without anything a log or a database trips over', async () => {
    const http = client({
      lookup: (_hostname, _options, callback) =>
        callback(new Error(`a\u0000b\nc\ud800${'x'.repeat(10_000)}`), []),
    })
    const { message } = await failureOf(http.get({ url: 'http://odd.example.com/', ...roomy }))
    expect(message.length).toBeLessThanOrEqual(300)
    expect(message).toMatch(/^odd\.example\.com: a b c\ufffdx+…$/)
  })
})

describe('an abort', () => {
  test('before, while connecting, while waiting and in the body rejects with the reason', async () => {
    const server = await httpServer((request, response) => {
      if (request.url === '/body') response.write('the beginning')
    })
    const http = client({
      lookup: (hostname, options, callback) => {
        if (hostname !== 'silent.example.com') resolver({})(hostname, options, callback)
      },
    })
    const reason = new Error('the job was cancelled')
    const earlier = http.get({ url: server.origin, ...roomy, signal: AbortSignal.abort(reason) })
    await expect(earlier).rejects.toBe(reason)
    expect(server.connections).toBe(0)
    for (const url of ['http://silent.example.com/', `${server.origin}/headers`, `${server.origin}/body`]) {
      const controller = new AbortController()
      const pending = http.get({ url, ...roomy, signal: controller.signal })
      setTimeout(() => controller.abort(reason), 50)
      await expect(pending).rejects.toBe(reason)
    }
  })

  test('closes the connection', async () => {
    let closed = false
    const server = await rawServer((socket) => {
      socket.on('close', () => {
        closed = true
      })
    })
    const controller = new AbortController()
    const pending = client().get({ url: server.origin, ...roomy, signal: controller.signal })
    setTimeout(() => controller.abort(), 50)
    await expect(pending).rejects.toMatchObject({ name: 'AbortError' })
    await expect.poll(() => closed, { timeout: 10_000 }).toBe(true)
  })

  test('a signal that many requests share keeps nothing of them', async () => {
    const server = await httpServer((_request, response) => response.end('here'))
    const http = client()
    const { signal } = new AbortController()
    let listeners = 0
    const { addEventListener, removeEventListener } = signal
    signal.addEventListener = (...args: Parameters<typeof addEventListener>) => {
      listeners++
      addEventListener.apply(signal, args)
    }
    signal.removeEventListener = (...args: Parameters<typeof removeEventListener>) => {
      listeners--
      removeEventListener.apply(signal, args)
    }
    for (let count = 0; count < 5; count++) await http.get({ url: server.origin, ...roomy, signal })
    expect(listeners).toBe(0)
  })
})

test('close ends what is under way, and later requests, without calling it a failure of the host', async () => {
  const server = await httpServer(() => {})
  const http = client({}, { connectionsPerOrigin: 1 })
  const pending = [1, 2].map(() => http.get({ url: server.origin, ...roomy }))
  const outcomes = Promise.allSettled(pending)
  await expect.poll(() => server.requests.length, { timeout: 10_000 }).toBe(1)
  await http.close()
  for (const outcome of await outcomes) {
    expect(outcome).toMatchObject({ status: 'rejected', reason: { name: 'AbortError' } })
  }
  await expect(http.get({ url: server.origin, ...roomy })).rejects.toMatchObject({ name: 'AbortError' })
})
