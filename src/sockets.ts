import type { Socket as NetSocket } from 'node:net'
import type { XrpcStreamServer } from '@atproto/xrpc-server'

/** Twice this without an answer and without taking anything, and the other end is taken for gone. */
const PING_EVERY_MS = 30_000

/** More than pings are. A message goes out when the one before has been taken, so more than this is progress. */
const PROGRESS_BYTES = 100

/** The service restarts: come back. */
const CLOSE_RESTART = 1012

/** How long the other end may take to agree that a stream ends. */
const CLOSE_MS = 1_000

/** Streams go one way: what comes in is control frames, and nothing that needs room. */
const INCOMING_BYTES_MAX = 1_024

type SocketServer = XrpcStreamServer['wss']
type Socket = SocketServer['clients'] extends Set<infer S> ? S : never

/**
 * The open streams of a server. Notices when whoever reads one is gone, which nothing else does as long as its
 * host takes what is sent or the stream is silent; and ends them all when the service is to stop.
 */
export class Sockets {
  readonly #pingEveryMs: number
  readonly #open = new Set<Socket>()
  readonly #stopping = new AbortController()

  constructor(pingEveryMs: number = PING_EVERY_MS) {
    this.#pingEveryMs = pingEveryMs
  }

  /** Aborted when the streams are to end. */
  get stopping(): AbortSignal {
    return this.#stopping.signal
  }

  /** Looks after the streams of these from now on. */
  watch(subscriptions: Iterable<XrpcStreamServer>): void {
    for (const { wss } of subscriptions) {
      wss.options.maxPayload = INCOMING_BYTES_MAX
      wss.on('connection', (socket, request) => this.#keep(socket, request.socket))
    }
  }

  /** Ends every stream, and each that is still to come. One whose other end does not agree is cut off. */
  end(): void {
    // First: a handler that ends by itself would have its stream closed as if the job had ended.
    for (const socket of this.#open) this.#close(socket)
    this.#stopping.abort()
  }

  #keep(socket: Socket, connection: NetSocket): void {
    if (this.#stopping.signal.aborted) this.#close(socket)
    this.#open.add(socket)
    let answered = true
    let sent = 0
    const pings = setInterval(() => {
      // Whoever is slow to read gets to a ping long after it was sent.
      const isTaking = connection.bytesWritten > sent + PROGRESS_BYTES
      sent = connection.bytesWritten
      if (!answered && !isTaking) socket.terminate()
      answered = false
      socket.ping()
    }, this.#pingEveryMs)
    socket.on('pong', () => {
      answered = true
    })
    socket.once('close', () => {
      clearInterval(pings)
      this.#open.delete(socket)
    })
  }

  #close(socket: Socket): void {
    socket.close(CLOSE_RESTART, 'the service restarts')
    const cut = setTimeout(() => socket.terminate(), CLOSE_MS)
    socket.once('close', () => clearTimeout(cut))
  }
}
