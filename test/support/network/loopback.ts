import { once } from 'node:events'
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import type { Duplex } from 'node:stream'
import type { Application } from 'express'

/** Servers under test must not be reachable from other machines. */
const LOOPBACK = '127.0.0.1'

/** A free port, chosen by the system. It is free only until somebody takes it: use it at once. */
export async function findFreePort(): Promise<number> {
  const server = createServer().listen(0, LOOPBACK)
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  server.close()
  await once(server, 'close')
  return port
}

/** Keeps an express application that would listen on every interface to loopback. */
export function keepToLoopback(app: Application): void {
  const listen: (port: number, hostname: string) => Server = app.listen.bind(app)
  Object.assign(app, { listen: (port: number) => listen(port, LOOPBACK) })
}

/** How often a server was asked for what. */
export class RequestCounts {
  readonly #counts = new Map<string, number>()

  /** Requests for an XRPC method, or for a path that is none, such as `/.well-known/did.json`. */
  of(method: string): number {
    return this.#counts.get(method) ?? 0
  }

  get total(): number {
    return this.#counts.values().reduce((sum, count) => sum + count, 0)
  }

  reset(): void {
    this.#counts.clear()
  }

  /** Counts every request that reaches a server from now on. */
  watch(server: Server): void {
    server.on('request', (request: IncomingMessage) => {
      const method = methodOf(urlOf(request))
      this.#counts.set(method, this.of(method) + 1)
    })
  }
}

/** Takes a request to go on as something else than http. */
export type Upgrader = (url: URL, request: IncomingMessage, socket: Duplex, head: Buffer) => void

export type Handler = (url: URL, request: IncomingMessage, response: ServerResponse) => Promise<void> | void

/** A small http server of our own on loopback that can go down and come back on the same port. */
export class LoopbackServer implements AsyncDisposable {
  readonly requests = new RequestCounts()
  readonly #handle: Handler
  readonly #upgrade: Upgrader | undefined
  #server: Server | null = null
  #port = 0

  private constructor(handle: Handler, upgrade: Upgrader | undefined) {
    this.#handle = handle
    this.#upgrade = upgrade
  }

  /**
   * Listens on a port chosen by the system. A handler that throws answers 500. Without an upgrader, a request to go
   * on as a WebSocket is answered like any other.
   */
  static async start(handle: Handler, upgrade?: Upgrader): Promise<LoopbackServer> {
    const loopback = new LoopbackServer(handle, upgrade)
    await loopback.restart()
    return loopback
  }

  get port(): number {
    return this.#port
  }

  get url(): string {
    return `http://localhost:${this.#port}`
  }

  /** Refuses connections from now on, and cuts those that are open. */
  async stop(): Promise<void> {
    const server = this.#server
    this.#server = null
    if (server === null) return
    const closed = once(server, 'close')
    server.close()
    server.closeAllConnections()
    await closed
  }

  /** Listens again, on the port it had. */
  async restart(): Promise<void> {
    if (this.#server !== null) return
    const server = createServer((request, response) => this.#answer(request, response))
    const upgrade = this.#upgrade
    if (upgrade)
      server.on('upgrade', (request, socket, head) => upgrade(urlOf(request), request, socket, head))
    this.requests.watch(server)
    server.listen(this.#port, LOOPBACK)
    await once(server, 'listening')
    this.#port = (server.address() as AddressInfo).port
    this.#server = server
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.stop()
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    try {
      await this.#handle(urlOf(request), request, response)
    } catch (error) {
      sendError(response, 500, 'InternalServerError', String(error))
    }
  }
}

/** The method of an XRPC request, else the path, in which the colons of DIDs may be escaped or not. */
export function methodOf(url: URL): string {
  return url.pathname.replace(/^\/xrpc\//, '').replaceAll(/%3a/gi, ':')
}

export function sendJson(
  response: ServerResponse,
  status: number,
  body: unknown,
  headers: Readonly<Record<string, string>> = {},
): void {
  response.writeHead(status, { 'content-type': 'application/json', ...headers }).end(JSON.stringify(body))
}

/** An error as XRPC has it. */
export function sendError(
  response: ServerResponse,
  status: number,
  error: string,
  message: string,
  headers: Readonly<Record<string, string>> = {},
): void {
  sendJson(response, status, { error, message }, headers)
}

function urlOf(request: IncomingMessage): URL {
  return new URL(request.url ?? '/', 'http://localhost')
}
