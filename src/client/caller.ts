import { ValidationError } from '@atproto/lexicon'
import { constructMethodCallUrl } from '@atproto/xrpc'
import { ids, lexicons } from '../../codegen/client/lexicons.js'
import type { OutputSchema as ServiceDescription } from '../../codegen/client/types/network/example/backfill/describeService.js'
import { VERSION } from '../version.js'
import type { Clock } from './clock.js'
import { type Credentials, createMint, type Mint } from './credentials.js'
import { type ExchangeRequest, exchange, invalid } from './exchange.js'
import { originOf } from './origin.js'
import { type RetryOptions, type RetryPolicy, retryPolicy, withRetries } from './retry.js'

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
  readonly params?: Readonly<Record<string, string | number | undefined>>
  readonly input?: unknown
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
  async call<Output>(
    nsid: Nsid,
    args: Arguments,
    { signal }: { readonly signal?: AbortSignal } = {},
  ): Promise<Output> {
    const audience = this.#audience ?? (await this.describe(signal)).did
    this.#audience = audience
    return this.#attempt<Output>(nsid, args, signal, async () => {
      const token = await this.#mint({ audience, lxm: nsid, signal })
      return { authorization: `Bearer ${token}` }
    })
  }

  /** Calls `describeService`, which needs no auth. */
  async describe(signal: AbortSignal | undefined): Promise<ServiceDescription> {
    return this.#attempt(ids.NetworkExampleBackfillDescribeService, {}, signal, async () => ({}))
  }

  /** A token works once, so each attempt asks for headers of its own. */
  async #attempt<Output>(
    nsid: Nsid,
    { params, input }: Arguments,
    signal: AbortSignal | undefined,
    headersFor: () => Promise<Readonly<Record<string, string>>>,
  ): Promise<Output> {
    const definition = lexicons.getDefOrThrow(nsid, ['query', 'procedure'])
    const url = new URL(constructMethodCallUrl(nsid, definition, params), this.service)
    return withRetries(
      async () => {
        const request: ExchangeRequest = {
          peer: 'Aquifer',
          url,
          method: definition.type === 'query' ? 'GET' : 'POST',
          headers: { 'user-agent': this.#userAgent, ...(await headersFor()) },
          input,
          timeoutMs: this.#timeoutMs,
          signal,
          fetch: this.#fetch,
          now: this.#clock.now,
        }
        return checked<Output>(nsid, request, await exchange(request))
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
