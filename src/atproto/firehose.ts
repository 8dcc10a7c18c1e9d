import { decodeFirst } from '@atcute/cbor'
import { cooldownUntil } from './cooldown.js'
import { type HttpClient, HttpFailure } from './http.js'
import { Failure, RateLimited } from './outcome.js'

/** Some kilobytes, as the largest commits are; what is larger is nobody's event. */
const EVENT_BYTES_MAX = 8 * 1024 * 1024
const CONNECT_MS = 20_000

/** The host answers, but has no firehose. */
export class NoFirehose extends Error {
  override readonly name = 'NoFirehose'
}

export interface Asking {
  readonly http: HttpClient
  /** How long to wait for an event before a relay counts as quiet, ms. */
  readonly quietMs: number
  readonly signal: AbortSignal
  readonly now: () => number
  readonly random: () => number
}

/**
 * A position in a relay's firehose that everything which happens from now on comes after: a consumer that gives
 * it as its cursor misses nothing of that. It is where the relay stands, one before the next event. Of a relay
 * where nothing happens for a while it is where its memory begins, which is not far back either, or 0 where that
 * is empty: too early does no harm, too late would.
 * @throws NoFirehose, RateLimited, Failure; the signal's reason when it aborts
 */
export async function firehosePosition(relay: string, asking: Asking): Promise<number> {
  const first = (await firstEvent(relay, null, asking)) ?? (await firstEvent(relay, 0, asking))
  return first === null ? 0 : Math.max(0, first - 1)
}

/** The number of the first event that comes; null when none does. */
async function firstEvent(relay: string, cursor: number | null, asking: Asking): Promise<number | null> {
  const { http, quietMs, signal, now, random } = asking
  const url = new URL('/xrpc/com.atproto.sync.subscribeRepos', relay)
  if (cursor !== null) url.searchParams.set('cursor', String(cursor))
  try {
    const listened = await http.listen({
      url,
      maxBytes: EVENT_BYTES_MAX,
      connectMs: CONNECT_MS,
      forMs: quietMs,
      signal,
      onMessage: seqOf,
    })
    if (listened.kind === 'heard') return listened.value
    if (listened.kind === 'silence') return null
    const { status, headers } = listened
    if (status === 429)
      throw new RateLimited(new Date(cooldownUntil((name) => headers[name], now(), random())))
    const said = `subscribeRepos: the relay answered ${status} instead of a WebSocket`
    throw status >= 500 && status !== 501 ? new Failure('host-error', said) : new NoFirehose(said)
  } catch (error) {
    if (error instanceof HttpFailure) throw new Failure(error.failure, error.message, { cause: error })
    throw error
  }
}

/**
 * The number of the event in a frame; undefined where it has none, as `#info` has not.
 * @throws Failure for a frame that says an error, or is none
 */
export function seqOf(frame: Buffer): number | undefined {
  const [header, rest] = decoded(frame)
  if (header.op === -1) {
    const [{ error, message }] = decoded(rest)
    const said = `${String(error).slice(0, 60)} ${String(message ?? '').slice(0, 200)}`.trim()
    throw new Failure('bad-response', `subscribeRepos: the relay said ${said}`)
  }
  const { seq } = decoded(rest)[0]
  return typeof seq === 'number' && Number.isSafeInteger(seq) && seq >= 0 ? seq : undefined
}

function decoded(bytes: Uint8Array): [Record<string, unknown>, Uint8Array] {
  try {
    const [value, rest] = decodeFirst(bytes)
    if (typeof value === 'object' && value !== null) return [value, rest]
  } catch {}
  throw new Failure('bad-response', 'subscribeRepos: a frame that is not one of an event stream')
}
