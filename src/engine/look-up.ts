import type { Located } from '../atproto/identity.js'
import { Failure, RateLimited } from '../atproto/outcome.js'
import type { EngineContext } from './context.js'
import { SHORT_PAUSE_MS } from './limits.js'
import { pauseHost } from './relays.js'

/** The account cannot be looked up for a while: a pause of the directory's, or of one did:web, not of its host. */
export class LookUpHeld extends Error {
  override readonly name = 'LookUpHeld'
  constructor(readonly until: Date) {
    super('the directory asks for a pause')
  }
}

/** Looks up one account for whoever drives its host, in the driver's turn at the directory. */
export class LookUp {
  readonly #ctx: EngineContext
  readonly #did: string
  readonly #turnAtDirectory: () => Promise<void>

  constructor(ctx: EngineContext, did: string, turnAtDirectory: () => Promise<void>) {
    this.#ctx = ctx
    this.#did = did
    this.#turnAtDirectory = turnAtDirectory
  }

  /**
   * Where the account lives.
   * @param fresh as the directory has it now
   * @throws LookUpHeld, Failure, Unavailable
   */
  async locate(fresh: boolean): Promise<Located> {
    return this.#held(fresh, (identities) => identities.locate(this.#did, fresh))
  }

  /**
   * The account's key.
   * @throws LookUpHeld; Failure, of class `unverifiable` where there is none
   */
  async signingKey(fresh: boolean): Promise<string> {
    try {
      return await this.#held(fresh, (identities) => identities.signingKey(this.#did, fresh))
    } catch (error) {
      if (!(error instanceof Failure) || error.failure !== 'did-invalid') throw error
      throw new Failure('unverifiable', error.message, { cause: error })
    }
  }

  async #held<Found>(
    fresh: boolean,
    look: (identities: ReturnType<EngineContext['identitiesPaced']>) => Promise<Found>,
  ): Promise<Found> {
    const { directoryGate: gate } = this.#ctx
    // Nobody waits for a directory in a place that another repo could have.
    if (fresh && gate.heldUntil - this.#ctx.now() > SHORT_PAUSE_MS)
      throw new LookUpHeld(new Date(gate.heldUntil))
    try {
      return await look(this.#ctx.identitiesPaced(this.#turnAtDirectory))
    } catch (error) {
      if (!(error instanceof RateLimited)) throw error
      if (this.#did.startsWith('did:plc:')) {
        gate.holdUntil(error.until.getTime())
        const until = this.#ctx.clock.toDatabase(error.until.getTime())
        await pauseHost(this.#ctx.db, this.#ctx.directoryHost, until)
      }
      throw new LookUpHeld(error.until)
    }
  }
}
