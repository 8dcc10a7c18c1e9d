import type { LookupAddress } from 'node:dns'
import { createServer, type RequestListener, type Server } from 'node:http'
import { createServer as createTlsServer } from 'node:https'
import {
  type AddressInfo,
  createServer as createTcpServer,
  isIP,
  type LookupFunction,
  type Socket,
} from 'node:net'
import { getCACertificates, setDefaultCACertificates } from 'node:tls'
import { onTestFinished } from 'vitest'
import {
  createHttpClient,
  type HttpClient,
  HttpFailure,
  type HttpOptions,
  type HttpTuning,
} from '../../src/atproto/http.js'

export const USER_AGENT = 'aquifer-test (+https://aquifer.example)'
export const PUBLIC = '93.184.216.34'

/** A client that is closed with the test. */
export function client(options: Partial<HttpOptions> = {}, tuning: Partial<HttpTuning> = {}): HttpClient {
  const created = createHttpClient({ userAgent: USER_AGENT, allowPrivateNetwork: true, ...options }, tuning)
  onTestFinished(() => created.close())
  return created
}

/** A client with every guard on, for which names resolve as told and public addresses are reached on loopback. */
export function guardedClient(
  names: Record<string, string[] | (() => string[])>,
  options: Partial<HttpOptions> = {},
) {
  const dialled: string[] = []
  const reach = ({ address }: LookupAddress): LookupAddress => {
    dialled.push(address)
    return { address: '127.0.0.1', family: 4 }
  }
  const http = client({ allowPrivateNetwork: false, lookup: resolver(names), ...options }, { reach })
  return { http, dialled }
}

/** A name resolver that knows these names only. */
export function resolver(names: Record<string, string[] | (() => string[])>): LookupFunction {
  return (hostname, _options, callback) => {
    const known = names[hostname]
    if (known === undefined) {
      callback(Object.assign(new Error(`getaddrinfo ENOTFOUND ${hostname}`), { code: 'ENOTFOUND' }), [])
      return
    }
    const addresses = typeof known === 'function' ? known() : known
    callback(
      null,
      addresses.map((address) => ({ address, family: isIP(address) })),
    )
  }
}

export interface TestServer {
  readonly port: number
  /** `http://127.0.0.1:PORT` */
  readonly origin: string
  /** Connections ever made to it. */
  connections: number
  /** Requests ever made to it, as `host path`. */
  readonly requests: string[]
}

/** An HTTP server on loopback. */
export function httpServer(listener: RequestListener): Promise<TestServer> {
  return listening(createServer(), listener)
}

/** An HTTPS server on loopback, whose certificate is for example.com and its subdomains. */
export function httpsServer(listener: RequestListener): Promise<TestServer> {
  return listening(createTlsServer({ key: KEY, cert: CERTIFICATE }), listener)
}

/** A server that answers each request with bytes of our own making. */
export async function rawServer(answer: (socket: Socket) => void): Promise<TestServer> {
  const started: TestServer = { port: 0, origin: '', connections: 0, requests: [] }
  const sockets = new Set<Socket>()
  const server = createTcpServer((socket) => {
    started.connections++
    sockets.add(socket)
    socket.on('error', () => {})
    socket.once('data', () => answer(socket))
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  onTestFinished(() => {
    for (const socket of sockets) socket.destroy()
    server.close()
  })
  const { port } = server.address() as AddressInfo
  return Object.assign(started, { port, origin: `http://127.0.0.1:${port}` })
}

async function listening(server: Server, listener: RequestListener): Promise<TestServer> {
  const started: TestServer = { port: 0, origin: '', connections: 0, requests: [] }
  server.on('connection', () => started.connections++)
  server.on('request', (request, response) => {
    started.requests.push(`${request.headers.host} ${request.url}`)
    response.on('error', () => {})
    listener(request, response)
  })
  server.on('clientError', (_error, socket) => socket.destroy())
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  onTestFinished(() => {
    server.closeAllConnections()
    server.close()
  })
  const { port } = server.address() as AddressInfo
  return Object.assign(started, { port, origin: `http://127.0.0.1:${port}` })
}

/** The HttpFailure a promise rejects with; anything else fails the test. */
export async function failureOf(promise: Promise<unknown>): Promise<HttpFailure> {
  const error = await promise.then(
    () => new Error('it did not fail'),
    (reason: unknown) => reason,
  )
  if (error instanceof HttpFailure) return error
  throw error
}

/** Trusts the certificate below for the rest of the process. */
export function trustTestCertificate(): void {
  setDefaultCACertificates([...getCACertificates('default'), CERTIFICATE])
}

// A key and a certificate that nobody else trusts, for example.com and *.example.com, valid from 2020 to 2119.
const KEY = `-----BEGIN PRIVATE KEY-----
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgJsb0WZkg2O0v4zIy
WBpo/LWZyoiv7jwUqISQSmUyP8uhRANCAAQVz1tEztt2L99EyfKtkc9rX7WxHgPN
k5vakbUq54NMOLAZ43BFi5nqUC0aklX2RwjfN5Wi9ziDOD/SF5kHB9Xf
-----END PRIVATE KEY-----
`
const CERTIFICATE = `-----BEGIN CERTIFICATE-----
MIIBeTCCASCgAwIBAgIBATAKBggqhkjOPQQDAjAYMRYwFAYDVQQDDA1BcXVpZmVy
IHRlc3RzMCAXDTIwMDEwMTAwMDAwMFoYDzIxMjAwMTAxMDAwMDAwWjAYMRYwFAYD
VQQDDA1BcXVpZmVyIHRlc3RzMFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEFc9b
RM7bdi/fRMnyrZHPa1+1sR4DzZOb2pG1KueDTDiwGeNwRYuZ6lAtGpJV9kcI3zeV
ovc4gzg/0heZBwfV36NZMFcwDwYDVR0TAQH/BAUwAwEB/zAlBgNVHREEHjAcggtl
eGFtcGxlLmNvbYINKi5leGFtcGxlLmNvbTAdBgNVHQ4EFgQU/95iuVsGcxkdiVqg
qrOo8nEss8cwCgYIKoZIzj0EAwIDRwAwRAIgTaoX0cA4Ho3Vk/w7FC9pgwDA1SM9
cE3OKMfYTcM4kHYCIGm++NG+yS3BtssPybz+kyPfeutrM+T82M72uLUTZbs+
-----END CERTIFICATE-----
`
