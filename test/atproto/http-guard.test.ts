import { beforeAll, describe, expect, test } from 'vitest'
import {
  client,
  failureOf,
  guardedClient,
  httpServer,
  httpsServer,
  PUBLIC,
  resolver,
  trustTestCertificate,
} from './http-support.js'

const roomy = { maxBytes: 1024 * 1024, timeoutMs: 10_000 }

beforeAll(trustTestCertificate)

describe('the guard', () => {
  test('lets a public https host through, on any port, and checks its certificate', async () => {
    const server = await httpsServer((_request, response) => response.end('hello'))
    const { http, dialled } = guardedClient({ 'pds.example.com': [PUBLIC] })
    const response = await http.get({ url: `https://pds.example.com:${server.port}/x`, ...roomy })
    expect(response.body.toString()).toBe('hello')
    expect(server.requests).toEqual([`pds.example.com:${server.port} /x`])
    expect(dialled).toEqual([PUBLIC])
  })

  test('refuses every address and name of the local network; nothing is ever connected', async () => {
    const server = await httpsServer((_request, response) => response.end('secret'))
    const asked: string[] = []
    const http = client({
      allowPrivateNetwork: false,
      lookup: (hostname, options, callback) => {
        asked.push(hostname)
        resolver({ 'inside.example.com': ['127.0.0.1'], 'both.example.com': [PUBLIC, '127.0.0.1'] })(
          hostname,
          options,
          callback,
        )
      },
    })
    const hosts = [
      '127.0.0.1',
      '127.1',
      '2130706433',
      '0x7f.1',
      '0',
      '[::1]',
      '[::]',
      '[::ffff:127.0.0.1]',
      'localhost',
    ]
    for (const host of [...hosts, 'localhost.', 'inside.example.com', 'both.example.com']) {
      const failure = await failureOf(http.get({ url: `https://${host}:${server.port}/`, ...roomy }))
      expect(failure.failure, host).toBe('host-blocked')
    }
    expect(asked).toEqual(['inside.example.com', 'both.example.com'])
    expect(server.connections).toBe(0)
  })

  test.each([
    '10.0.0.1',
    '100.64.0.1',
    '169.254.169.254',
    '192.168.0.1',
    '224.0.0.1',
    '::1',
    '::127.0.0.1',
    '::ffff:10.0.0.1',
    '64:ff9b::a00:1',
    'fd00::1',
    'fe80::1%1',
  ])('a name that resolves to %s is blocked, in words', async (address) => {
    const http = client({ allowPrivateNetwork: false, lookup: resolver({ 'pds.example.com': [address] }) })
    const failure = await failureOf(http.get({ url: 'https://pds.example.com/', ...roomy }))
    expect(failure.failure).toBe('host-blocked')
    expect(failure.message).toBe(`pds.example.com resolves to ${address}, which is not a public address`)
  })

  test('a resolver of the older shape, with one address, is checked too', async () => {
    const http = client({
      allowPrivateNetwork: false,
      lookup: (_hostname, _options, callback) => callback(null, '10.0.0.1', 4),
    })
    const failure = await failureOf(http.get({ url: 'https://pds.example.com/', ...roomy }))
    expect(failure.failure).toBe('host-blocked')
  })

  test('a name that turns private after it was checked is reached where it was checked', async () => {
    const server = await httpsServer((_request, response) => response.end('hello'))
    let lookups = 0
    const { http, dialled } = guardedClient({
      'pds.example.com': () => (lookups++ === 0 ? [PUBLIC] : ['10.0.0.1']),
    })
    const url = `https://pds.example.com:${server.port}/`
    expect((await http.get({ url, ...roomy })).status).toBe(200)
    expect(lookups).toBe(1)
    expect(dialled).toEqual([PUBLIC])
  })

  test('and is checked again with the next connection', async () => {
    const server = await httpsServer((_request, response) =>
      response.setHeader('connection', 'close').end('hello'),
    )
    let lookups = 0
    const { http, dialled } = guardedClient({
      'pds.example.com': () => (lookups++ === 0 ? [PUBLIC] : ['10.0.0.1']),
    })
    const url = `https://pds.example.com:${server.port}/`
    expect((await http.get({ url, ...roomy })).status).toBe(200)
    expect((await failureOf(http.get({ url, ...roomy }))).failure).toBe('host-blocked')
    expect(dialled).toEqual([PUBLIC])
    expect(server.connections).toBe(1)
  })

  test.each([
    'http://pds.example.com/',
    'https://user:secret@pds.example.com/',
    'ftp://pds.example.com/',
    'file:///etc/passwd',
    'data:text/plain,x',
    'no url',
    '',
  ])('%j is refused before its name is looked up', async (url) => {
    let lookups = 0
    const { http } = guardedClient({
      'pds.example.com': () => {
        lookups++
        return [PUBLIC]
      },
    })
    const failure = await failureOf(http.get({ url, ...roomy }))
    expect(failure.failure).toBe('host-blocked')
    expect(failure.message).not.toContain('secret')
    expect(lookups).toBe(0)
  })

  test('what the operator blocked is not asked, even on a private network', async () => {
    const server = await httpServer((_request, response) => response.end())
    const blockedHosts = new Set(['BAD.example.com', '*.evil.example.com', '127.0.0.1', '[::1]'])
    const http = client({ blockedHosts, lookup: () => expect.unreachable() })
    for (const host of ['bad.example.com', 'a.evil.example.com', '127.0.0.1', '[::1]']) {
      const failure = await failureOf(http.get({ url: `http://${host}:${server.port}/`, ...roomy }))
      expect(failure.failure, host).toBe('host-blocked')
    }
    expect(server.connections).toBe(0)
  })
})

