import { randomBytes } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import { brotliCompressSync, constants, gzipSync, zstdCompressSync } from 'node:zlib'
import { describe, expect, test } from 'vitest'
import { HttpFailure, type Sink } from '../../src/atproto/http.js'
import { client, failureOf, httpServer, rawServer } from './http-support.js'

const MiB = 1024 * 1024
const roomy = { maxBytes: 64 * MiB, timeoutMs: 10_000 }

/** At the quality of a server that does it on the way. */
const brotli = (bytes: Buffer | string) =>
  brotliCompressSync(bytes, { params: { [constants.BROTLI_PARAM_QUALITY]: 4 } })

/** A sink that keeps what it is given. */
function keeper() {
  const pieces: Buffer[] = []
  const sink: Sink = (piece) => void pieces.push(piece)
  return { sink, pieces, bytes: () => Buffer.concat(pieces) }
}

/** A server that sends a body for as long as somebody reads it. */
async function endless(piece: Buffer, headers: Record<string, string> = {}) {
  const server = { origin: '', sent: 0, closed: false }
  const { origin } = await httpServer((_request, response) => {
    response.writeHead(200, headers)
    const write = () => {
      do server.sent += piece.length
      while (!response.destroyed && response.write(piece))
    }
    response.on('drain', write).on('close', () => {
      server.closed = true
    })
    write()
  })
  return Object.assign(server, { origin })
}

describe('a body goes to the sink', () => {
  const body = Buffer.concat([randomBytes(3 * MiB), Buffer.alloc(2 * MiB, 'aquifer ')])
  const codings = {
    identity: (bytes: Buffer) => bytes,
    gzip: gzipSync,
    'x-gzip': gzipSync,
    br: brotli,
  }

  test.each(Object.entries(codings))('decoded from %s', async (coding, encode) => {
    const server = await httpServer((_request, response) =>
      response.setHeader('content-encoding', coding).end(encode(body)),
    )
    const { sink, pieces, bytes } = keeper()
    const response = await client().get({ url: server.origin, ...roomy, sink })
    expect(response.status).toBe(200)
    expect(response.body).toHaveLength(0)
    expect(bytes().equals(body)).toBe(true)
    expect(Math.max(...pieces.map(({ length }) => length))).toBeLessThanOrEqual(256 * 1024)
  })

  test.each(Object.keys(codings))('also where there is none of it (%s)', async (coding) => {
    const server = await httpServer((_request, response) =>
      response.setHeader('content-encoding', coding).end(),
    )
    const { sink, pieces } = keeper()
    expect((await client().get({ url: server.origin, ...roomy, sink })).status).toBe(200)
    expect(pieces).toEqual([])
  })

  test('the codings are asked for, and of a request without a sink gzip alone', async () => {
    const asked: unknown[] = []
    const server = await httpServer((request, response) => {
      asked.push(request.headers['accept-encoding'])
      if (request.url === '/') response.writeHead(302, { location: '/there' }).end()
      else response.end('here')
    })
    const { sink, bytes } = keeper()
    const http = client()
    await http.get({ url: server.origin, ...roomy, sink, maxRedirects: 1 })
    await http.get({ url: `${server.origin}/there`, ...roomy })
    expect(bytes().toString()).toBe('here')
    expect(asked).toEqual(['br, gzip', 'br, gzip', 'gzip'])
  })

  test('a connection serves further requests', async () => {
    const server = await httpServer((_request, response) => response.end(body))
    const http = client()
    for (let n = 0; n < 3; n += 1) {
      const { sink, bytes } = keeper()
      await http.get({ url: server.origin, ...roomy, sink })
      expect(bytes()).toHaveLength(body.length)
    }
    expect(server.connections).toBe(1)
  })
})

describe('any other answer is collected', () => {
  test.each([
    ['gzip', gzipSync],
    ['br', brotli],
  ])('decoded from %s', async (coding, encode) => {
    const words = JSON.stringify({ error: 'RepoNotFound', message: 'no such repo' })
    const server = await httpServer((_request, response) =>
      response.writeHead(400, { 'content-encoding': coding }).end(encode(words)),
    )
    const { sink, pieces } = keeper()
    const response = await client().get({ url: server.origin, ...roomy, sink })
    expect({ status: response.status, body: response.body.toString() }).toEqual({ status: 400, body: words })
    expect(pieces).toEqual([])
  })

  test('in small: a refusal has no use for the size of a download', async () => {
    const server = await httpServer((request, response) =>
      response.writeHead(Number(request.url!.slice(1))).end(randomBytes(MiB)),
    )
    const { sink, pieces } = keeper()
    const http = client()
    const failure = await failureOf(http.get({ url: `${server.origin}/404`, ...roomy, sink }))
    expect(failure.failure).toBe('body-too-large')
    // These say all by their status.
    for (const status of [429, 503]) {
      const response = await http.get({ url: `${server.origin}/${status}`, ...roomy, sink })
      expect(response).toMatchObject({ status, body: Buffer.alloc(0) })
    }
    expect(pieces).toEqual([])
  })
})

