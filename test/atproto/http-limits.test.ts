import { gzipSync } from 'node:zlib'
import { describe, expect, test } from 'vitest'
import { client, failureOf, httpServer, rawServer } from './http-support.js'

const roomy = { maxBytes: 1024 * 1024, timeoutMs: 10_000 }

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
    await expect.poll(() => closed, { timeout: 10_000 }).toBe(true)
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
    const response = await client().get({ url: server.origin, maxBytes: 1024, timeoutMs: 1_000 })
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
      let left = 200
      const timer = setInterval(() => {
        response.write('x'.repeat(1_000))
        if (--left > 0) return
        clearInterval(timer)
        response.end()
      }, 10)
    })
    const http = client({}, { slowWindowMs: 1_000, slowBytesMin: 1_000 })
    const response = await http.get({ url: server.origin, maxBytes: 10_000_000, timeoutMs: 60_000 })
    expect(response.body).toHaveLength(200_000)
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
