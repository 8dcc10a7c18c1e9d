import { type HostClaim, type HostStanding, saveHost } from '../store/hosts.js'
import type { EngineContext } from './context.js'
import type { Gate } from './gate.js'
import { whyGivenUp } from './give-up.js'
import { FAILURES_MAX, GOOD, isGood, parkedMs, withVainProbe } from './standing.js'

/**
 * How the directory behaves, as its resolver finds it. When it has failed for several accounts in a row it is left
 * alone like any host, for everybody, and what it failed at then is not held against the accounts. One that has given
 * no good answer for as long as hosts are given up after is asked all the same: so that every job ends.
 */
export class DirectoryStanding {
  readonly #ctx: EngineContext
  readonly #claim: HostClaim
  readonly #gate: Gate
  /** Since its last answer. One account that it always fails for says nothing of it. */
  readonly #failed = new Set<string>()
  #standing: HostStanding

  constructor(ctx: EngineContext, claim: HostClaim, gate: Gate) {
    this.#ctx = ctx
    this.#claim = claim
    this.#gate = gate
    this.#standing = claim.standing
  }

  /** It has answered, whatever it had to say. */
  async answered(): Promise<void> {
    this.#failed.clear()
    if (isGood(this.#standing)) return
    this.#standing = GOOD
    await this.#save(this.#ctx.now())
  }

  /** It gave no answer for an account. @returns whether it is left alone by now */
  async failed(did: string): Promise<boolean> {
    const { now, random, parkMs, tell } = this.#ctx
    this.#failed.add(did)
    if (this.#gate.heldUntil > now()) return true
    if (this.#failed.size < FAILURES_MAX || this.#isGivenUp) return false
    this.#failed.clear()
    this.#standing = withVainProbe(this.#standing)
    const until = now() + parkedMs(this.#standing.parkings, random(), parkMs)
    this.#gate.holdUntil(until)
    tell('host.parked', { host: this.#claim.origin, until: new Date(until) })
    await this.#save(until)
    return true
  }

  get #isGivenUp(): boolean {
    const { unansweredSince } = this.#claim
    return unansweredSince !== null && whyGivenUp(this.#ctx, unansweredSince) !== null
  }

  async #save(nextAt: number): Promise<void> {
    const { db, clock } = this.#ctx
    const nextRequestAt = clock.toDatabase(nextAt)
    const standing = this.#standing
    const state = { standing, unanswered: !isGood(standing), nextRequestAt, budget: null }
    await saveHost(db, this.#claim, state, clock.now())
  }
}
