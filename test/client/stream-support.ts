import { once } from 'node:events'
import { createServer, type IncomingMessage } from 'node:http'
import type { AddressInfo } from 'node:net'
import { ErrorFrame, type Frame, MessageFrame, XrpcStreamServer } from '@atproto/xrpc-server'
import type { JobMessage } from '../../src/client/index.js'

export const JOB = '3lbackfilljob'
const TIME = '2030-01-01T00:00:00.000Z'

/** What is known of a connection when it is made. */
export interface Arrival {
  readonly url: URL
  readonly headers: IncomingMessage['headers']
}

/** What a script yields for a connection: frames, or the code of a close frame. */
export type Play = (connection: Connection) => AsyncGenerator<Frame | number, void, undefined>

export interface Connection extends Arrival {
  /** How many came before. */
  readonly index: number
  /** Aborts when the other side has gone. */
  readonly signal: AbortSignal
  /** Breaks it off, without a close frame. */
  cut(): void
}

/** A service that streams what a test tells it to, one script for each connection; the last one for all others. */
export interface StreamingService extends AsyncDisposable {
  readonly url: string
  readonly arrivals: readonly Arrival[]
  /** Connections that are open now. */
  readonly open: number
}

export function startStreaming(...plays: readonly Play[]): Promise<StreamingService> {
  return startAnswering({}, ...plays)
}

/** The same, with answers to plain calls by the names of their methods; 404 to all others. */
export async function startAnswering(
  answers: Readonly<Record<string, () => unknown>>,
  ...plays: readonly Play[]
): Promise<StreamingService> {
  const arrivals: Arrival[] = []
  const http = createServer((request, response) => {
    const { pathname } = new URL(request.url ?? '/', 'http://localhost')
    const answer = answers[pathname.split('.').at(-1) ?? '']
    if (answer === undefined) response.writeHead(404).end()
    else response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify(answer()))
  })
  const streams = new XrpcStreamServer({
    server: http,
    async *handler(request, signal, socket) {
      const arrival = { url: new URL(request.url ?? '/', 'http://localhost'), headers: request.headers }
      const index = arrivals.push(arrival) - 1
      const play = plays[Math.min(index, plays.length - 1)]!
      for await (const step of play({ ...arrival, index, signal, cut: () => socket.terminate() })) {
        if (typeof step !== 'number') yield step
        else return socket.close(step, 'so the test says')
      }
    },
  })
  http.listen(0, '127.0.0.1')
  await once(http, 'listening')
  return {
    url: `http://localhost:${(http.address() as AddressInfo).port}`,
    arrivals,
    get open() {
      return streams.wss.clients.size
    },
    async [Symbol.asyncDispose]() {
      for (const socket of streams.wss.clients) socket.terminate()
      http.close()
      http.closeAllConnections()
      await once(http, 'close')
    },
  }
}

/** A frame of `subscribeJob`. */
export function frame(name: string, body: Record<string, unknown>): Frame {
  return new MessageFrame({ job: JOB, time: TIME, ...body } as never, { type: `#${name}` })
}

export const refusal = (error: string, message = `because of ${error}`): Frame =>
  new ErrorFrame({ error, message })

export const discovered = (seq: number): Frame =>
  frame('repoDiscovered', { seq, did: `did:web:repo-${seq}.test` })

export const completed = (seq: number): Frame => frame('jobCompleted', { seq, status: 'completed' })

/** A script that sends these, whoever comes. */
export const sending = (...steps: readonly (Frame | number)[]): Play =>
  async function* () {
    yield* steps
  }

/** What is easy to compare: a message's name, and its place. */
export const brief = (message: JobMessage): string =>
  'seq' in message ? `${message.type} ${message.seq}` : message.type

/** Waits for as long as the other side stays. */
export function whileOpen({ signal }: Connection): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve()
    else signal.addEventListener('abort', () => resolve(), { once: true })
  })
}
