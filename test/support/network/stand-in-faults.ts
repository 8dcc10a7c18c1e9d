import type { IncomingMessage, ServerResponse } from 'node:http'
import { setTimeout as sleep } from 'node:timers/promises'
import { sendJson } from './loopback.js'

type Headers = Readonly<Record<string, string>>

/** What a stand-in host can be told to do to a request. */
export type Fault =
  /** Another answer than the right one. A string is sent as it is, anything else as JSON. */
  | {
      readonly kind: 'answer'
      readonly status: number
      readonly body?: unknown
      readonly headers?: Headers | (() => Headers)
    }
  /** The right answer with its body changed. */
  | { readonly kind: 'change'; readonly change: (body: Body) => unknown }
  /** The beginning of the right answer, then the connection is cut. */
  | { readonly kind: 'truncated' }
  /** The right answer, so slowly that it never ends. */
  | { readonly kind: 'dribble' }
  /** The connection is cut before any answer. */
  | { readonly kind: 'reset' }
  /** The right answer as it is after something else has happened. */
  | { readonly kind: 'after'; readonly what: () => Promise<unknown> | unknown }

// biome-ignore lint/suspicious/noExplicitAny: tests take answers apart to spoil them
export type Body = any

/** A request as faults are chosen by it. */
export interface Asked {
  /** The XRPC method, or the path of a request that is none. */
  readonly method: string
  /** The account asked about; empty where there is none. */
  readonly did: string
  readonly cursor: string | null
}

/** Of an account, of a method, or as a function says. */
type Chosen = Partial<Pick<Asked, 'method' | 'did'>> | ((asked: Asked) => boolean)

interface Planned {
  readonly fault: Fault
  readonly of: (asked: Asked) => boolean
  left: number
  fired: number
}

/** A fault that was planned: a test must see that it fired. */
export interface Plan {
  readonly fired: number
  cancel(): void
}

/** Which requests are spoiled, and how. */
export class Faults {
  readonly #planned: Planned[] = []

  /**
   * @param of the requests it spoils
   * @param times how many of them
   */
  plan(fault: Fault, of: Chosen = {}, times = Number.POSITIVE_INFINITY): Plan {
    return this.#add(fault, of, times, 'push')
  }

  /** As `plan`, before all that is planned already. */
  planFirst(fault: Fault, of: Chosen, times = Number.POSITIVE_INFINITY): Plan {
    return this.#add(fault, of, times, 'unshift')
  }

  #add(fault: Fault, of: Chosen, times: number, where: 'push' | 'unshift'): Plan {
    const matches =
      typeof of === 'function'
        ? of
        : (asked: Asked) =>
            (of.method ?? asked.method) === asked.method && (of.did ?? asked.did) === asked.did
    const planned = { fault, of: matches, left: times, fired: 0 }
    this.#planned[where](planned)
    return {
      get fired() {
        return planned.fired
      },
      cancel: () => {
        planned.left = 0
      },
    }
  }

  /** The fault for a request, of the oldest plan that is not used up. */
  take(asked: Asked): Fault | null {
    const planned = this.#planned.find(({ left, of }) => left > 0 && of(asked))
    if (planned === undefined) return null
    planned.left -= 1
    planned.fired += 1
    return planned.fault
  }
}

export interface Answer {
  readonly status: number
  readonly body: unknown
}

/**
 * Answers a request, as a fault has it where there is one.
 * @param rightly the right answer at the moment it is called
 */
export async function respond(
  fault: Fault | null,
  rightly: () => Answer,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  if (fault?.kind === 'after') await fault.what()
  if (fault === null || fault.kind === 'after') {
    const { status, body } = rightly()
    return sendJson(response, status, body)
  }
  await spoil(fault, rightly(), request, response)
}

async function spoil(
  fault: Exclude<Fault, { kind: 'after' }>,
  right: Answer,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  switch (fault.kind) {
    case 'reset':
      request.socket.resetAndDestroy()
      return
    case 'dribble': {
      response.writeHead(right.status, { 'content-type': 'application/json' })
      const dribbling = setInterval(() => response.write(' '), 50)
      response.once('close', () => clearInterval(dribbling))
      return
    }
    case 'truncated': {
      const text = JSON.stringify(right.body)
      response.writeHead(right.status, { 'content-type': 'application/json', 'content-length': text.length })
      response.write(text.slice(0, Math.floor(text.length / 2)))
      // The first half must be on its way before the connection goes.
      await sleep(20)
      request.socket.destroy()
      return
    }
    case 'change':
      sendJson(response, right.status, fault.change(structuredClone(right.body)))
      return
    case 'answer': {
      const { status, body = { error: 'ToldToFail', message: 'this host was told to fail' } } = fault
      const headers = typeof fault.headers === 'function' ? fault.headers() : fault.headers
      if (typeof body === 'string')
        response.writeHead(status, { 'content-type': 'text/html', ...headers }).end(body)
      else sendJson(response, status, body, headers)
    }
  }
}

export const answer = (status: number, headers?: Headers, body?: unknown): Fault => ({
  kind: 'answer',
  status,
  ...(headers && { headers }),
  ...(body !== undefined && { body }),
})
