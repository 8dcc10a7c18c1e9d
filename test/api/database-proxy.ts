import { once } from 'node:events'
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net'

/** Stands between a service and its database, so that the database can go away for one service alone. */
export class DatabaseProxy implements AsyncDisposable {
  readonly #target: URL
  readonly #sockets = new Set<Socket>()
  #server: Server | null = null
  #port = 0
  #silent = false

  private constructor(databaseUrl: string) {
    this.#target = new URL(databaseUrl)
  }

  static async start(databaseUrl: string): Promise<DatabaseProxy> {
    const proxy = new DatabaseProxy(databaseUrl)
    await proxy.restart()
    return proxy
  }

  /** Reaches the database through here. */
  get url(): string {
    const url = new URL(this.#target)
    url.hostname = '127.0.0.1'
    url.port = String(this.#port)
    return url.href
  }

  /** Cuts every connection, and refuses new ones. */
  async stop(): Promise<void> {
    const server = this.#server
    this.#server = null
    if (server === null) return
    const closed = once(server, 'close')
    server.close()
    this.#cut()
    await closed
  }

  /** Takes connections (again), on the port it had. */
  async restart(): Promise<void> {
    if (this.#server !== null) return
    const server = createServer((socket) => this.#pipe(socket))
    server.listen(this.#port, '127.0.0.1')
    await once(server, 'listening')
    this.#port = (server.address() as AddressInfo).port
    this.#server = server
  }

  /** Cuts every connection; new ones come about and get no answer, until it is called with false. */
  setSilent(silent: boolean): void {
    this.#silent = silent
    this.#cut()
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.stop()
  }

  #cut(): void {
    for (const socket of this.#sockets) socket.destroy()
  }

  #pipe(client: Socket): void {
    this.#keep(client)
    if (this.#silent) return
    const database = connect(Number(this.#target.port), this.#target.hostname)
    this.#keep(database)
    client.pipe(database)
    database.pipe(client)
    client.on('close', () => database.destroy())
    database.on('close', () => client.destroy())
  }

  #keep(socket: Socket): void {
    this.#sockets.add(socket)
    socket.on('error', () => {})
    socket.on('close', () => this.#sockets.delete(socket))
  }
}
