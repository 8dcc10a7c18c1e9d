import { XRPCError } from '@atproto/xrpc'
import { expect } from 'vitest'
import { type Caller, createPlcCaller } from '../support/network/caller.js'
import type { Network } from '../support/network/network.js'
import { startPlc } from '../support/network/plc.js'
import type { Backfill, TestService } from '../support/service.js'

/** The NSID of one of our methods. */
export const nsid = (method: string) => `network.example.backfill.${method}`

export interface Refusal {
  readonly status: number
  readonly error: string
  readonly message: string
}

/** What a call is refused with; a call that is not refused fails the test. */
export async function refusal(call: Promise<unknown>): Promise<Refusal> {
  const refused = await call.then(
    () => null,
    (error: unknown) => error,
  )
  if (refused === null) throw new Error('the call was not refused')
  if (!(refused instanceof XRPCError)) throw refused
  return { status: refused.status, error: refused.error, message: refused.message }
}

/** A 400 `InvalidRequest` whose message holds all of this. */
export function invalidRequest(...said: string[]) {
  return refusedWith('InvalidRequest', ...said)
}

/** A 400 of this name whose message holds all of this. */
export function refusedWith(error: string, ...said: string[]) {
  const message = said.length === 0 ? expect.any(String) : expect.toSatisfy(holdsAll(said), `holds ${said}`)
  return { status: 400, error, message }
}

const holdsAll = (said: readonly string[]) => (message: string) =>
  said.every((part) => message.includes(part))

export type Directory = Pick<Network, 'plc' | 'environment'> & AsyncDisposable

/** A network of a directory and nothing else: for tests in which nothing is discovered or fetched. */
export async function startDirectory(): Promise<Directory> {
  const plc = await startPlc()
  const nobody = 'http://localhost:1'
  const environment = {
    RELAYS: nobody,
    PLC_URL: plc.url,
    HANDLE_RESOLVER_URL: nobody,
    ALLOW_PRIVATE_NETWORK: 'true',
  }
  return { plc, environment, [Symbol.asyncDispose]: () => plc[Symbol.asyncDispose]() }
}

/** A caller that nobody has heard of, with its client. */
export async function newcomer(
  network: Pick<Network, 'plc'>,
  service: TestService,
): Promise<{ caller: Caller; backfill: Backfill }> {
  const caller = await createPlcCaller(network.plc)
  return { caller, backfill: service.as(caller) }
}

export interface Answer {
  readonly status: number
  readonly headers: Headers
  readonly text: string
  /** The parsed body; undefined where it is not JSON. */
  readonly json: unknown
}

/** One HTTP exchange as it is on the wire: for what the generated client does not send, or does not show. */
export async function exchange(url: URL | string, init: RequestInit = {}): Promise<Answer> {
  const response = await fetch(url, init)
  const text = await response.text()
  return { status: response.status, headers: response.headers, text, json: parsed(text) }
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

/** Calls a method with parameters or a body of any kind and the caller's own token. */
export async function callRaw(
  service: TestService,
  caller: Caller,
  method: string,
  request: {
    readonly params?: Readonly<Record<string, string>>
    readonly body?: string | Uint8Array<ArrayBuffer>
    readonly headers?: Readonly<Record<string, string>>
  } = {},
): Promise<Answer> {
  const { params = {}, body, headers } = request
  const url = new URL(`/xrpc/${nsid(method)}?${new URLSearchParams(params)}`, service.url)
  const authorization = await caller.authorization({ aud: service.did, lxm: nsid(method) })
  return exchange(url, {
    method: body === undefined ? 'GET' : 'POST',
    headers: {
      ...(body !== undefined && { 'content-type': 'application/json' }),
      ...authorization,
      ...headers,
    },
    ...(body !== undefined && { body }),
  })
}

/** More pages than any listing of these tests has: one whose cursor leads nowhere must fail, not hang. */
const PAGES_MAX = 500

/** The pages of a listing, to its end. */
export async function readPages<Item>(
  read: (cursor: { cursor?: string }) => Promise<{ items: Item[]; cursor?: string }>,
): Promise<Item[][]> {
  const pages: Item[][] = []
  let cursor: string | undefined
  do {
    if (pages.length === PAGES_MAX) throw new Error(`the listing goes on after ${PAGES_MAX} pages`)
    const page = await read(cursor === undefined ? {} : { cursor })
    pages.push(page.items)
    cursor = page.cursor
  } while (cursor !== undefined)
  return pages
}
