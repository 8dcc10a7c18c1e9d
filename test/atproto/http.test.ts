import { once } from 'node:events'
import { createServer } from 'node:net'
import { gzipSync } from 'node:zlib'
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
    await expect.poll(() => closed).toBe(true)
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

describe('gzip', () => {
  const text = JSON.stringify({ records: Array.from({ length: 2_000 }, (_, index) => ({ index })) })

  test.each(['gzip', 'GZIP', 'x-gzip'])('%s is undone once', async (coding) => {
    const server = await httpServer((_request, response) =>
      response.setHeader('content-encoding', coding).end(gzipSync(text)),
    )
    const response = await client().get({ url: server.origin, ...roomy })
    expect(response.body.toString()).toBe(text)
  })

  test('a body may be as large as allowed, and no larger', async () => {
    const server = await httpServer((_request, response) =>
      response.setHeader('content-encoding', 'gzip').end(gzipSync(text)),
    )
    const exact = await client().get({ url: server.origin, maxBytes: text.length, timeoutMs: 5_000 })
    expect(exact.body).toHaveLength(text.length)
    const request = { url: server.origin, maxBytes: text.length - 1, timeoutMs: 5_000 }
    expect((await failureOf(client().get(request))).failure).toBe('body-too-large')
  })

  test('a large one is decoded too', async () => {
    const large = Buffer.alloc(9 * 1024 * 1024, 'aquifer ')
    const server = await httpServer((_request, response) =>
      response.setHeader('content-encoding', 'gzip').end(gzipSync(large)),
    )
    const response = await client().get({ url: server.origin, maxBytes: large.length, timeoutMs: 10_000 })
    expect(response.body.equals(large)).toBe(true)
  })

  test.each([1, 16])('a bomb does not go off within %d MiB', async (mebibytes) => {
    const bomb = gzipSync(Buffer.alloc(64 * 1024 * 1024))
    const server = await httpServer((_request, response) =>
      response.setHeader('content-encoding', 'gzip').end(bomb),
    )
    const before = process.memoryUsage().arrayBuffers
    const request = { url: server.origin, maxBytes: mebibytes * 1024 * 1024, timeoutMs: 10_000 }
    const failure = await failureOf(client().get(request))
    expect(failure.failure).toBe('body-too-large')
    expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(40 * 1024 * 1024)
  })

  test.each([
    ['no gzip at all', Buffer.from('not gzip'), 'gzip'],
    ['gzip that was cut', gzipSync(text).subarray(0, 100), 'gzip'],
    ['a coding nobody asked for', Buffer.from('...'), 'br'],
    ['gzip in gzip', gzipSync(gzipSync(text)), 'gzip, gzip'],
  ])('%s is a bad response', async (_what, body, coding) => {
    const server = await httpServer((_request, response) =>
      response.setHeader('content-encoding', coding).end(body),
    )
    const failure = await failureOf(client().get({ url: server.origin, ...roomy }))
    expect(failure.failure).toBe('bad-response')
    expect(failure.message).toMatch(/^127\.0\.0\.1:\d+: /)
  })
})

describe('size', () => {
  test('a length above the limit is refused before any of it is read', async () => {
    let closed = false
    const server = await rawServer((socket) => {
      socket.on('close', () => {
        closed = true
      })
      socket.write('HTTP/1.1 200 OK\r\ncontent-length: 1048577\r\n\r\n')
    })
    const failure = await failureOf(client().get({ url: server.origin, ...roomy }))
    expect(failure.failure).toBe('body-too-large')
    await expect.poll(() => closed).toBe(true)
  })

  test('a body without a length is cut off where it passes the limit', async () => {
    let sent = 0
    const server = await httpServer((_request, response) => {
      const chunk = Buffer.alloc(64 * 1024)
      const write = () => {
        while (!response.destroyed && response.write(chunk)) sent += chunk.length
      }
      response.on('drain', write)
      write()
    })
    const failure = await failureOf(client().get({ url: server.origin, ...roomy }))
    expect(failure.failure).toBe('body-too-large')
    const atFailure = sent
    // The rest of what the sockets' buffers hold.
    expect(atFailure).toBeLessThan(16 * 1024 * 1024)
  })

  test('a body in many small pieces comes out whole', async () => {
    const pieces = Array.from({ length: 5_000 }, (_, index) => `${index};`)
    const server = await httpServer((_request, response) => {
      for (const piece of pieces) response.write(piece)
      response.end()
    })
    const response = await client().get({ url: server.origin, ...roomy })
    expect(response.body.toString()).toBe(pieces.join(''))
  })

  test('headers without end are a bad response', async () => {
    const server = await rawServer((socket) =>
      socket.write(`HTTP/1.1 200 OK\r\nx: ${'y'.repeat(64 * 1024)}\r\n\r\n`),
    )
    expect((await failureOf(client().get({ url: server.origin, ...roomy }))).failure).toBe('bad-response')
  })
})

