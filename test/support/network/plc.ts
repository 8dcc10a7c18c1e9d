import type { AddressInfo } from 'node:net'
import { Client } from '@did-plc/lib'
import { Database, PlcServer } from '@did-plc/server'
import { keepToLoopback, RequestCounts } from './loopback.js'

/** A real PLC directory in this process, on loopback. Its operations are in memory and outlive `stop`. */
export class TestPlc implements AsyncDisposable {
  readonly requests = new RequestCounts()
  readonly #database = Database.mock()
  #server: PlcServer | null = null
  #port = 0

  get url(): string {
    return `http://localhost:${this.#port}`
  }

  /** Reads and writes DIDs of this directory. */
  get client(): Client {
    return new Client(this.url)
  }

  /** Refuses connections until `restart`. */
  async stop(): Promise<void> {
    const server = this.#server
    this.#server = null
    await server?.destroy()
  }

  /** Listens (again), on the port it had. */
  async restart(): Promise<void> {
    if (this.#server !== null) return
    const server = PlcServer.create({ db: this.#database, port: this.#port })
    keepToLoopback(server.app)
    const http = await server.start()
    this.requests.watch(http)
    this.#port = (http.address() as AddressInfo).port
    this.#server = server
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.stop()
  }
}

/** Starts a directory on a port chosen by the system. */
export async function startPlc(): Promise<TestPlc> {
  const plc = new TestPlc()
  await plc.restart()
  return plc
}
