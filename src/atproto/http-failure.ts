import type { FailureClass } from '../verdict.js'

/** The ways an exchange can end without an answer that may be used. */
export type HttpFailureClass = Extract<
  FailureClass,
  | 'host-blocked'
  | 'dns-failure'
  | 'connection-failed'
  | 'timeout'
  | 'too-slow'
  | 'body-too-large'
  | 'bad-response'
>

const MESSAGE_CHARS_MAX = 300

/** The absence or the refusal of an answer; any answer, whatever its status, is not one of these. */
export class HttpFailure extends Error {
  override readonly name = 'HttpFailure'
  constructor(
    readonly failure: HttpFailureClass,
    message: string,
    options?: ErrorOptions,
  ) {
    super(presentable(message), options)
  }
}

/**
 * What an error of the network means.
 * @param host named at the beginning of the message
 * @returns an HttpFailure, or the error itself where it tells of a mistake of our own
 */
export function classifyNetworkError(error: Error, host: string): Error {
  // One lookup serves every request that waited for its connection: each gets an error, and a stack, of its own.
  if (error instanceof HttpFailure) return new HttpFailure(error.failure, error.message, { cause: error })
  const code = codeOf(error)
  if (OUR_MISTAKES.has(code)) return error
  if (code === 'UND_ERR_DESTROYED' || code === 'UND_ERR_CLOSED') {
    return new DOMException('the HTTP client is closed', 'AbortError')
  }
  const failure = classOf(error, code)
  return new HttpFailure(failure, `${host}: ${describe(error, code)}`, { cause: error })
}

/** Codes of undici that no behaviour of a host can bring about. */
const OUR_MISTAKES: ReadonlySet<string> = new Set(['UND_ERR_INVALID_ARG', 'UND_ERR_NOT_SUPPORTED'])

const TIMEOUTS: ReadonlySet<string> = new Set([
  'ETIMEDOUT',
  'UND_ERR_CONNECT_TIMEOUT',
  'UND_ERR_HEADERS_TIMEOUT',
  'UND_ERR_BODY_TIMEOUT',
])

function classOf(error: Error, code: string): HttpFailureClass {
  const { syscall } = error as NodeJS.ErrnoException
  if (code === 'ENOTFOUND' || code.startsWith('EAI_') || syscall === 'getaddrinfo') return 'dns-failure'
  if (TIMEOUTS.has(code)) return 'timeout'
  if (code === 'UND_ERR_HEADERS_OVERFLOW') return 'bad-response'
  return 'connection-failed'
}

const EXPLANATIONS: Readonly<Record<string, string>> = {
  ENOTFOUND: 'there is no such name in DNS',
  EAI_AGAIN: 'DNS did not answer',
  ECONNREFUSED: 'the connection was refused',
  ECONNRESET: 'the connection was reset',
  EPIPE: 'the connection was closed',
  EHOSTUNREACH: 'there is no route to the host',
  ENETUNREACH: 'there is no route to its network',
  ETIMEDOUT: 'no connection came about in time',
  UND_ERR_CONNECT_TIMEOUT: 'no connection came about in time',
  UND_ERR_HEADERS_TIMEOUT: 'the response did not begin in time',
  UND_ERR_HEADERS_OVERFLOW: 'the headers of the response are too large',
  UND_ERR_SOCKET: 'the connection was closed before the response was complete',
  UND_ERR_RES_CONTENT_LENGTH_MISMATCH: 'the response was shorter than its content-length',
}

function describe(error: Error, code: string): string {
  const explanation = EXPLANATIONS[code]
  // A connection that ends during the handshake has a code that says nothing of TLS; the message does.
  if (explanation !== undefined && !/\bTLS\b/.test(error.message)) return `${explanation} (${code})`
  // OpenSSL's own message is a line of numbers and file names; its `reason` is what a person looks for.
  const { reason } = error as { reason?: unknown }
  const words = typeof reason === 'string' ? reason : error.message
  const about = /CERT|SSL|TLS|EPROTO|LEAF_SIGNATURE/.test(code) ? 'TLS: ' : ''
  return `${about}${words}${code === '' ? '' : ` (${code})`}`
}

function codeOf(error: Error): string {
  const { code } = error as NodeJS.ErrnoException
  return typeof code === 'string' ? code : ''
}

/** One bounded line of text that any log and any database column takes. */
function presentable(message: string): string {
  const line = message
    .slice(0, 2 * MESSAGE_CHARS_MAX)
    .replaceAll(/[\s\p{Cc}]+/gu, ' ')
    .trim()
  const cut = line.length > MESSAGE_CHARS_MAX ? `${line.slice(0, MESSAGE_CHARS_MAX - 1)}…` : line
  return cut.toWellFormed()
}
