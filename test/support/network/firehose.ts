import type { IncomingMessage } from 'node:http'
import type { Duplex } from 'node:stream'
import { encode } from '@atcute/cbor'
import { type WebSocket, WebSocketServer } from 'ws'

/** How often something happens somewhere in a network that is not quiet. */
const HEARTBEAT_MS = 15

interface Event {
  readonly seq: number
  readonly frame: Buffer
}

/**
 * The firehose of a stand-in: `subscribeRepos` as event streams have it. While somebody listens something happens,
 * as it does in any network, unless it is told to be quiet.
 */
export class Firehose {
  /** Nothing happens but what a test makes happen. */
  quiet = false
  /** How connections were begun: with which cursor, or null. */
  readonly connections: (string | null)[] = []
  /** Answers a request for a WebSocket with this instead. */
  refuse: { readonly status: number; readonly headers?: Readonly<Record<string, string>> } | null = null
  readonly #server = new WebSocketServer({ noServer: true })
  readonly #listeners = new Set<WebSocket>()
  #events: Event[] = []
  #seq = 0
  #heart: NodeJS.Timeout | null = null

  /** The number of the last event. */
  get seq(): number {
    return this.#seq
  }

  /** How many listen now. */
  get listening(): number {
    return this.#listeners.size
  }

  /** Something happens. @returns its number */
  emit(kind: string, body: object): number {
    this.#seq += 1
    const frame = Buffer.concat([encode({ op: 1, t: kind }), encode({ ...body, seq: this.#seq })])
    this.#events.push({ seq: this.#seq, frame })
    for (const listener of this.#listeners) listener.send(frame)
    return this.#seq
  }

  /** Forgets the events up to this one, as a relay does with old ones. */
  forget(upTo: number): void {
    this.#events = this.#events.filter(({ seq }) => seq > upTo)
  }

  /** Takes a request to go on as a WebSocket. */
  accept(url: URL, request: IncomingMessage, socket: Duplex, head: Buffer): void {
    const cursor = url.searchParams.get('cursor')
    this.connections.push(cursor)
    if (this.refuse) {
      const { status, headers = {} } = this.refuse
      const lines = Object.entries({ ...headers, 'content-length': '0', connection: 'close' })
      socket.end(
        `HTTP/1.1 ${status} No\r\n${lines.map(([name, value]) => `${name}: ${value}\r\n`).join('')}\r\n`,
      )
      return
    }
    this.#server.handleUpgrade(request, socket, head, (listener) => this.#serve(listener, cursor))
  }

  /** Cuts every connection. */
  stop(): void {
    if (this.#heart) clearInterval(this.#heart)
    this.#heart = null
    for (const listener of this.#listeners) listener.terminate()
  }

  #serve(listener: WebSocket, cursor: string | null): void {
    listener.on('error', () => {})
    listener.on('close', () => {
      this.#listeners.delete(listener)
      if (this.#listeners.size === 0) this.stop()
    })
    if (cursor !== null) {
      for (const { seq, frame } of this.#events) if (seq > Number(cursor)) listener.send(frame)
    }
    this.#listeners.add(listener)
    this.#heart ??= setInterval(() => {
      if (!this.quiet)
        this.emit('#identity', { did: 'did:web:somebody.example', time: new Date().toISOString() })
    }, HEARTBEAT_MS)
  }
}
