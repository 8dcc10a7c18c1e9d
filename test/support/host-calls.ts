import type { HttpClient, Sink } from '../../src/atproto/http.js'
import type { Query } from '../../src/atproto/pds.js'
import type { CarQuery } from '../../src/atproto/sync.js'
import { readAnswer, readBytes } from '../../src/atproto/xrpc.js'

/** One request that was sent, and what came back. */
export interface Call {
  /** The last part of the method's name. */
  readonly method: string
  readonly url: URL
  readonly status: number
  /** Of the body, decoded. */
  readonly bytes: number
}

/** Asks a host directly, without a gate, and keeps a list of what was asked. */
export class HostCalls {
  readonly log: Call[] = []
  readonly #http: HttpClient
  readonly #origin: string

  constructor(http: HttpClient, origin: string) {
    this.#http = http
    this.#origin = origin
  }

  get methods(): string[] {
    return this.log.map(({ method }) => method)
  }

  get bytes(): number {
    return this.log.reduce((sum, { bytes }) => sum + bytes, 0)
  }

  readonly query: Query = async (nsid, params, maxBytes) =>
    readAnswer(await this.#get(nsid, params, maxBytes), Date.now(), 0)

  readonly car: CarQuery = async (nsid, params, maxBytes, sink) =>
    readBytes(await this.#get(nsid, params, maxBytes, sink), Date.now(), 0)

  async #get(
    nsid: string,
    params: Parameters<CarQuery>[1],
    maxBytes: number,
    sink?: Parameters<CarQuery>[3],
  ) {
    const url = new URL(`/xrpc/${nsid}`, this.#origin)
    for (const [name, value] of Object.entries(params)) {
      for (const each of [value ?? []].flat()) url.searchParams.append(name, String(each))
    }
    let streamed = 0
    const counted: Sink = (chunk, ended) => {
      streamed += chunk.length
      return sink?.(chunk, ended)
    }
    const response = await this.#http.get({ url, maxBytes, timeoutMs: 60_000, sink: sink && counted })
    const bytes = response.body.length + streamed
    this.log.push({ method: nsid.slice(nsid.lastIndexOf('.') + 1), url, status: response.status, bytes })
    return response
  }
}
