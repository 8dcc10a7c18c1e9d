import { isDeepStrictEqual } from 'node:util'
import type { CompatibleOp, Operation } from '@did-plc/lib'
import { exchange } from '../client/exchange.js'
import { BackfillError, InvalidResponse } from '../client/index.js'
import { CommandError } from './exit.js'
import type { PlcData } from './identity-plc.js'

/** Of one request, ms. */
const TIMEOUT_MS = 30_000

/** A directory of did:plc, for whoever holds the keys of one. */
export class PlcDirectory {
  readonly #url: string
  readonly #signal: AbortSignal

  constructor(url: string, signal: AbortSignal) {
    this.#url = url
    this.#signal = signal
  }

  /**
   * What it has of a DID; null if there is no such DID.
   * @throws BackfillError; CommandError for a DID that has been ended
   */
  async read(did: string): Promise<PlcData | null> {
    try {
      return (await this.#ask(`/${did}/data`)) as PlcData
    } catch (error) {
      if (!(error instanceof BackfillError)) throw error
      if (error.status === 410)
        throw new CommandError(`${did} was ended for good: it cannot be used any more.`)
      if (error.status === 404) return null
      throw error
    }
  }

  /** The latest operation, to which the next one refers. */
  async lastOperation(did: string): Promise<CompatibleOp> {
    return (await this.#ask(`/${did}/log/last`)) as CompatibleOp
  }

  /** @throws CommandError when it refuses the operation, or does not show it afterwards */
  async send(did: string, operation: Operation): Promise<void> {
    try {
      await this.#ask(`/${did}`, operation)
    } catch (error) {
      if (!(error instanceof BackfillError)) throw error
      if (error.status >= 400 && error.status < 500) {
        throw new CommandError(`The directory refuses the operation: ${error.message}`, { cause: error })
      }
      // It says yes with a plain "OK": whether it meant it, the next question shows.
      if (!(error instanceof InvalidResponse)) throw error
    }
    if (isDeepStrictEqual(await this.lastOperation(did), operation)) return
    throw new CommandError(
      `${this.#url} has taken the operation for ${did}, but does not show it. Try again in a while.`,
    )
  }

  #ask(path: string, input?: unknown): Promise<unknown> {
    return exchange({
      peer: 'a PLC directory',
      attributed: true,
      url: new URL(path, this.#url),
      method: input === undefined ? 'GET' : 'POST',
      headers: {},
      input,
      timeoutMs: TIMEOUT_MS,
      signal: this.#signal,
      fetch: globalThis.fetch,
      now: Date.now,
    })
  }
}
