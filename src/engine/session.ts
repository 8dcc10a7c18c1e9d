import { HttpFailure, type HttpRequest, type HttpResponse } from '../atproto/http.js'
import { Failure, RateLimited } from '../atproto/outcome.js'
import type { Query } from '../atproto/pds.js'
import type { CarQuery } from '../atproto/sync.js'
import { readAnswer, readBytes } from '../atproto/xrpc.js'
import { AnySignal } from '../signals.js'
import type { FailureClass } from '../verdict.js'
import type { EngineContext } from './context.js'
import type { Gate, Passage } from './gate.js'

const TIMEOUT_MS = 60_000

/** For what is streamed: as large as a repo may be. A host that sends too little of it at a time is given up before. */
const DOWNLOAD_TIMEOUT_MS = 15 * 60_000

const JSON_TYPE = 'application/json'
/** Errors are JSON also here. */
const CAR_TYPE = 'application/vnd.ipld.car, application/json'

/** A request that was refused is sent again after the pause, so often in a row. */
const REFUSALS_MAX = 5

/** What may come of a request that tells nothing good of the host: no answer at all, or none to its end. */
const NO_ANSWER: ReadonlySet<FailureClass> = new Set([
  'dns-failure',
  'connection-failed',
  'timeout',
  'too-slow',
])

/** Not Implemented: somebody is there and says so. */
const NOT_IMPLEMENTED = 501

/** Whether an answer shows that the host is well. */
export function isWell(status: number): boolean {
  return status < 500 || status === NOT_IMPLEMENTED
}

export interface Signals {
  /** Ends whatever waits or is under way, at once. */
  readonly stop: AbortSignal
  /** Ends only what waits: the answer to a request under way is worth having. */
  readonly hold: AbortSignal
}

/** What is asked of a host. */
interface Question {
  readonly nsid: string
  readonly params: Parameters<CarQuery>[1]
  readonly request: Omit<HttpRequest, 'url' | 'signal'>
}

/**
 * The way to ask one host: each query waits for its turn at the gate, goes out, and comes back as an answer, or
 * as a thrown Failure or RateLimited. One that the host refuses for the time being waits in its place, unless
 * that takes too long: what a reading has in hand would be lost with it, and a host that grants few requests at a
 * time would never see its end. RateLimited also stands for a host that is parked.
 */
export function hostQuery(
  ctx: EngineContext,
  origin: string,
  gate: Gate,
  signals: Signals,
  timeoutMs = TIMEOUT_MS,
): Query {
  return async (nsid, params, maxBytes) => {
    const question = { nsid, params, request: { accept: JSON_TYPE, maxBytes, timeoutMs } }
    const response = await ask(ctx, origin, gate, signals, question)
    return readAnswer(response, ctx.now(), ctx.random())
  }
}

/** As `hostQuery`, for what a host answers with bytes. What the sink throws is thrown, and tells nothing of the host. */
export function hostCar(ctx: EngineContext, origin: string, gate: Gate, signals: Signals): CarQuery {
  return async (nsid, params, maxBytes, sink) => {
    const timeoutMs = sink ? DOWNLOAD_TIMEOUT_MS : TIMEOUT_MS
    const question = { nsid, params, request: { accept: CAR_TYPE, maxBytes, timeoutMs, sink } }
    const response = await ask(ctx, origin, gate, signals, question)
    return readBytes(response, ctx.now(), ctx.random())
  }
}

async function ask(
  ctx: EngineContext,
  origin: string,
  gate: Gate,
  signals: Signals,
  { nsid, params, request }: Question,
): Promise<HttpResponse> {
  const url = new URL(`${origin}/xrpc/${nsid}${searchOf(params)}`)
  for (let refusals = 1; ; refusals += 1) {
    signals.stop.throwIfAborted()
    signals.hold.throwIfAborted()
    const passage = gate.passNow(nsid) ?? (await passing(gate, signals, nsid))
    const asked = { ...request, url, signal: signals.stop }
    const response = await (request.sink ? stream(ctx, asked, signals, passage) : send(ctx, asked, passage))
    const header = (name: string) => response.headers[name]
    if (response.status === 429) {
      const until = await passage.refused(header)
      const isTooLong = until.getTime() - ctx.now() > gate.patienceMs
      if (isTooLong || refusals === REFUSALS_MAX) throw new RateLimited(until)
      continue
    }
    if (isWell(response.status)) await passage.answered(header)
    else await failed(passage)
    return response
  }
}

/** Parameters as the search of a URL: by hand, because a `URLSearchParams` costs more than the rest of the URL. */
function searchOf(params: Question['params']): string {
  let search = ''
  for (const [name, value] of Object.entries(params)) {
    const values = value === undefined ? [] : Array.isArray(value) ? value : [value]
    for (const each of values) {
      search += `${search === '' ? '?' : '&'}${name}=${encodeURIComponent(String(each))}`
    }
  }
  return search
}

/** Waits for a turn for as long as nobody minds. */
async function passing(gate: Gate, { stop, hold }: Signals, nsid: string): Promise<Passage> {
  using waiting = new AnySignal(stop, hold)
  return await gate.pass(waiting.signal, nsid)
}

/** One request, the outcome of which the gate is told where there is no answer. */
async function send(ctx: EngineContext, request: HttpRequest, passage: Passage): Promise<HttpResponse> {
  try {
    return await ctx.http.get(request)
  } catch (error) {
    if (!(error instanceof HttpFailure)) {
      passage.dropped()
      throw error
    }
    if (NO_ANSWER.has(error.failure)) await failed(passage)
    else passage.dropped()
    throw new Failure(error.failure, error.message, { cause: error })
  }
}

/** @throws RateLimited when the host is parked by now: what it fails at then is not held against a repo */
async function failed(passage: Passage): Promise<void> {
  const until = await passage.failed()
  if (until) throw new RateLimited(until)
}

/** What comes in piece by piece is worth nothing to a job that is to stop before its end. */
async function stream(
  ctx: EngineContext,
  request: HttpRequest,
  { stop, hold }: Signals,
  passage: Passage,
): Promise<HttpResponse> {
  using ends = new AnySignal(stop, hold)
  return await send(ctx, { ...request, signal: ends.signal }, passage)
}

/** What a parked host is asked. */
export const PROBE = 'com.atproto.server.describeServer'
const PROBE_BYTES_MAX = 64 * 1024

/**
 * Asks a parked host the one thing that every host answers.
 * @returns whether it did
 */
export async function probeHost(
  ctx: EngineContext,
  origin: string,
  passage: Passage,
  signal: AbortSignal,
): Promise<boolean> {
  const url = new URL(`/xrpc/${PROBE}`, origin)
  try {
    const request = { url, accept: JSON_TYPE, maxBytes: PROBE_BYTES_MAX, timeoutMs: TIMEOUT_MS, signal }
    const response = await send(ctx, request, passage)
    const header = (name: string) => response.headers[name]
    if (response.status === 429) await passage.refused(header)
    else if (isWell(response.status)) await passage.answered(header)
    else await failed(passage)
    return response.status !== 429 && isWell(response.status)
  } catch (error) {
    if (signal.aborted || error instanceof RateLimited || error instanceof Failure) return false
    throw error
  }
}
