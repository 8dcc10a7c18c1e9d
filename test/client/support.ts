import type { IncomingMessage, ServerResponse } from 'node:http'
import { BackfillClient, type BackfillClientOptions, generateKey } from '../../src/client/index.js'
import { LoopbackServer, sendError, sendJson } from '../support/network/loopback.js'

/** Quick enough for tests; what the numbers mean is tested where they are decided. */
export const QUICK_RETRY = { firstDelayMs: 1, maxDelayMs: 5 } as const

export type Step = (response: ServerResponse, request: IncomingMessage) => void | Promise<void>

/** A service that answers what a test tells it to, one step for each request; the last one for all others too. */
export interface ScriptedService extends AsyncDisposable {
  readonly url: string
  /** What arrived, in order. */
  readonly requests: readonly Arrived[]
}

export interface Arrived {
  readonly url: URL
  readonly headers: IncomingMessage['headers']
  readonly body: string
}

export async function startScripted(...steps: readonly Step[]): Promise<ScriptedService> {
  const requests: Arrived[] = []
  const server = await LoopbackServer.start(async (url, request, response) => {
    const chunks: Buffer[] = []
    for await (const chunk of request) chunks.push(chunk as Buffer)
    requests.push({ url, headers: request.headers, body: Buffer.concat(chunks).toString() })
    await steps[Math.min(requests.length, steps.length) - 1]!(response, request)
  })
  return { url: server.url, requests, [Symbol.asyncDispose]: () => server.stop() }
}

export const ok =
  (body: unknown): Step =>
  (response) =>
    sendJson(response, 200, body)

export const refuse =
  (status: number, error: string, headers?: Record<string, string>): Step =>
  (response) =>
    sendError(response, status, error, `because of ${error}`, headers)

/** Never answers. */
export const hang: Step = () => {}

/** A client of a scripted service, with a DID that nobody checks. */
export async function scriptedClient(
  service: string,
  options: Partial<Omit<BackfillClientOptions, 'did' | 'key' | 'session'>> = {},
): Promise<BackfillClient> {
  const identity = { did: 'did:web:caller.example.com', key: await generateKey() }
  return new BackfillClient({
    service,
    audience: 'did:web:service.example.com',
    retry: QUICK_RETRY,
    ...options,
    ...identity,
  })
}

/** A clock that stands still, and notes for how long it was asked to sleep. */
export function testClock(random = 0.5) {
  const slept: number[] = []
  return {
    slept,
    now: () => Date.parse('2030-01-01T00:00:00Z'),
    random: () => random,
    async sleep(ms: number, signal?: AbortSignal) {
      signal?.throwIfAborted()
      slept.push(ms)
    },
  }
}

/** The claims of the token that a request brought. */
export function claimsOf(request: Arrived): Record<string, unknown> {
  const [, payload = ''] = request.headers.authorization?.replace(/^Bearer /, '').split('.') ?? []
  return JSON.parse(Buffer.from(payload, 'base64url').toString())
}

/** As small as a lexicon allows. */
export function jobView(parts: Record<string, unknown> = {}): Record<string, unknown> {
  return {
    id: '3lbackfilljob',
    caller: 'did:web:caller.example.com',
    method: 'auto',
    level: 'content',
    status: 'running',
    stage: 'pending',
    totalRepos: 0,
    resolvedRepos: 0,
    processedRepos: 0,
    completedRepos: 0,
    unavailableRepos: 0,
    failedRepos: 0,
    totalRecords: 0,
    createdAt: '2030-01-01T00:00:00.000Z',
    ...parts,
  }
}

/** Everything that an iterator gives. */
export async function collect<T>(items: AsyncIterable<T>): Promise<T[]> {
  const all: T[] = []
  for await (const item of items) all.push(item)
  return all
}
