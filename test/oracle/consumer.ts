import { setTimeout as sleep } from 'node:timers/promises'
import { ErrorFrame, Frame, MessageFrame } from '@atproto/xrpc-server'
import WebSocket from 'ws'
import { lexicons } from '../../codegen/server/lexicons.js'
import type { Caller } from '../support/network/caller.js'
import type { Random } from '../support/simulation/random.js'
import type { Door } from './crew.js'

const METHOD = 'network.example.backfill.subscribeJob'

/** The longest that a consumer stays and is away, ms; it leaves sooner after so many messages. */
const STAYS_MS = 1_500
const STAYS_MESSAGES = 60
const AWAY_MS = 600

/** What a consumer knows of a repo: as `listJobRepos` would say it. */
export interface Seen {
  readonly status: string
  readonly pdsEndpoint?: string
  readonly records?: number
  readonly why?: string
}

type Body = Readonly<Record<string, unknown>>

/** Follows a job, leaves now and then, comes back with its cursor, and puts together what it has been told. */
export class Consumer {
  readonly repos = new Map<string, Seen>()
  /** What it should not have been told. */
  readonly faults: string[] = []
  /** How the job ended, as it was told last. */
  end: string | null = null
  readonly #job: string
  readonly #door: () => Door
  readonly #caller: Pick<Caller, 'serviceJwt'>
  readonly #random: Random
  #cursor = 0

  constructor(job: string, door: () => Door, caller: Pick<Caller, 'serviceJwt'>, random: Random) {
    this.#job = job
    this.#door = door
    this.#caller = caller
    this.#random = random
  }

  /** Follows the job to its end, or until it is told to stop. @param patient never leaves by itself */
  async follow(signal: AbortSignal, patient = false): Promise<void> {
    this.end = null
    while (this.end === null && !signal.aborted) {
      await this.#stay(signal, patient).catch(() => {})
      if (this.end === null) await sleep(this.#random.below(AWAY_MS), undefined, { signal }).catch(() => {})
    }
  }

  /** One connection. Rejects when there is nobody to talk to. */
  async #stay(signal: AbortSignal, patient: boolean): Promise<void> {
    const { url, did } = this.#door()
    const token = await this.#caller.serviceJwt({ aud: did, lxm: METHOD })
    const params = new URLSearchParams({ job: this.#job, cursor: String(this.#cursor) })
    const socket = new WebSocket(`${url.replace('http', 'ws')}/xrpc/${METHOD}?${params}`, {
      headers: { authorization: `Bearer ${token}` },
    })
    let left = patient ? Number.POSITIVE_INFINITY : 1 + this.#random.below(STAYS_MESSAGES)
    const leave = () => socket.terminate()
    const staysMs = this.#random.below(STAYS_MS)
    let timer: NodeJS.Timeout | undefined
    socket.once('open', () => {
      if (!patient) timer = setTimeout(leave, staysMs)
    })
    signal.addEventListener('abort', leave, { once: true })
    await new Promise<void>((resolve) => {
      socket.on('message', (bytes: Buffer) => {
        // Nothing that comes after it has left counts.
        if (left === 0) return
        this.#take(Frame.fromBytes(bytes))
        left -= 1
        if (left === 0) leave()
      })
      socket.on('error', () => {}).once('close', () => resolve())
    })
    clearTimeout(timer)
    signal.removeEventListener('abort', leave)
  }

  #take(frame: Frame): void {
    if (frame instanceof ErrorFrame) {
      this.faults.push(`the stream says ${frame.code}: ${frame.message}`)
      return
    }
    if (!(frame instanceof MessageFrame)) return
    const body = frame.body as Body
    try {
      lexicons.assertValidXrpcMessage(METHOD, { $type: `${METHOD}${frame.type}`, ...body })
    } catch (error) {
      this.faults.push(`${frame.type} is not what the lexicon says: ${error}`)
    }
    if (typeof body.seq === 'number') {
      if (body.seq < this.#cursor) this.faults.push(`${body.seq} came after ${this.#cursor}`)
      this.#cursor = body.seq
    }
    if (frame.type === '#jobCompleted') this.end = String(body.status)
    const seen = seenIn(String(frame.type), body)
    if (seen) this.repos.set(String(body.did), seen)
  }
}

function seenIn(type: string, body: Body): Seen | null {
  const pdsEndpoint = body.pdsEndpoint as string
  switch (type) {
    case '#repoDiscovered':
      return { status: 'waiting' }
    case '#repoResolved':
      return { status: 'resolved', pdsEndpoint }
    case '#repoFetched':
      return { status: 'completed', pdsEndpoint, records: body.recordsFetched as number }
    case '#repoFailed':
      return { status: 'failed', why: body.class as string }
    case '#repoUnavailable':
      return { status: 'unavailable', why: body.reason as string }
    default:
      return null
  }
}
