import type { Db } from '../store/database.js'
import { claimHost, deferHost, hostIds } from '../store/hosts.js'
import { Gate } from './gate.js'

/**
 * The relays. Several discoveries ask one at the same time, so nobody drives it: in a process they share a gate,
 * and a pause that a relay asks for is kept in a row of its own for every process.
 */
export class Relays {
  readonly #db: Db
  readonly #newGate: () => Gate
  readonly #gates = new Map<string, Gate>()

  constructor(db: Db, rpm: number, now: () => number) {
    this.#db = db
    this.#newGate = () => new Gate(rpm, 0, now)
  }

  /** A relay's gate, which knows of every pause that any process was asked for. */
  async gate(relay: string): Promise<Gate> {
    const gate = this.#gates.get(relay) ?? this.#newGate()
    this.#gates.set(relay, gate)
    const claim = await claimHost(this.#db, await this.#host(relay))
    if (claim) gate.holdUntil(claim.nextRequestAt.getTime())
    return gate
  }

  /** Keeps a relay's wish to be left alone. */
  async pause(relay: string, until: Date): Promise<void> {
    this.#gates.get(relay)?.holdUntil(until.getTime())
    await pauseHost(this.#db, await this.#host(relay), until)
  }

  async #host(relay: string): Promise<number> {
    // A row of its own, even where a PDS answers at the same origin: a PDS has a driver.
    const origin = `${relay}#relay`
    return (await hostIds(this.#db, [origin])).get(origin)!
  }
}

/**
 * Keeps a pause that a host asked somebody for who does not drive it. Its driver, if it has one, loses its claim
 * by this; the next one sees the pause.
 */
export async function pauseHost(db: Db, host: number, until: Date): Promise<void> {
  // The claim holds the row to the commit, so that no other claim comes between the two.
  await db.transaction().execute(async (trx) => {
    const claim = await claimHost(trx, host)
    if (claim) await deferHost(trx, claim, until)
  })
}
