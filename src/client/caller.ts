import { ValidationError } from '@atproto/lexicon'
import { constructMethodCallUrl } from '@atproto/xrpc'
import { ids, lexicons } from '../../codegen/client/lexicons.js'
import type { OutputSchema as ServiceDescription } from '../../codegen/client/types/network/example/backfill/describeService.js'
import { VERSION } from '../version.js'
import type { Clock } from './clock.js'
import { type Credentials, createMint, type Mint } from './credentials.js'
import { BackfillError } from './errors.js'
import { type ExchangeRequest, exchange, invalid, open } from './exchange.js'
import { readFrame } from './frames.js'
import { originOf } from './origin.js'
import { holdsRecords } from './record-messages.js'
import { type RetryOptions, type RetryPolicy, retryPolicy, withRetries } from './retry.js'
import { receive, type SocketRequest } from './socket.js'
import { follow, type StreamOptions, type StreamSource } from './stream.js'

export interface CallerOptions {
  /** Origin of the service, such as `https://backfill.example.com`. */
  readonly service: string
  /**
   * The service's DID, to which tokens are addressed. Absent: the service is asked once, and believed. Give it
   * where the way to the service is not secure.
   */
  readonly audience?: string
  /** Default: the global one. */
  readonly fetch?: typeof globalThis.fetch
  /** Goes before the client's own name. */
  readonly userAgent?: string
  readonly retry?: RetryOptions
  /** Of one attempt, ms. Default: 60,000; looking up a thousand handles takes its time. */
  readonly timeoutMs?: number
  /** For tests: time and chance. */
  readonly clock?: Partial<Clock>
}

const TIMEOUT_MS = 60_000
const CLIENT_NAME = `aquifer-client/${VERSION}`

type Nsid = (typeof ids)[keyof typeof ids]

interface Arguments {
  readonly params?: Readonly<Record<string, string | number | boolean | undefined>>
  readonly input?: unknown
}

interface CallOptions<Output> {
  readonly signal?: AbortSignal
  /**
   * Asked when a repeated call is refused: the answer that the first one would have got, if that was carried out
   * and only its answer was lost; else null.
   */
  readonly carriedOut?: (refusal: unknown) => Promise<Output | null>
}

/** Calls the methods of one service by name: token, attempts, and an output that is what its lexicon says. */
export class ServiceCaller {
  readonly service: string
  readonly #mint: Mint
  readonly #fetch: typeof globalThis.fetch
  readonly #userAgent: string
  readonly #policy: RetryPolicy
  readonly #timeoutMs: number
  readonly #clock: Clock
  #audience: string | null

