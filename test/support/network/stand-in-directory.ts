import type { IncomingMessage, ServerResponse } from 'node:http'
import { LoopbackServer, methodOf } from './loopback.js'
import { type Answer, Faults, respond } from './stand-in-faults.js'

/**
 * Stands in for a PLC directory: for what the real server of npm cannot show (it answers 404 for tombstones), and
 * for more accounts than it could register in time.
 */
export class StandInDirectory implements AsyncDisposable {
  readonly faults = new Faults()
  /** Every DID it was asked for, in order, and when (ms since epoch). */
  readonly arrivals: { readonly did: string; readonly at: number }[] = []
  readonly #documents = new Map<string, object>()
  #server!: LoopbackServer

  static async start(): Promise<StandInDirectory> {
    const directory = new StandInDirectory()
    directory.#server = await LoopbackServer.start((...exchange) => directory.#answer(...exchange))
    return directory
  }

  get url(): string {
    return this.#server.url
  }

  /** Has an account whose document names this PDS. */
  register(did: string, endpoint: string): void {
    this.publish(did, documentOf(did, endpoint))
  }

  /** Has a document of any kind under this DID. */
  publish(did: string, document: object): void {
    this.#documents.set(did, document)
  }

  stop(): Promise<void> {
    return this.#server.stop()
  }

  restart(): Promise<void> {
    return this.#server.restart()
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.stop()
  }

  async #answer(url: URL, request: IncomingMessage, response: ServerResponse): Promise<void> {
    const did = methodOf(url).slice(1)
    this.arrivals.push({ did, at: Date.now() })
    const fault = this.faults.take({ method: 'document', did, cursor: null })
    await respond(fault, () => this.#right(did), request, response)
  }

  #right(did: string): Answer {
    const document = this.#documents.get(did)
    if (document) return { status: 200, body: document }
    return { status: 404, body: { message: `DID not registered: ${did}` } }
  }
}

export const startStandInDirectory = () => StandInDirectory.start()

/** A document that names a PDS and nothing else. */
export function documentOf(did: string, endpoint: unknown): object {
  return {
    '@context': ['https://www.w3.org/ns/did/v1'],
    id: did,
    alsoKnownAs: [],
    verificationMethod: [],
    service: [{ id: '#atproto_pds', type: 'AtprotoPersonalDataServer', serviceEndpoint: endpoint }],
  }
}
