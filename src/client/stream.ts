import type { Clock } from './clock.js'
import { type BackfillError, ConsumerTooSlow, isTransient, RateLimitExceeded } from './errors.js'
import { type RetryPolicy, retryDelay } from './retry.js'

/** How long the service may be away before a stream is given up, ms: a restart or an update is no reason. */
const OUTAGE_MS = 300_000
/** A connection that lasted this long has worked, even if there was nothing to say, ms. */
const STABLE_MS = 5_000
/** A refused connection does not say when there may be another; limits are by the minute, ms. */
const RATE_LIMIT_WAIT_MS = 10_000

export interface StreamOptions {
  /** The `seq` of the last message that was dealt with; 0 for everything from the beginning. */
  readonly cursor?: number
  /** How long the service may be away in between, ms. Default: 300,000. */
  readonly outageMs?: number
  /** Called whenever the connection is lost, before another one is made. */
  readonly onReconnect?: (reconnect: Reconnect) => void
  readonly signal?: AbortSignal
}

export interface Reconnect {
  /** Why the connection ended, or could not be made. */
  readonly error: BackfillError
  /** 1 for the first connection after one that worked. */
  readonly attempt: number
  /** How long it is until then. */
  readonly delayMs: number
}

/** Where a stream comes from. */
export interface StreamSource<Message> {
  /** One connection, with all messages after the cursor. Ends only by throwing. */
  connect(cursor: number | undefined, onOpen: () => void): AsyncIterable<Message>
  /** Whether nothing comes after this message. */
  isLast(message: Message): boolean
  /** The cursor to come back with once this message was taken; undefined for the one from before. */
  cursorOf(message: Message): number | undefined
}

/**
 * All messages of a stream, over as many connections as it takes: each begins after the last message that was
 * taken.
 * @throws what a connection throws, though not for a while if it may pass; the signal's reason
 */
export async function* follow<Message>(
  source: StreamSource<Message>,
  { policy, clock, ...options }: StreamOptions & { readonly policy: RetryPolicy; readonly clock: Clock },
): AsyncGenerator<Message, void, undefined> {
  const { outageMs = OUTAGE_MS, onReconnect, signal } = options
  let { cursor } = options
  let outage: Outage = { failures: 0, worked: false, sinceMs: null }
  for (;;) {
    let openedMs: number | null = null
    try {
      const messages = source.connect(cursor, () => {
        openedMs = clock.now()
      })
      for await (const message of messages) {
        outage = WORKING
        cursor = source.cursorOf(message) ?? cursor
        yield message
        if (source.isLast(message)) return
      }
    } catch (error) {
      signal?.throwIfAborted()
      const now = clock.now()
      if (openedMs !== null && now - openedMs >= STABLE_MS) outage = WORKING
      outage = { ...outage, failures: outage.failures + 1, sinceMs: outage.sinceMs ?? now }
      const awayMs = now - outage.sinceMs!
      const delayMs = awayMs > outageMs ? null : reconnectDelay(policy, error, outage, clock.random())
      if (delayMs === null) throw error
      onReconnect?.({ error: error as BackfillError, attempt: outage.failures, delayMs })
      await clock.sleep(delayMs, signal)
    }
  }
}

/** Gives messages to a function, each when the one before has been taken. @returns the last one */
export async function consume<Message extends { readonly type: string }>(
  messages: AsyncIterable<Message>,
  take: (message: Message) => Promise<void> | void,
): Promise<Extract<Message, { type: 'jobCompleted' }>> {
  for await (const message of messages) {
    await take(message)
    if (isEnd(message)) return message
  }
  throw new Error('a stream ended before its last message')
}

function isEnd<Message extends { readonly type: string }>(
  message: Message,
): message is Extract<Message, { type: 'jobCompleted' }> {
  return message.type === 'jobCompleted'
}

/** What is known of the connections so far. */
export interface Outage {
  /** How many in a row did not work. */
  readonly failures: number
  /** Whether there was ever one that did. */
  readonly worked: boolean
  /** When the first of them failed, ms since the epoch. */
  readonly sinceMs: number | null
}

const WORKING: Outage = { failures: 0, worked: true, sinceMs: null }

/**
 * How long to wait before the next connection, ms; null to give up. A service that never answered is more likely
 * not there at all, and is tried as often as for any other call. Pure.
 * @param random 0 ≤ x < 1
 */
export function reconnectDelay(
  policy: RetryPolicy,
  error: unknown,
  { failures, worked }: Outage,
  random: number,
): number | null {
  if (error instanceof RateLimitExceeded) {
    return Math.max(RATE_LIMIT_WAIT_MS, (error.retryAfter ?? 0) * 1_000) * (1 + random / 2)
  }
  if (!isTransient(error) && !(error instanceof ConsumerTooSlow)) return null
  const attempts = worked || error instanceof ConsumerTooSlow ? Number.POSITIVE_INFINITY : policy.attempts
  return retryDelay({ ...policy, attempts }, error, failures, random)
}