describe('pace', () => {
  test('a slow sink makes the host wait, in bounded memory', async () => {
    const server = await endless(randomBytes(64 * 1024))
    const gone = new AbortController()
    let taken = 0
    const sink: Sink = async (piece) => {
      taken += piece.length
      if (taken > 2 * MiB) gone.abort(new Error('enough'))
      await sleep(5)
    }
    const reading = client().get({
      url: server.origin,
      maxBytes: 1024 * MiB,
      timeoutMs: 20_000,
      sink,
      signal: gone.signal,
    })
    await expect(reading).rejects.toThrow('enough')
    // What is on its way beyond that lies in the buffers of both systems' sockets.
    expect(server.sent - taken).toBeLessThan(16 * MiB)
    await expect.poll(() => server.closed, { timeout: 5_000 }).toBe(true)
  })

  test('its slowness is not held against the host: neither the rate nor the time', async () => {
    const server = await httpServer((_request, response) => response.end(randomBytes(8 * MiB)))
    const tuning = { slowWindowMs: 400, slowBytesMin: 1024 }
    let taken = 0
    const sink: Sink = async (piece) => {
      if (taken === 0) await sleep(1_500)
      taken += piece.length
    }
    const request = { url: server.origin, maxBytes: 64 * MiB, timeoutMs: 1_200, sink }
    expect((await client({}, tuning).get(request)).status).toBe(200)
    expect(taken).toBe(8 * MiB)
  })

  test('the time that the host takes itself is limited, and ends with no call of the sink under way', async () => {
    const server = await httpServer((_request, response) => {
      const dripping = setInterval(() => response.write(randomBytes(8 * 1024)), 20)
      response.on('close', () => clearInterval(dripping))
    })
    let underWay = false
    const sink: Sink = async () => {
      underWay = true
      await sleep(5)
      underWay = false
    }
    const reading = client().get({ url: server.origin, maxBytes: MiB * 64, timeoutMs: 600, sink })
    expect((await failureOf(reading)).failure).toBe('timeout')
    expect(underWay).toBe(false)
  })

  test('a host that stalls is too slow', async () => {
    const server = await httpServer((_request, response) => void response.write('a beginning'))
    const { sink, bytes } = keeper()
    const tuning = { slowWindowMs: 100, slowBytesMin: 1024 }
    const failure = await failureOf(client({}, tuning).get({ url: server.origin, ...roomy, sink }))
    expect(failure.failure).toBe('too-slow')
    expect(bytes().toString()).toBe('a beginning')
  })

  test('once the host has sent it all, only the sink takes time', async () => {
    const server = await httpServer((_request, response) => response.end(randomBytes(100)))
    const tuning = { slowWindowMs: 200, slowBytesMin: 1024 }
    const sink: Sink = async () => void (await sleep(500))
    expect((await client({}, tuning).get({ url: server.origin, ...roomy, sink })).status).toBe(200)
  })
})

