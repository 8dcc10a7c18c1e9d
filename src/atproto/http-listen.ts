import { createHash, randomBytes } from 'node:crypto'
import type { Duplex } from 'node:stream'
import type { Dispatcher } from 'undici'
import { joined } from './http-exchange.js'
import { classifyNetworkError, HttpFailure } from './http-failure.js'
import { admit, type FollowContext } from './http-follow.js'
import { FrameError, FrameReader } from './http-frames.js'
import { watched } from './http-watch.js'

/** Which messages of a WebSocket to wait for. */
export interface Listening<T> {
  /** An https URL: it is asked to go on as a WebSocket. */
  readonly url: string | URL
  /** The most that one message may be. */
  readonly maxBytes: number
  /** Until the server has taken us, ms. */
  readonly connectMs: number
  /** How long to listen from then on, ms. */
  readonly forMs: number
  readonly signal?: AbortSignal | undefined
  /** Told of each binary message, until it returns something; what it throws ends the listening. */
  readonly onMessage: (message: Buffer) => T | undefined
}

export type Listened<T> =
  | { readonly kind: 'heard'; readonly value: T }
  /** Connected all the time, and nothing came that was waited for. */
  | { readonly kind: 'silence' }
  /** The server answered, but not as a WebSocket does. */
  | {
      readonly kind: 'refused'
      readonly status: number
      readonly headers: Readonly<Record<string, string>>
    }

/** RFC 6455 §1.3: proves that the server has understood. */
const ACCEPT_SUFFIX = '258EAFA5-E914-47DA-95CA-C5AB0DC85B11'

/**
 * Listens to a WebSocket for a while, under the same guards as any other request: the URL passes the address
 * policy, the connection goes to checked addresses only, redirects are not followed. One message is held at most.
 * Frames are read here rather than by a WebSocket class, which would hide the status of a refusal, inflate what it
 * is sent and leave it to the server when the connection ends.
 * @throws HttpFailure; the signal's reason when it aborts
 */
export async function listen<T>(context: FollowContext, listening: Listening<T>): Promise<Listened<T>> {
  const url = new URL(listening.url)
  listening.signal?.throwIfAborted()
  // Who was let in has been answered, whatever it heard.
  const statusOf = (listened: Listened<T>) => (listened.kind === 'refused' ? listened.status : 101)
  return watched(url, () => connect(context, url, listening), statusOf, context.onExchanged)
}

async function connect<T>(context: FollowContext, url: URL, listening: Listening<T>): Promise<Listened<T>> {
  admit(url, context.policy)
  context.onRequest?.({ url: url.href, hop: 0 })
  const { promise, resolve, reject } = Promise.withResolvers<Listened<T>>()
  const key = randomBytes(16).toString('base64')
  const listener = new Listener(url, key, listening, resolve, reject)
  const headers = {
    'sec-websocket-key': key,
    'sec-websocket-version': '13',
    'user-agent': context.userAgent,
  }
  context.dispatcher.dispatch(
    {
      origin: url.origin,
      path: `${url.pathname}${url.search}`,
      method: 'GET',
      upgrade: 'websocket',
      headers,
      headersTimeout: context.limits.headersTimeoutMs,
      bodyTimeout: 0,
    },
    listener,
  )
  return promise
}

class Listener<T> implements Dispatcher.DispatchHandler {
  readonly #url: URL
  readonly #key: string
  readonly #listening: Listening<T>
  readonly #resolve: (listened: Listened<T>) => void
  readonly #reject: (error: unknown) => void
  readonly #frames: FrameReader
  #timer: NodeJS.Timeout
  #controller: Dispatcher.DispatchController | undefined
  #socket: Duplex | undefined
  #settled = false

  constructor(
    url: URL,
    key: string,
    listening: Listening<T>,
    resolve: (listened: Listened<T>) => void,
    reject: (error: unknown) => void,
  ) {
    this.#url = url
    this.#key = key
    this.#listening = listening
    this.#resolve = resolve
    this.#reject = reject
    this.#frames = new FrameReader(listening.maxBytes)
    this.#timer = setTimeout(
      () => this.#fail('timeout', 'no WebSocket came about in time'),
      listening.connectMs,
    )
    listening.signal?.addEventListener('abort', this.#onAbort, { once: true })
  }

  onRequestStart(controller: Dispatcher.DispatchController): void {
    this.#controller = controller
    // It was given up while it waited for a connection.
    if (this.#settled) controller.abort(new Error('given up'))
  }

  onRequestUpgrade(
    _controller: Dispatcher.DispatchController,
    _status: number,
    headers: Record<string, string | string[] | undefined>,
    socket: Duplex,
  ): void {
    this.#socket = socket
    socket.on('error', (error: Error) => this.#refuse(classifyNetworkError(error, this.#url.host)))
    socket.on('close', () => this.#closed())
    if (this.#settled) {
      socket.destroy()
      return
    }
    const accept = createHash('sha1').update(`${this.#key}${ACCEPT_SUFFIX}`).digest('base64')
    if (headers['sec-websocket-accept'] !== accept || headers['sec-websocket-extensions'] !== undefined) {
      this.#fail('bad-response', 'it goes on as something else than the WebSocket it was asked for')
      return
    }
    clearTimeout(this.#timer)
    this.#timer = setTimeout(() => this.#end({ kind: 'silence' }), this.#listening.forMs)
    socket.on('data', (chunk: Buffer) => this.#onData(chunk))
    socket.resume()
  }

  onResponseStart(
    controller: Dispatcher.DispatchController,
    status: number,
    headers: Record<string, string | string[] | undefined>,
  ): void {
    if (status < 200) return
    this.#end({ kind: 'refused', status, headers: joined(headers) })
    // Its words are of no interest.
    controller.abort(new Error('refused'))
  }

  onResponseError(_controller: Dispatcher.DispatchController, error: Error): void {
    this.#refuse(classifyNetworkError(error, this.#url.host))
  }

  readonly #onAbort = (): void => {
    const { reason } = this.#listening.signal!
    this.#refuse(reason)
    this.#controller?.abort(new Error('aborted'))
  }

  #onData(chunk: Buffer): void {
    if (this.#settled) return
    try {
      for (const message of this.#frames.push(chunk)) {
        const value = this.#listening.onMessage(message)
        if (value === undefined) continue
        this.#end({ kind: 'heard', value })
        return
      }
      if (this.#frames.closed) this.#closed()
    } catch (error) {
      if (!(error instanceof FrameError)) this.#refuse(error)
      else this.#fail(error.kind === 'too-large' ? 'body-too-large' : 'bad-response', error.message)
    }
  }

  #closed(): void {
    this.#fail('connection-failed', 'the WebSocket was closed')
  }

  #fail(failure: HttpFailure['failure'], message: string): void {
    const error = new HttpFailure(failure, `${this.#url.host}: ${message}`)
    this.#refuse(error)
    if (this.#socket === undefined) this.#controller?.abort(error)
  }

  #end(listened: Listened<T>): void {
    if (this.#settle()) this.#resolve(listened)
  }

  #refuse(error: unknown): void {
    if (this.#settle()) this.#reject(error)
  }

  /** @returns false when it was settled before */
  #settle(): boolean {
    if (this.#settled) return false
    this.#settled = true
    clearTimeout(this.#timer)
    this.#listening.signal?.removeEventListener('abort', this.#onAbort)
    this.#socket?.destroy()
    return true
  }
}
