import { SYSTEM_CLOCK } from './clock.js'
import { BackfillError, EventsMissing } from './errors.js'
import { invalid } from './exchange.js'
import { readFrame } from './frames.js'
import { originOf } from './origin.js'
import { type RelayEvent, relayEventIn } from './relay-events.js'
import { retryPolicy } from './retry.js'
import { receive, type SocketRequest } from './socket.js'
import { follow, type StreamOptions } from './stream.js'

const SUBSCRIBE_REPOS = 'com.atproto.sync.subscribeRepos'

/** How long a connection may take to be made, ms. */
const CONNECT_MS = 20_000

export interface RelayOptions extends StreamOptions {
  /** Only changes of records of these collections; other commits have none. Default: all. */
  readonly collections?: readonly string[]
}

/**
 * Follows the firehose of a relay, from one of a job's `startCursors` on: what happens to accounts and their records, in
 * order, with a `seq` that `cursor` takes. A lost connection is made again, for as long as it takes unless `outageMs`
 * says otherwise, and nothing is missed. Never ends by itself.
 *
 * A commit counts if its `rev` is greater than the one of the repo's receipt, or if that has none. Signatures are the
 * relay's to check.
 * @throws EventsMissing when the relay does not have what comes after the cursor; TypeError for what is no origin
 */
export async function* followRelay(
  relay: string,
  { collections, outageMs = Number.POSITIVE_INFINITY, ...options }: RelayOptions = {},
): AsyncGenerator<RelayEvent, void, undefined> {
  const url = new URL(`/xrpc/${SUBSCRIBE_REPOS}`, originOf('relay', relay))
  const connect = async function* (cursor: number | undefined, onOpen: () => void) {
    if (cursor !== undefined) url.searchParams.set('cursor', String(cursor))
    const request = {
      ...{ peer: 'a relay', url, headers: {}, timeoutMs: CONNECT_MS, signal: options.signal, onOpen },
    }
    for await (const bytes of receive(request)) {
      const event = eventIn(bytes, request, collections)
      if (event) yield event
    }
  }
  const source = { connect, isLast: () => false, cursorOf: ({ seq }: RelayEvent) => seq }
  const policy = retryPolicy({ attempts: Number.MAX_SAFE_INTEGER })
  yield* follow(source, { ...options, outageMs, policy, clock: SYSTEM_CLOCK })
}

function eventIn(
  bytes: Uint8Array,
  request: SocketRequest,
  collections: readonly string[] | undefined,
): RelayEvent | null {
  try {
    const frame = readFrame(SUBSCRIBE_REPOS, bytes)
    if (frame === null) return null
    const { name, body } = frame
    if (name === 'info' && body.name === 'OutdatedCursor') throw missing(request, 'OutdatedCursor')
    return relayEventIn(name, body, collections)
  } catch (error) {
    if (error instanceof EventsMissing) throw error
    if (error instanceof Error && error.name === 'FutureCursor') throw missing(request, 'FutureCursor')
    throw error instanceof BackfillError
      ? error
      : invalid(request, 'has a message that cannot be read', error)
  }
}

function missing({ url }: SocketRequest, name: string): EventsMissing {
  const cursor = url.searchParams.get('cursor')
  return new EventsMissing({ name, message: `${url.origin} does not have what comes after ${cursor}` })
}