describe('what goes wrong', () => {
  test('an error of the sink ends the exchange, and is what it rejects with', async () => {
    const server = await endless(randomBytes(64 * 1024))
    const error = new Error('the disk is full')
    let calls = 0
    const sink: Sink = async () => {
      calls += 1
      await sleep(1)
      if (calls === 3) throw error
    }
    await expect(
      client().get({ url: server.origin, maxBytes: 1024 * MiB, timeoutMs: 10_000, sink }),
    ).rejects.toBe(error)
    await expect.poll(() => server.closed, { timeout: 5_000 }).toBe(true)
    expect(calls).toBe(3)
  })

  test.each([
    ['gzip', gzipSync],
    ['br', brotli],
  ])('a bomb of %s does not go off', async (coding, encode) => {
    const bomb = encode(Buffer.alloc(256 * MiB))
    const server = await httpServer((_request, response) =>
      response.setHeader('content-encoding', coding).end(bomb),
    )
    let taken = 0
    const sink: Sink = (piece) => {
      taken += piece.length
    }
    const before = process.memoryUsage().arrayBuffers
    for (const maxBytes of [MiB, 1024 * MiB]) {
      taken = 0
      const failure = await failureOf(client().get({ url: server.origin, maxBytes, timeoutMs: 10_000, sink }))
      expect(failure.failure).toBe('body-too-large')
      // The larger limit would let it all through; that it is so much larger than what was sent gives it away.
      expect(taken).toBeLessThanOrEqual(64 * MiB)
    }
    expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(48 * MiB)
  })

  test('no more is taken than allowed', async () => {
    const server = await httpServer((_request, response) => {
      response.write(randomBytes(MiB))
      response.end(randomBytes(MiB))
    })
    const { sink, bytes } = keeper()
    const http = client()
    const exact = { url: server.origin, maxBytes: 2 * MiB, timeoutMs: 5_000 }
    await http.get({ ...exact, sink })
    expect(bytes()).toHaveLength(2 * MiB)
    const failure = await failureOf(http.get({ ...exact, maxBytes: 2 * MiB - 1, sink: keeper().sink }))
    expect(failure.failure).toBe('body-too-large')
  })

  test('a length above the limit is refused before the sink is called', async () => {
    const server = await rawServer((socket) =>
      socket.write('HTTP/1.1 200 OK\r\ncontent-length: 1001\r\n\r\nbody'),
    )
    const { sink, pieces } = keeper()
    const failure = await failureOf(
      client().get({ url: server.origin, maxBytes: 1000, timeoutMs: 5_000, sink }),
    )
    expect(failure.failure).toBe('body-too-large')
    expect(pieces).toEqual([])
  })

  test.each([
    ['a body shorter than its length', 'content-length: 100', 'beginning'],
    ['chunks without an end', 'transfer-encoding: chunked', '9\r\nbeginning\r\n'],
  ])('%s is no answer', async (_what, header, rest) => {
    const server = await rawServer((socket) => socket.end(`HTTP/1.1 200 OK\r\n${header}\r\n\r\n${rest}`))
    const { sink, bytes } = keeper()
    const failure = await failureOf(client().get({ url: server.origin, ...roomy, sink }))
    expect(failure.failure).toBe('connection-failed')
    expect('beginning').toContain(bytes().toString())
  })

  test.each([
    ['no gzip at all', Buffer.from('not gzip'), 'gzip'],
    ['gzip that was cut', gzipSync(randomBytes(1000)).subarray(0, 500), 'gzip'],
    ['br that was cut', brotli(randomBytes(1000)).subarray(0, 500), 'br'],
    ['a coding nobody asked for', zstdCompressSync('...'), 'zstd'],
  ])('%s is a bad response', async (_what, body, coding) => {
    const server = await httpServer((_request, response) =>
      response.setHeader('content-encoding', coding).end(body),
    )
    const failure = await failureOf(client().get({ url: server.origin, ...roomy, sink: keeper().sink }))
    expect(failure.failure).toBe('bad-response')
    expect(failure.message).toMatch(/^127\.0\.0\.1:\d+: /)
  })

  test('an abort ends it with the reason', async () => {
    const server = await endless(randomBytes(1024))
    const gone = new AbortController()
    const sink: Sink = () => gone.abort(new Error('not wanted any more'))
    const reading = client().get({ url: server.origin, ...roomy, sink, signal: gone.signal })
    await expect(reading).rejects.toThrow('not wanted any more')
    await expect(reading).rejects.not.toBeInstanceOf(HttpFailure)
    await expect.poll(() => server.closed, { timeout: 5_000 }).toBe(true)
  })
  test('a sink that waits for something else is told when there is no more to come', async () => {
    const server = await endless(randomBytes(64 * 1024))
    const gone = new AbortController()
    const { promise: never } = Promise.withResolvers<void>()
    const sink: Sink = (_piece, ended) => {
      const over = Promise.withResolvers<void>()
      ended.addEventListener('abort', () => over.reject(ended.reason))
      setImmediate(() => gone.abort(new Error('not wanted any more')))
      return Promise.race([never, over.promise])
    }
    const reading = client().get({ url: server.origin, ...roomy, sink, signal: gone.signal })
    await expect(reading).rejects.toThrow('not wanted any more')
    await expect.poll(() => server.closed, { timeout: 5_000 }).toBe(true)
  })
})