describe('TLS', () => {
  test('a certificate for another name is no connection, and the message says so', async () => {
    const server = await httpsServer((_request, response) => response.end())
    const { http } = guardedClient({ 'pds.example.org': [PUBLIC] })
    const failure = await failureOf(http.get({ url: `https://pds.example.org:${server.port}/`, ...roomy }))
    expect(failure.failure).toBe('connection-failed')
    expect(failure.message).toMatch(/TLS: .*ERR_TLS_CERT_ALTNAME_INVALID/)
    expect(server.requests).toEqual([])
  })

  test('a host that speaks plain HTTP where TLS is due', async () => {
    const server = await httpServer((_request, response) => response.end())
    const { http } = guardedClient({ 'pds.example.com': [PUBLIC] })
    const failure = await failureOf(http.get({ url: `https://pds.example.com:${server.port}/`, ...roomy }))
    expect(failure.failure).toBe('connection-failed')
    expect(failure.message).toMatch(/^pds\.example\.com:\d+: .*\bTLS\b/)
    expect(server.requests).toEqual([])
  })
})

describe('a redirect', () => {
  test('is a bad response unless the caller wants to follow', async () => {
    const server = await httpServer((_request, response) => response.writeHead(301, { location: '/y' }).end())
    const failure = await failureOf(client().get({ url: server.origin, ...roomy }))
    expect(failure.failure).toBe('bad-response')
    expect(server.requests).toHaveLength(1)
  })

  test('without a place to go, and other 3xx, are responses like any other', async () => {
    const server = await httpServer((request, response) => {
      if (request.url === '/300') response.writeHead(300, { location: '/y' }).end()
      else response.writeHead(302).end()
    })
    expect((await client().get({ url: `${server.origin}/300`, ...roomy })).status).toBe(300)
    expect((await client().get({ url: `${server.origin}/302`, ...roomy })).status).toBe(302)
  })

  test('is followed as often as allowed', async () => {
    const server = await httpServer((request, response) => {
      const left = Number(request.url?.slice(1))
      if (left === 0) response.end('arrived')
      else response.writeHead(302, { location: `/${left - 1}` }).end('elsewhere')
    })
    const arrived = await client().get({ url: `${server.origin}/3`, ...roomy, maxRedirects: 3 })
    expect(arrived.body.toString()).toBe('arrived')
    const failure = await failureOf(client().get({ url: `${server.origin}/4`, ...roomy, maxRedirects: 3 }))
    expect(failure.failure).toBe('bad-response')
    expect(server.requests).toHaveLength(8)
  })

  test('carries what was said to one host to no other', async () => {
    const seen: unknown[] = []
    const second = await httpServer((request, response) => {
      seen.push([request.headers.authorization, request.headers.accept])
      response.end()
    })
    const first = await httpServer((request, response) => {
      seen.push([request.headers.authorization, request.headers.accept])
      const location = request.url === '/' ? '/same' : second.origin
      response.writeHead(307, { location }).end()
    })
    const headers = { Authorization: 'Bearer secret' }
    await client().get({ url: first.origin, accept: 'text/plain', headers, ...roomy, maxRedirects: 2 })
    expect(seen).toEqual([
      ['Bearer secret', 'text/plain'],
      ['Bearer secret', 'text/plain'],
      [undefined, 'text/plain'],
    ])
  })

  test.each([
    ['a private address', (port: number) => `https://127.0.0.1:${port}/`],
    ['a metadata service', () => 'https://169.254.169.254/latest/meta-data/'],
    ['a local name', (port: number) => `https://localhost:${port}/`],
    ['a name with a private address', (port: number) => `https://inside.example.com:${port}/`],
    ['http', (port: number) => `http://other.example.com:${port}/`],
    ['credentials', (port: number) => `https://a:b@other.example.com:${port}/`],
    ['a blocked host', (port: number) => `https://bad.example.com:${port}/`],
    ['no place on the web', () => 'file:///etc/passwd'],
  ])('to %s is refused', async (_what, location) => {
    const inner = await httpsServer((_request, response) => response.end('secret'))
    const outer = await httpsServer((_request, response) =>
      response.writeHead(302, { location: location(inner.port) }).end(),
    )
    const names = {
      'pds.example.com': [PUBLIC],
      'other.example.com': [PUBLIC],
      'bad.example.com': [PUBLIC],
      'inside.example.com': ['127.0.0.1'],
    }
    const { http } = guardedClient(names, { blockedHosts: new Set(['bad.example.com']) })
    const url = `https://pds.example.com:${outer.port}/`
    const failure = await failureOf(http.get({ url, ...roomy, maxRedirects: 3 }))
    expect(failure.failure).toBe('host-blocked')
    expect(outer.requests).toHaveLength(1)
    expect(inner.connections).toBe(0)
  })

  test('from https to http is refused on a private network too', async () => {
    const plain = await httpServer((_request, response) => response.end())
    const secure = await httpsServer((_request, response) =>
      response.writeHead(302, { location: plain.origin }).end(),
    )
    const http = client({ lookup: resolver({ 'pds.example.com': ['127.0.0.1'] }) })
    const url = `https://pds.example.com:${secure.port}/`
    const failure = await failureOf(http.get({ url, ...roomy, maxRedirects: 1 }))
    expect(failure.failure).toBe('host-blocked')
    expect(plain.connections).toBe(0)
  })

  test('to what is not a URL is a bad response', async () => {
    const server = await httpServer((_request, response) =>
      response.writeHead(302, { location: 'https://[' }).end(),
    )
    const failure = await failureOf(client().get({ url: server.origin, ...roomy, maxRedirects: 1 }))
    expect(failure.failure).toBe('bad-response')
  })
})
