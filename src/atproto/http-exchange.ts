import { setImmediate as nextTurn } from 'node:timers/promises'
import type { Dispatcher } from 'undici'
import { type BodyBudget, type BodyShare, FREE_BYTES } from './body-budget.js'
import { BodyCollector, type BodyRoom, decodeBody, isKnownCoding } from './http-body.js'
import { classifyNetworkError, HttpFailure } from './http-failure.js'
import { BodyStream, isStreamedCoding, type Sink } from './http-stream.js'

export interface HttpResponse {
  readonly status: number
  /** By lower-case name; repeated headers are joined by a comma. */
  readonly headers: Readonly<Record<string, string>>
  /** Decoded; empty where a sink took it. */
  readonly body: Buffer
}

export interface ExchangeRequest {
  readonly url: URL
  readonly headers: Readonly<Record<string, string>>
  /** The most the body may be, encoded as well as decoded. */
  readonly maxBytes: number
  /** The whole exchange, ms, but for the time for which we make the host wait. */
  readonly timeoutMs: number
  /** Not aborted yet. */
  readonly signal: AbortSignal | undefined
  /** Takes the body of a 200. What it throws ends the exchange; no call of it outlasts that. */
  readonly sink: Sink | undefined
  /** Told of each part of the body, as it came over the wire. */
  readonly onReceived: ((url: URL, bytes: number) => void) | undefined
}

export interface ExchangeLimits {
  /** From the request to the end of the response's headers, ms. */
  readonly headersTimeoutMs: number
  /** A body must bring `slowBytesMin` bytes in every window of this many ms. */
  readonly slowWindowMs: number
  readonly slowBytesMin: number
  /** What all bodies together may have in memory. */
  readonly bodies: BodyBudget
}

/**
 * One request and its response, without judging where it goes.
 * @throws HttpFailure; the signal's reason when it aborts
 */
export async function exchange(
  dispatcher: Dispatcher,
  request: ExchangeRequest,
  limits: ExchangeLimits,
): Promise<HttpResponse> {
  const { promise, resolve, reject } = Promise.withResolvers<HttpResponse>()
  const receiver = new Receiver(request, limits, resolve, reject)
  const { url, headers } = request
  const { headersTimeoutMs } = limits
  const path = `${url.pathname}${url.search}`
  dispatcher.dispatch(
    { origin: url.origin, path, method: 'GET', headers, headersTimeout: headersTimeoutMs, bodyTimeout: 0 },
    receiver,
  )
  try {
    const received = await promise
    // Undici frees a connection one turn of the event loop after its response. A caller that went on at once would
    // find it busy and open a second one.
    await nextTurn()
    return request.sink ? received : await decoded(received, request, receiver)
  } finally {
    receiver.letGo()
  }
}

async function decoded(
  { status, headers, body: encoded }: HttpResponse,
  { url, maxBytes }: ExchangeRequest,
  room: BodyRoom,
): Promise<HttpResponse> {
  try {
    const body = await decodeBody(encoded, codingOf(headers), maxBytes, url.host, room)
    return { status, headers, body }
  } catch (error) {
    if (!speaksForItself(status)) throw error
    return { status, headers, body: Buffer.alloc(0) }
  }
}

/**
 * Whether a status is the whole answer, so that what is wrong with the body cannot change it: a host that asks
 * us to wait is to be obeyed even if its error page is too long or never ends.
 */
function speaksForItself(status: number): boolean {
  return status === 429 || status >= 500
}

/** The most that is read of a refusal where a body is streamed: there is no telling from `maxBytes`. */
const REFUSAL_BYTES_MAX = 256 * 1024

function codingOf(headers: Readonly<Record<string, string>>): string {
  return headers['content-encoding']?.trim().toLowerCase() || 'identity'
}

/**
 * Takes a response as undici's dispatcher gives it, still encoded. Below `request` and its stream, because every
 * chunk is counted here anyway, and because it costs a fifth less.
 */
