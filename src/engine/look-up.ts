import type { Account, Located } from '../atproto/identity.js'
import { Failure, RateLimited } from '../atproto/outcome.js'
import { IDENTITY_EXPIRED_MS, IDENTITY_STALE_MS } from '../store/did-cache.js'
import type { RunningJob } from '../store/jobs.js'
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

/** The account lives on another host than the one that is asked: what this one says, or signs, is no verdict on it. */
export class LivesElsewhere extends Error {
  override readonly name = 'LivesElsewhere'
  constructor(readonly origin: string) {
    super(`the account lives at ${origin}`)
  }
}

/**
 * When an account's document must have been looked up for what is signed to be believed on it: since the job was
 * created, or within the hour. Who held a key that was taken away can still sign with it. A job that takes days does
 * not go by what was so when it began. Pure.
 */
export function provesSince({ createdAt }: Pick<RunningJob, 'createdAt'>, now: number): number {
  return Math.max(now - IDENTITY_EXPIRED_MS, Math.min(createdAt.getTime(), now - IDENTITY_STALE_MS))
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
    return this.#held((identities) => identities.locate(this.#did, fresh))
  }

  /**
   * Makes sure that the account lives on a host, by a document that is not older than a moment.
   * @throws LivesElsewhere, LookUpHeld, Failure, Unavailable
   */
  async assertLivesAt(origin: string, since: number): Promise<Account> {
    const account = await this.#held((identities) => identities.account(this.#did, since))
    if (account.origin !== origin) throw new LivesElsewhere(account.origin)
    return account
  }

  /**
   * The account's key, for what a host has signed.
   * @param since as of `provesSince`; infinite for the document of this moment
   * @throws as `assertLivesAt`; Failure of class `unverifiable` where there is none
   */
  async signingKey(origin: string, since: number): Promise<string> {
    const { signingKey } = await this.assertLivesAt(origin, since)
    if (signingKey !== undefined) return signingKey
    throw new Failure('unverifiable', `${this.#did}: the document has no usable #atproto key`)
  }

  async #held<Found>(
    look: (identities: ReturnType<EngineContext['identitiesPaced']>) => Promise<Found>,
  ): Promise<Found> {
    const { directoryGate: gate } = this.#ctx
    const turn = async () => {
      // Nobody waits for a directory in a place that another repo could have.
      if (gate.heldUntil - this.#ctx.now() > SHORT_PAUSE_MS) throw new LookUpHeld(new Date(gate.heldUntil))
      await this.#turnAtDirectory()
    }
    try {
      return await look(this.#ctx.identitiesPaced(turn))
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
