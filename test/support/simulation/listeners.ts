import { once } from 'node:events'
import { createServer as createHttpServer, type RequestListener } from 'node:http'
import { createServer as createHttpsServer } from 'node:https'
import { type AddressInfo, createServer as createTcpServer, type Server, type Socket } from 'node:net'
import { CERTIFICATE, KEY } from './certificate.js'

const LOOPBACK = '127.0.0.1'

/** Longer than any client keeps an idle connection: that one side closes it while the other writes is no fault. */
const KEEP_ALIVE_MS = 120_000

/** One http server behind any number of addresses and ports of loopback. */
export class Listeners implements AsyncDisposable {
  readonly #listener: RequestListener
  readonly #secure: boolean
  readonly #servers: Server[] = []
  readonly #sockets = new Set<Socket>()
  #trapped = 0

  /** @param secure speaks TLS, with the simulation's certificate */
  constructor(listener: RequestListener, secure: boolean) {
    this.#listener = listener
    this.#secure = secure
  }

  /** Connections to where nobody may connect. */
  get trapped(): number {
    return this.#trapped
  }

  /**
   * @param addresses to listen on as well, at the same port
   * @param morePorts how many further ports to listen on
   */
  async start(addresses: readonly string[], morePorts: number): Promise<{ main: number; more: number[] }> {
    const http = this.#secure ? createHttpsServer({ key: KEY, cert: CERTIFICATE }) : createHttpServer()
    http.keepAliveTimeout = KEEP_ALIVE_MS
    http.on('request', this.#listener)
    http.on('clientError', (_error, socket) => socket.destroy())
    const main = await this.#listen(http, 0, LOOPBACK)
    const hand = (socket: Socket) => http.emit('connection', socket)
    for (const address of addresses) await this.#listen(createTcpServer(hand), main, address)
    const more: number[] = []
    while (more.length < morePorts) more.push(await this.#listen(createTcpServer(hand), 0, LOOPBACK))
    return { main, more }
  }

  /** A port on which connections are counted and cut. */
  trap(): Promise<number> {
    const server = createTcpServer((socket) => {
      this.#trapped += 1
      socket.destroy()
    })
    return this.#listen(server, 0, LOOPBACK)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const closed = this.#servers.map((server) => once(server.close(), 'close'))
    for (const socket of this.#sockets) socket.destroy()
    await Promise.all(closed)
  }

  async #listen(server: Server, port: number, address: string): Promise<number> {
    server.on('connection', (socket: Socket) => {
      this.#sockets.add(socket)
      socket.on('error', () => {}).once('close', () => this.#sockets.delete(socket))
    })
    server.listen(port, address)
    await once(server, 'listening')
    this.#servers.push(server)
    return (server.address() as AddressInfo).port
  }
}
