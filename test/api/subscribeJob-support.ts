import { once } from 'node:events'
import { ErrorFrame, Frame, MessageFrame } from '@atproto/xrpc-server'
import WebSocket from 'ws'
import { lexicons } from '../../codegen/server/lexicons.js'
import { movesOf } from '../../src/jobs/state.js'
import { moveDoneJob, moveJob } from '../../src/store/transitions.js'
import {
  addJob,
  completion,
  didsOf,
  drive,
  posts,
  resolution,
  step,
  writeSteps,
} from '../support/fixtures.js'
import type { Caller } from '../support/network/caller.js'
import type { TestService } from '../support/service.js'
import { eventually } from '../support/wait.js'
import { nsid } from './support.js'

export const METHOD = nsid('subscribeJob')

/** A message as a consumer sees it, with what these tests look at. */
export interface StreamMessage {
  /** Without the method: `#repoFetched`. */
  readonly type: string
  readonly seq?: number
  readonly did?: string
  readonly [field: string]: unknown
}

export interface Ending {
  readonly code: number
  readonly reason: string
}

/** One open connection, with everything that has come on it. Every message is checked against the lexicon. */
export class Stream implements AsyncDisposable {
  readonly socket: WebSocket
  readonly messages: StreamMessage[] = []
  readonly errors: { error: string; message?: string }[] = []
  /** What was wrong with a frame; a test that waits for anything fails with it. */
  readonly faults: unknown[] = []
  /** The first frame, as it came. */
  first: Buffer | null = null
  ending: Ending | null = null

  readonly #method: string

  constructor(socket: WebSocket, method: string = METHOD) {
    this.socket = socket
    this.#method = method
    socket.once('message', (bytes: Buffer) => {
      this.first = bytes
    })
    socket.on('message', (bytes: Buffer) => this.#take(bytes))
    socket.on('close', (code, reason) => {
      this.ending = { code, reason: reason.toString() }
    })
    socket.on('error', () => {})
  }

  get types(): string[] {
    return this.messages.map(({ type }) => type)
  }

  get lastSeq(): number {
    return this.messages.reduce((last, { seq }) => seq ?? last, 0)
  }

  of(type: string): StreamMessage[] {
    return this.messages.filter((message) => message.type === type)
  }

  /** Waits for messages of a type: as many as given. */
  async until(type: string, count = 1, timeoutMs?: number): Promise<StreamMessage[]> {
    const have = await eventually(
      () => this.#intact().of(type),
      (messages) => messages.length >= count,
      timeoutMs,
    )
    return have
  }

  /** Waits until the stream is closed. */
  async end(timeoutMs?: number): Promise<Ending> {
    const ending = await eventually(
      () => this.#intact().ending,
      (value) => value !== null,
      timeoutMs,
    )
    return ending!
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.ending) return
    this.socket.terminate()
    await once(this.socket, 'close')
  }

  #intact(): this {
    if (this.faults.length > 0) throw this.faults[0]
    return this
  }

  #take(bytes: Buffer): void {
    try {
      const frame = Frame.fromBytes(bytes)
      if (frame instanceof ErrorFrame) {
        this.errors.push(frame.body)
        return
      }
      if (!(frame instanceof MessageFrame)) throw new Error('a frame of neither kind')
      const body = frame.body as Record<string, unknown>
      lexicons.assertValidXrpcMessage(this.#method, { $type: `${this.#method}${frame.type}`, ...body })
      const { seq } = body
      if (typeof seq === 'number' && seq < this.lastSeq) throw new Error(`${seq} came after ${this.lastSeq}`)
      this.messages.push({ type: String(frame.type), ...body })
    } catch (error) {
      this.faults.push(error)
    }
  }
}

export interface StreamWish {
  readonly job: string
  readonly cursor?: number
}

/** Opens a stream as a caller would; as nobody with null. */
export async function openStream(
  on: TestService,
  caller: Caller | null,
  wish: Readonly<Record<string, unknown>> & Partial<StreamWish>,
  options: WebSocket.ClientOptions = {},
  method: string = METHOD,
): Promise<Stream> {
  const params = new URLSearchParams()
  for (const [name, value] of Object.entries(wish)) if (value !== undefined) params.set(name, String(value))
  const headers = caller ? await caller.authorization({ aud: on.did, lxm: method }) : {}
  const url = `${on.url.replace('http', 'ws')}/xrpc/${method}?${params}`
  const stream = new Stream(new WebSocket(url, { ...options, headers }), method)
  await eventually(
    () => stream.socket.readyState,
    (state) => state !== WebSocket.CONNECTING,
  )
  return stream
}

/** The error that a stream is refused or ended with. */
export async function endOf(stream: Stream): Promise<{ error: string | undefined } & Ending> {
  const ending = await stream.end()
  return { error: stream.errors.at(-1)?.error, ...ending }
}

/** A job of a caller whose repos are moved by the test, as drivers move them. */
export async function startJob(on: TestService, caller: Caller, repos = 3) {
  const { store } = on.service
  const dids = didsOf(repos)
  const job = await addJob(store, { caller: caller.did, repos: dids })
  const origin = `https://pds-${job.key}.example`
  const host = await drive(store.db, origin)
  return {
    ...job,
    dids,
    origin,
    host,
    async move(event: 'pause' | 'resume' | 'cancel' | 'quiet') {
      await moveJob(store.db, job.key, movesOf(event), new Date())
    },
    /** Ends it; every repo must have its outcome. */
    async finish() {
      await moveDoneJob(store.db, job.key, movesOf('done'), new Date())
    },
    resolve: (...some: string[]) => writeSteps(store, ...some.map((did) => resolution(job, did, host))),
    complete: (...some: string[]) =>
      writeSteps(store, ...some.map((did) => completion(job, did, host, posts(job, 'a')))),
    fail: (did: string) =>
      writeSteps(store, step(job, did, host, { status: 'failed', failure: 'timeout', message: 'too late' })),
    disappear: (did: string) =>
      writeSteps(store, step(job, did, host, { status: 'unavailable', reason: 'takendown' })),
  }
}

/** How often a pool is asked for a connection while something goes on. */
export async function countQueries(on: TestService, during: () => Promise<void>): Promise<number> {
  let count = 0
  const { pool } = on.service.store
  const counter = () => {
    count += 1
  }
  pool.on('acquire', counter)
  await during()
  pool.off('acquire', counter)
  return count
}