class Receiver implements Dispatcher.DispatchHandler, BodyRoom {
  readonly #request: ExchangeRequest
  readonly #limits: ExchangeLimits
  readonly #resolve: (response: HttpResponse) => void
  readonly #reject: (error: unknown) => void
  readonly #body: BodyCollector
  /** Of a body that is not small any more. */
  #share: BodyShare | null = null
  #stream: BodyStream | null = null
  #deadline: NodeJS.Timeout
  #slowCheck: NodeJS.Timeout | undefined
  /** Whether the host is made to wait, and whether it was since its rate was last looked at. */
  #holdsBack = false
  #heldBack = false
  /** Since when, and for how long in all since the deadline was set. */
  #heldSince = 0
  #heldMs = 0
  #controller: Dispatcher.DispatchController | undefined
  #status = 0
  #headers: Record<string, string> = {}
  #settled = false

  constructor(
    request: ExchangeRequest,
    limits: ExchangeLimits,
    resolve: (response: HttpResponse) => void,
    reject: (error: unknown) => void,
  ) {
    this.#request = request
    this.#limits = limits
    this.#resolve = resolve
    this.#reject = reject
    this.#body = new BodyCollector(request.maxBytes)
    this.#deadline = setTimeout(this.#onDeadline, request.timeoutMs)
    request.signal?.addEventListener('abort', this.#onAbort, { once: true })
  }

  onRequestStart(controller: Dispatcher.DispatchController): void {
    this.#controller = controller
    // It was given up while it waited for a connection.
    if (this.#settled) controller.abort(new Error('given up'))
  }

  onResponseStart(
    _controller: Dispatcher.DispatchController,
    status: number,
    headers: Record<string, string | string[] | undefined>,
  ): void {
    if (this.#settled || status < 200) return
    this.#status = status
    this.#headers = joined(headers)
    const coding = codingOf(this.#headers)
    const announced = Number(this.#headers['content-length'] ?? 0)
    const { sink, maxBytes } = this.#request
    const isKnown = sink ? isStreamedCoding(coding) : isKnownCoding(coding)
    if (announced > maxBytes) this.#tooLarge()
    else if (!isKnown) this.#fail('bad-response', `a coding nobody asked for: ${coding.slice(0, 60)}`)
    else {
      if (sink) this.#openStream(sink, coding)
      else this.#body.expect(announced)
      this.#watchRate()
    }
  }

  onResponseData(controller: Dispatcher.DispatchController, chunk: Buffer): void {
    if (this.#settled) return
    this.#request.onReceived?.(this.#request.url, chunk.length)
    if (this.#stream !== null) {
      if (!this.#stream.push(chunk)) this.#holdBack(controller)
    } else if (!this.#body.push(chunk)) this.#tooLarge()
    else if (this.#body.length > (this.#share?.bytes ?? FREE_BYTES) && !this.#take(this.#body.length)) {
      this.#holdBack(controller)
    }
  }

  onResponseEnd(): void {
    if (this.#settled) return
    // From here on only what takes the body can be slow.
    clearInterval(this.#slowCheck)
    clearTimeout(this.#deadline)
    if (this.#stream !== null) this.#stream.end()
    else if (this.#settle()) this.#answer(this.#body.bytes())
  }

  onResponseError(_controller: Dispatcher.DispatchController, error: Error): void {
    this.#refuse(classifyNetworkError(error, this.#request.url.host))
  }

  readonly #onAbort = (): void => {
    const { reason } = this.#request.signal!
    const aborted = new Error('aborted')
    this.#end(aborted, () => this.#reject(reason))
    this.#controller?.abort(aborted)
  }

  /** Has the body of a 200 go to the sink, and any other be collected, decoded on the way. */
  #openStream(sink: Sink, coding: string): void {
    const isWanted = this.#status === 200
    const collect = (piece: Buffer) => void this.#body.push(piece)
    const stream = new BodyStream({
      coding,
      maxBytes: isWanted ? this.#request.maxBytes : Math.min(this.#request.maxBytes, REFUSAL_BYTES_MAX),
      host: this.#request.url.host,
      sink: isWanted ? sink : collect,
      onRoom: this.#goOn,
    })
    this.#stream = stream
    const delivered = () => {
      if (this.#settle()) this.#answer(this.#body.bytes())
    }
    stream.done.then(delivered, (error: Error) => this.#giveUp(error))
  }

  async roomFor(bytes: number): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>()
    if (!this.#take(bytes, resolve)) await promise
  }

  /** The body is not in memory any more, or will not be in a moment. */
  letGo(): void {
    if (this.#share !== null) this.#limits.bodies.end(this.#share)
  }

  /** @returns whether there is room for so much of the body; if not, the host waits until there is */
  #take(bytes: number, onRoom = this.#goOn): boolean {
    const { bodies } = this.#limits
    this.#share ??= bodies.share(this.#request.maxBytes)
    return bodies.take(this.#share, bytes, onRoom)
  }

  #holdBack(controller: Dispatcher.DispatchController): void {
    if (!this.#holdsBack) this.#heldSince = performance.now()
    this.#holdsBack = true
    this.#heldBack = true
    controller.pause()
  }

  readonly #goOn = (): void => {
    if (!this.#holdsBack || this.#settled) return
    this.#holdsBack = false
    this.#heldMs += performance.now() - this.#heldSince
    this.#controller?.resume()
  }

  /** The host is not at fault for as long as it had to wait: it has that much more time. */
  readonly #onDeadline = (): void => {
    const now = performance.now()
    if (this.#holdsBack) this.#heldMs += now - this.#heldSince
    this.#heldSince = now
    if (this.#heldMs < 1) this.#fail('timeout', 'no complete answer in time')
    else this.#deadline = setTimeout(this.#onDeadline, this.#heldMs)
    this.#heldMs = 0
  }

  #watchRate(): void {
    const { slowWindowMs, slowBytesMin } = this.#limits
    let seen = 0
    this.#slowCheck = setInterval(() => {
      const { length } = this.#stream ?? this.#body
      const arrived = length - seen
      const wasHeldBack = this.#heldBack
      seen = length
      this.#heldBack = this.#holdsBack
      if (arrived >= slowBytesMin || wasHeldBack) return
      this.#fail('too-slow', `${arrived} bytes of the response in ${slowWindowMs} ms`)
    }, slowWindowMs)
  }

  #tooLarge(): void {
    this.#fail('body-too-large', `the response is larger than ${this.#request.maxBytes} bytes`)
  }

  #fail(failure: HttpFailure['failure'], message: string): void {
    this.#giveUp(new HttpFailure(failure, `${this.#request.url.host}: ${message}`))
  }

  #giveUp(error: Error): void {
    this.#refuse(error)
    this.#controller?.abort(error)
  }

  #refuse(error: Error): void {
    this.#end(error, () => {
      if (error instanceof HttpFailure && speaksForItself(this.#status)) this.#answer(Buffer.alloc(0))
      else this.#reject(error)
    })
  }

  /** Settles early, when the sink is done with what it has. */
  #end(reason: Error, settle: () => void): void {
    if (!this.#settle()) return
    this.#stream?.destroy(reason)
    if (this.#stream === null) settle()
    else this.#stream.done.then(settle, settle)
  }

  #answer(body: Buffer): void {
    this.#resolve({ status: this.#status, headers: this.#headers, body })
  }

  /** @returns false when it was settled before */
  #settle(): boolean {
    if (this.#settled) return false
    this.#settled = true
    clearTimeout(this.#deadline)
    clearInterval(this.#slowCheck)
    this.#request.signal?.removeEventListener('abort', this.#onAbort)
    return true
  }
}

/** Headers by lower-case name; repeated ones are joined by a comma. */
export function joined(headers: Record<string, string | string[] | undefined>): Record<string, string> {
  // Without a prototype, so that `headers[name]` never finds what the host did not send.
  const record: Record<string, string> = Object.create(null)
  for (const [name, value] of Object.entries(headers)) {
    if (value !== undefined) record[name] = typeof value === 'string' ? value : value.join(', ')
  }
  return record
}
