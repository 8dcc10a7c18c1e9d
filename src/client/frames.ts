import { decodeFirst } from '@atcute/cbor'
import { ResponseType } from '@atproto/xrpc'
import { type BackfillError, errorOf } from './errors.js'

/** A message of a stream before anybody has looked whether it is what its lexicon says. */
export interface RawMessage {
  /** The name after the `#`, such as `repoFetched`. */
  readonly name: string
  readonly body: Readonly<Record<string, unknown>>
}

/**
 * Reads a frame: a header and a body, one behind the other, both DAG-CBOR (Event Stream specification). Pure.
 * @returns null for a frame of a kind that is not known yet
 * @throws BackfillError if the frame is an error; another Error if it is no frame
 */
export function readFrame(nsid: string, bytes: Uint8Array): RawMessage | null {
  const [header, rest] = decodeFirst(bytes)
  const [body, excess] = decodeFirst(rest)
  if (!isMap(header) || !isMap(body) || excess.length > 0) throw new Error('no header and body')
  if (header.op === -1) throw errorIn(body)
  if (header.op !== 1 || typeof header.t !== 'string') return null
  const [authority, name] = header.t.split('#', 2)
  // Messages of other lexicons may be mixed in, by their full names.
  if (name === undefined || (authority !== '' && authority !== nsid)) return null
  return { name, body }
}

function isMap(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

function errorIn({ error, message }: Record<string, unknown>): BackfillError {
  const name = typeof error === 'string' && error !== '' ? error : 'InvalidRequest'
  const said = typeof message === 'string' && message !== '' ? message : name
  return errorOfName(name, said)
}

/** An error that came by a stream, which has names and no statuses; it gets the one it has over HTTP. Pure. */
export function errorOfName(name: string, message: string): BackfillError {
  return errorOf({ name, message, status: statusOf(name) })
}

const STATUSES: Readonly<Record<string, number>> = {
  NotPermitted: 403,
  QuotaExceeded: 429,
  DirectoryUnavailable: 503,
  DatabaseUnavailable: 503,
}

function statusOf(name: string): number {
  if (/^(BadJwt|Jwt|Auth|UnknownIssuer$)/.test(name)) return 401
  const usual = (ResponseType as unknown as Record<string, unknown>)[name]
  return STATUSES[name] ?? (typeof usual === 'number' && usual >= 400 ? usual : 400)
}