  /** @throws TypeError or RangeError for options that cannot be used */
  constructor(options: CallerOptions & Credentials, clock: Clock) {
    const { audience, fetch = globalThis.fetch, userAgent, retry, timeoutMs = TIMEOUT_MS } = options
    this.service = originOf('service', options.service)
    this.#mint = createMint(options, clock.now)
    this.#audience = audience ?? null
    this.#fetch = fetch
    this.#userAgent = userAgent === undefined ? CLIENT_NAME : `${userAgent} ${CLIENT_NAME}`
    this.#policy = retryPolicy(retry)
    this.#timeoutMs = timeoutMs
    this.#clock = clock
    // Throws now, and not in the middle of a call, where it would look like a broken connection.
    new Headers({ 'user-agent': this.#userAgent })
    if (!(timeoutMs > 0)) throw new RangeError('timeoutMs must be more than 0')
  }

  /** Calls a method that needs service auth. */
  async call<Output>(nsid: Nsid, args: Arguments, options: CallOptions<Output> = {}): Promise<Output> {
    return this.#attempt<Output>(nsid, args, options, () => this.#authorize(nsid, options.signal))
  }

  /**
   * Follows a subscription that needs service auth, over as many connections as it takes.
   * @param course what the messages say of their course
   */
  subscribe<Message extends { readonly type: string }>(
    nsid: Nsid,
    params: NonNullable<Arguments['params']>,
    course: Pick<StreamSource<Message>, 'isLast' | 'cursorOf'>,
    options: StreamOptions,
  ): AsyncGenerator<Message, void, undefined> {
    const { signal } = options
    const url = new URL(`/xrpc/${nsid}`, this.service)
    for (const [name, value] of Object.entries(params)) {
      if (value !== undefined) url.searchParams.set(name, String(value))
    }
    const connect = async function* (this: ServiceCaller, cursor: number | undefined, onOpen: () => void) {
      if (cursor !== undefined) url.searchParams.set('cursor', String(cursor))
      const request: SocketRequest = {
        peer: 'Aquifer',
        url,
        headers: { 'user-agent': this.#userAgent, ...(await this.#authorize(nsid, signal)) },
        timeoutMs: this.#timeoutMs,
        signal,
        onOpen,
      }
      for await (const bytes of receive(request)) {
        const message = messageIn(nsid, request, bytes)
        if (message !== null) yield message as Message
      }
    }
    const source = { connect: connect.bind(this), ...course }
    return follow(source, { ...options, policy: this.#policy, clock: this.#clock })
  }

  /**
   * Calls a query whose answer comes in pieces; once it has begun to come, it is not tried again.
   * @param accept the codings that it may be compressed by
   */
  async download(
    nsid: Nsid,
    params: NonNullable<Arguments['params']>,
    accept: string,
    signal: AbortSignal | undefined,
  ): Promise<{ readonly request: ExchangeRequest; readonly pieces: AsyncIterable<Uint8Array> }> {
    const url = new URL(
      constructMethodCallUrl(nsid, lexicons.getDefOrThrow(nsid, ['query']), params),
      this.service,
    )
    const headersFor = async () => ({ ...(await this.#authorize(nsid, signal)), 'accept-encoding': accept })
    return withRetries(
      async () => {
        const request = await this.#request(url, 'GET', headersFor, signal)
        return { request, pieces: await open(request) }
      },
      { policy: this.#policy, clock: this.#clock, signal },
    )
  }

  async #request(
    url: URL,
    method: ExchangeRequest['method'],
    headersFor: () => Promise<Readonly<Record<string, string>>>,
    signal: AbortSignal | undefined,
  ): Promise<ExchangeRequest> {
    return {
      peer: 'Aquifer',
      url,
      method,
      headers: { 'user-agent': this.#userAgent, ...(await headersFor()) },
      timeoutMs: this.#timeoutMs,
      signal,
      fetch: this.#fetch,
      now: this.#clock.now,
    }
  }

  /** A token works once, and for one method. */
  async #authorize(nsid: Nsid, signal: AbortSignal | undefined): Promise<Record<string, string>> {
    this.#audience ??= (await this.describe(signal)).did
    const token = await this.#mint({ audience: this.#audience, lxm: nsid, signal })
    return { authorization: `Bearer ${token}` }
  }

  /** Calls `describeService`, which needs no auth. */
  async describe(signal: AbortSignal | undefined): Promise<ServiceDescription> {
    return this.#attempt(ids.NetworkExampleBackfillDescribeService, {}, { signal }, async () => ({}))
  }

  /** A token works once, so each attempt asks for headers of its own. */
  async #attempt<Output>(
    nsid: Nsid,
    { params, input }: Arguments,
    { signal, carriedOut }: CallOptions<Output>,
    headersFor: () => Promise<Readonly<Record<string, string>>>,
  ): Promise<Output> {
    const definition = lexicons.getDefOrThrow(nsid, ['query', 'procedure'])
    const url = new URL(constructMethodCallUrl(nsid, definition, params), this.service)
    return withRetries(
      async (isRepeat) => {
        const method = definition.type === 'query' ? 'GET' : 'POST'
        const request = { ...(await this.#request(url, method, headersFor, signal)), input }
        const answer = await exchange(request).catch(async (refusal: BackfillError) => {
          const output = isRepeat && carriedOut ? await carriedOut(refusal) : null
          if (output === null) throw refusal
          return output
        })
        return checked<Output>(nsid, request, answer)
      },
      { policy: this.#policy, clock: this.#clock, signal },
    )
  }
}

function checked<Output>(nsid: Nsid, request: ExchangeRequest, output: unknown): Output {
  try {
    lexicons.assertValidXrpcOutput(nsid, output)
  } catch (error) {
    if (!(error instanceof ValidationError)) throw error
    throw invalid(request, `is not what its lexicon says (${error.message})`, error)
  }
  return output as Output
}

/**
 * The message in a frame, under its short name; null for one that this version does not know.
 * @throws InvalidResponse, or the error that the frame is
 */
function messageIn(nsid: Nsid, request: SocketRequest, bytes: Uint8Array): { readonly type: string } | null {
  try {
    const raw = readFrame(nsid, bytes)
    if (raw === null || lexicons.getDef(`${nsid}#${raw.name}`)?.type !== 'object') return null
    if (nsid !== ids.NetworkExampleBackfillSubscribeRecords || raw.name !== 'records')
      lexicons.assertValidXrpcMessage(nsid, { ...raw.body, $type: `${nsid}#${raw.name}` })
    else if (!holdsRecords(raw.body)) throw new Error('records must be a list of records')
    return { ...raw.body, type: raw.name }
  } catch (error) {
    if (error instanceof BackfillError) throw error
    const reason = error instanceof Error ? error.message : String(error)
    throw invalid(request, `has a message that is not what its lexicon says (${reason})`, error)
  }
}
