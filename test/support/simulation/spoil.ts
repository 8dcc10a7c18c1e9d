import type { IncomingMessage, ServerResponse } from 'node:http'
import { setTimeout as sleep } from 'node:timers/promises'
import { TLSSocket } from 'node:tls'
import type { FaultKind } from './fault-kinds.js'
import { type Answer, SOME_HEAD } from './pds.js'
import { type Refusal, refusalOf } from './rate-limit.js'
import { spoiledCar } from './spoil-car.js'
import type { HostStats } from './stats.js'
import type { Account } from './world.js'

/** How answers go wrong on the wire. */

export interface Exchange {
  readonly request: IncomingMessage
  readonly response: ServerResponse
  readonly query: URLSearchParams
  readonly account: Account
  readonly stats: HostStats
  readonly now: () => number
  /** Headers that every answer of the host has. */
  readonly headers: Readonly<Record<string, string>>
  /** Where a redirect must not be followed to. */
  readonly privateOrigins: readonly string[]
}

const MiB = 1024 * 1024

/** How long a client is told to wait, ms. */
const LIMITED_MS = 1_000

/** Larger than any limit of any client. */
const OVERSIZED_BYTES = 512 * MiB

const DRIBBLE_EVERY_MS = 50

export function send(
  response: ServerResponse,
  { status, type, body }: Pick<Answer, 'status' | 'type' | 'body'>,
  headers: Readonly<Record<string, string>> = {},
): void {
  response.writeHead(status, { ...headers, 'content-type': type, 'content-length': Buffer.byteLength(body) })
  response.end(body)
}

/** Cuts a connection. TLS has no way to reset one. */
export function reset({ socket }: IncomingMessage): void {
  if (socket instanceof TLSSocket) socket.destroy()
  else socket.resetAndDestroy()
}

/** Answers as the fault has it. @param right what the answer should be */
export async function spoil(kind: FaultKind, right: Answer, exchange: Exchange): Promise<void> {
  const { request, response, account, headers } = exchange
  switch (kind) {
    case 'reset':
      return reset(request)
    case 'silence':
      return
    case 'slow-body':
      return dribble(right, response)
    case 'server-error':
    case 'server-burst':
      return send(response, errorOf(account), headers)
    case 'truncated':
      return cut(right, exchange)
    case 'short-body':
    case 'short-car':
      return send(response, { ...right, body: right.body.slice(0, right.body.length / 2) }, headers)
    case 'missing-block':
    case 'bad-signature':
      return send(response, { ...right, body: spoiledCar(kind, right.body as Buffer) }, headers)
    case 'foreign-repo':
      return send(response, right, headers)
    case 'flipped-car':
      return send(response, { ...right, body: flipped(right.body as Buffer) }, headers)
    case 'wrong-content-type':
      return send(response, { status: 200, type: 'text/html', body: '<html>Welcome</html>' }, headers)
    case 'oversized':
      return oversize(right, exchange)
    case 'private-redirect': {
      const origin = exchange.privateOrigins[account.index % exchange.privateOrigins.length]
      response.writeHead(302, { ...headers, location: `${origin}${request.url}` }).end()
      return
    }
    case 'limited-seconds':
    case 'limited-date':
    case 'limited-reset':
    case 'limited-html':
    case 'limited-bare':
      return refuse(kind.slice('limited-'.length) as Refusal, exchange)
    default:
      send(response, { ...right, body: changed(kind, right, exchange) }, headers)
  }
}

/** A refusal by a fault; the client is to stay away as after any other. */
function refuse(refuses: Refusal, { response, stats, now }: Exchange): void {
  const at = now()
  const { headers, body, until } = refusalOf(refuses, {}, at + LIMITED_MS, at)
  stats.wasRefused(at, until)
  response.writeHead(429, headers).end(body)
}

function errorOf({ index }: Account): Answer {
  const page = (status: number) => ({
    status,
    type: 'text/html',
    body: '<html>Bad Gateway</html>',
    records: 0,
  })
  const json = JSON.stringify({ error: 'InternalServerError', message: 'Internal Server Error' })
  const own = { status: 500, type: 'application/json', body: json, records: 0 }
  return [own, page(502), page(503)][index % 3]!
}

function dribble({ status, type, body }: Answer, response: ServerResponse): void {
  response.writeHead(status, { 'content-type': type })
  let at = 0
  const dribbling = setInterval(() => response.write(body.slice(at, ++at) || ' '), DRIBBLE_EVERY_MS)
  response.once('close', () => clearInterval(dribbling))
}

async function cut({ status, type, body }: Answer, { request, response }: Exchange): Promise<void> {
  response.writeHead(status, { 'content-type': type, 'content-length': Buffer.byteLength(body) })
  response.write(body.slice(0, body.length / 2))
  // The first half must be on its way before the connection goes.
  await sleep(20)
  request.socket.destroy()
}

/** Says at once how large it is, or does not say it. */
async function oversize({ status, type }: Answer, { response, account }: Exchange): Promise<void> {
  const announced = account.index % 2 === 0
  response.writeHead(status, {
    'content-type': type,
    ...(announced && { 'content-length': String(OVERSIZED_BYTES) }),
  })
  const chunk = Buffer.alloc(MiB / 4, ' ')
  for (let sent = 0; sent < OVERSIZED_BYTES && !response.destroyed; sent += chunk.length) {
    if (!response.write(chunk)) await drained(response)
  }
  response.end()
}

function drained(response: ServerResponse): Promise<void> {
  return new Promise((resolve) => {
    const done = () => {
      response.off('drain', done).off('close', done)
      resolve()
    }
    response.on('drain', done).on('close', done)
  })
}

function flipped(car: Buffer): Buffer {
  const copy = Buffer.from(car)
  const last = copy.length - 1
  copy[last] = copy[last]! ^ 1
  return copy
}

interface Listing {
  records: { uri: string; cid: string; value: object }[]
  cursor?: string
}

/** A listing that is not what it should be. */
function changed(kind: FaultKind, { body }: Answer, { query, account }: Exchange): string {
  const listing = JSON.parse(String(body)) as Listing
  const { records } = listing
  const cursor = query.get('cursor')
  const [first, ...others] = records
  switch (kind) {
    case 'wrong-cid':
      return JSON.stringify({ ...listing, records: [{ ...first, cid: SOME_HEAD }, ...others] })
    case 'foreign-uri': {
      const uri = first?.uri.replace(account.did, `did:plc:${'a'.repeat(24)}`)
      return JSON.stringify({ ...listing, records: [{ ...first, uri }, ...others] })
    }
    case 'unsorted-rkeys':
      return JSON.stringify({ ...listing, records: [...others, first] })
    case 'repeated-cursor':
      // The first page is right, and leads to one that leads to itself.
      return JSON.stringify(cursor === null ? { records, cursor: 'again' } : { records: [], cursor })
    case 'endless-cursor':
      return JSON.stringify({ records: [], cursor: String(Number(cursor ?? 0) + 1) })
    default:
      throw new Error(`${kind} does not change a listing`)
  }
}