describe('a status that is the whole answer', () => {
  test.each([
    ['its body is too large', 'content-length: 99999999\r\n\r\n'],
    ['its body has a coding nobody asked for', 'content-encoding: br\r\ncontent-length: 3\r\n\r\nabc'],
    ['its body is no gzip', 'content-encoding: gzip\r\ncontent-length: 3\r\n\r\nabc'],
    ['its body never comes', 'content-length: 3\r\n\r\na'],
  ])('is heard even if %s', async (_what, rest) => {
    const server = await rawServer((socket) =>
      socket.write(`HTTP/1.1 429 Slow down\r\nretry-after: 7\r\n${rest}`),
    )
    const response = await client().get({ url: server.origin, maxBytes: 1024, timeoutMs: 300 })
    expect(response).toMatchObject({ status: 429, headers: { 'retry-after': '7' } })
    expect(response.body).toHaveLength(0)
  })
})

describe('time', () => {
  test('a host that never answers is a timeout', async () => {
    const server = await rawServer(() => {})
    const failure = await failureOf(client().get({ url: server.origin, maxBytes: 1, timeoutMs: 100 }))
    expect(failure.failure).toBe('timeout')
  })

  test('headers that dribble in are a timeout, however long the body may take', async () => {
    const server = await rawServer((socket) => {
      const line = 'HTTP/1.1 200 OK\r\nx: '
      let at = 0
      const timer = setInterval(() => socket.write(line[at++] ?? 'x'), 10)
      socket.on('close', () => clearInterval(timer))
    })
    const http = client({}, { headersTimeoutMs: 200 })
    const failure = await failureOf(http.get({ url: server.origin, maxBytes: 1, timeoutMs: 60_000 }))
    expect(failure.failure).toBe('timeout')
  })

  test('a body that dribbles in is too slow, long before its time is over', async () => {
    const server = await httpServer((_request, response) => {
      const timer = setInterval(() => response.write('.'), 5)
      response.on('close', () => clearInterval(timer))
    })
    const http = client({}, { slowWindowMs: 100, slowBytesMin: 1_000 })
    const failure = await failureOf(http.get({ url: server.origin, maxBytes: 10_000_000, timeoutMs: 60_000 }))
    expect(failure.failure).toBe('too-slow')
  })

  test('a body that stalls is too slow, even after a quick start', async () => {
    const server = await httpServer((_request, response) => response.write('x'.repeat(50_000)))
    const http = client({}, { slowWindowMs: 100, slowBytesMin: 1_000 })
    const failure = await failureOf(http.get({ url: server.origin, maxBytes: 10_000_000, timeoutMs: 60_000 }))
    expect(failure.failure).toBe('too-slow')
  })

  test('a steady body is fast enough', async () => {
    const server = await httpServer((_request, response) => {
      let left = 30
      const timer = setInterval(() => {
        response.write('x'.repeat(1_000))
        if (--left > 0) return
        clearInterval(timer)
        response.end()
      }, 10)
    })
    const http = client({}, { slowWindowMs: 100, slowBytesMin: 1_000 })
    const response = await http.get({ url: server.origin, maxBytes: 10_000_000, timeoutMs: 60_000 })
    expect(response.body).toHaveLength(30_000)
  })

  test('a body that goes on and on is a timeout', async () => {
    const server = await httpServer((_request, response) => {
      const timer = setInterval(() => response.write('x'.repeat(1_000)), 5)
      response.on('close', () => clearInterval(timer))
    })
    const failure = await failureOf(
      client().get({ url: server.origin, maxBytes: 10_000_000, timeoutMs: 200 }),
    )
    expect(failure.failure).toBe('timeout')
  })

  test('redirects share the time of the request', async () => {
    const server = await httpServer((_request, response) => {
      setTimeout(() => response.writeHead(302, { location: '/again' }).end(), 50)
    })
    const request = { url: server.origin, maxBytes: 1_000, timeoutMs: 200, maxRedirects: 1_000 }
    expect((await failureOf(client().get(request))).failure).toBe('timeout')
    expect(server.requests.length).toBeLessThan(6)
  })

  test('a name that DNS is silent about is a timeout', async () => {
    const http = client({ lookup: () => {} }, { connectTimeoutMs: 100 })
    const failure = await failureOf(http.get({ url: 'http://silent.example.com/', ...roomy }))
    expect(failure.failure).toBe('timeout')
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
    await expect.poll(() => closed).toBe(true)
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
  await expect.poll(() => server.requests.length).toBe(1)
  await http.close()
  for (const outcome of await outcomes) {
    expect(outcome).toMatchObject({ status: 'rejected', reason: { name: 'AbortError' } })
  }
  await expect(http.get({ url: server.origin, ...roomy })).rejects.toMatchObject({ name: 'AbortError' })
})
