import {
  CloseCode,
  CloseError,
  HeartbeatTimeoutError,
  SocketError,
  WebSocketClientError,
  websocket,
} from '@atproto/ws-client'
import { httpResponseCodeToName } from '@atproto/xrpc'
import { type BackfillError, errorOf } from './errors.js'
import { type ExchangeRequest, invalid, timedOut, unreachable } from './exchange.js'
import { errorOfName } from './frames.js'

/** A connection of a stream. `url` is the one that a request would have: http or https. */
export type SocketRequest = Pick<ExchangeRequest, 'peer' | 'url' | 'headers' | 'timeoutMs' | 'signal'> & {
  readonly onOpen: () => void
}

/**
 * Opens one WebSocket and gives what arrives, no faster than it is taken: the socket waits when nobody reads.
 * @throws BackfillError for every way in which it ends, since a stream has no end of its own; the signal's reason
 *   when it aborts
 */
export async function* receive(request: SocketRequest): AsyncGenerator<Uint8Array, never, undefined> {
  const { url, headers, timeoutMs, signal, onOpen } = request
  signal?.throwIfAborted()
  const controller = new AbortController()
  const abort = () => controller.abort(signal?.reason)
  signal?.addEventListener('abort', abort, { once: true })
  // Once it is open, pings notice when the other side is gone.
  const timer = setTimeout(() => controller.abort(timedOut(request, undefined)), timeoutMs)
  try {
    yield* websocket(socketUrl(url), {
      dataMode: 'binary',
      headers: { ...headers },
      shouldReconnect: false,
      signal: controller.signal,
      onConnect() {
        clearTimeout(timer)
        onOpen()
      },
    })
  } catch (error) {
    throw error instanceof WebSocketClientError ? errorOfSocket(request, error) : error
  } finally {
    clearTimeout(timer)
    signal?.removeEventListener('abort', abort)
  }
  throw unreachable(request, new Error('the connection was closed'))
}

function socketUrl(url: URL): URL {
  const socket = new URL(url)
  socket.protocol = url.protocol === 'https:' ? 'wss:' : 'ws:'
  return socket
}

/** What the other side does when it cannot read us, or we cannot read it. */
const MISUNDERSTANDINGS: readonly number[] = [
  CloseCode.ProtocolError,
  CloseCode.UnsupportedData,
  CloseCode.InvalidPayload,
  CloseCode.MessageTooBig,
]

function errorOfSocket(request: SocketRequest, error: WebSocketClientError): BackfillError {
  if (error instanceof SocketError) return refusedUpgrade(request, error) ?? unreachable(request, error)
  if (error instanceof HeartbeatTimeoutError) {
    return unreachable(request, new Error('it does not answer pings any more'))
  }
  if (!(error instanceof CloseError)) return invalid(request, `is no stream (${error.message})`, error)
  const { code, reason } = error
  // Said in a frame before; the reason repeats it for those who missed that.
  if (code === CloseCode.Policy && /^[A-Z][A-Za-z]+$/.test(reason)) return errorOfName(reason, reason)
  const how = `the connection was closed (${code}${reason && `, ${reason}`})`
  if (MISUNDERSTANDINGS.includes(code)) return invalid(request, `cannot be read: ${how}`, error)
  return unreachable(request, new Error(how))
}

/** Somebody answered, but with no WebSocket. The library has the status in a message only. */
function refusedUpgrade({ peer, url }: SocketRequest, error: SocketError): BackfillError | null {
  const { cause } = error
  const match = cause instanceof Error ? /^Unexpected server response: (\d{3})$/.exec(cause.message) : null
  if (match === null) return null
  const status = Number(match[1])
  const doubt = status < 500 ? ` Is ${peer} running there?` : ''
  return errorOf({
    name: httpResponseCodeToName(status),
    message: `${url.origin} answered ${status} where a stream was asked for.${doubt}`,
    status,
    cause: error,
  })
}
