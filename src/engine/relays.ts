import type { Db } from '../store/database.js'
import { claimHost, deferHost, hostIds, nextRequestAt } from '../store/hosts.js'
import type { DatabaseClock } from './database-clock.js'
import type { Gate } from './gate.js'
import { SharedGate } from './shared-gate.js'

export interface RelayOptions {
  readonly db: Db
  /** Requests a minute to each, of all processes together. */
  readonly rpm: number
  readonly clock: DatabaseClock
  readonly now: () => number
  readonly random: () => number
}

/**
 * The relays. Several discoveries ask one at the same time, in any number of processes, so nobody drives it: its
 * turns and the pauses that it asks for are kept in a row of its own.
 */
export class Relays {
  readonly #options: RelayOptions
  readonly #gates = new Map<string, { host: number; gate: SharedGate }>()

  constructor(options: RelayOptions) {
    this.#options = options
  }

  /** A relay's gate, which knows of every pause that any process was asked for. */
  async gate(relay: string): Promise<Gate> {
    const { db, clock } = this.#options
    const { host, gate } = await this.#at(relay)
    gate.holdUntil(clock.toLocal(await nextRequestAt(db, host)))
    return gate
  }

  /** Keeps a relay's wish to be left alone. */
  async pause(relay: string, until: Date): Promise<void> {
    const { db, clock } = this.#options
    const { host, gate } = await this.#at(relay)
    gate.holdUntil(until.getTime())
    await pauseHost(db, host, clock.toDatabase(until.getTime()))
  }

  async #at(relay: string) {
    const known = this.#gates.get(relay)
    if (known) return known
    // A row of its own, even where a PDS answers at the same origin: a PDS has a driver.
    const origin = `${relay}#relay`
    const host = (await hostIds(this.#options.db, [origin])).get(origin)!
    // A listing that is refused waits in its row.
    const made = { host, gate: new SharedGate({ ...this.#options, host, patienceMs: 0 }) }
    const gate = this.#gates.get(relay) ?? made
    this.#gates.set(relay, gate)
    return gate
  }
}

/**
 * Keeps a pause that a host asked somebody for who does not drive it. Its driver, if it has one, loses its claim
 * by this; the next one sees the pause.
 * @param until by the database's clock
 */
export async function pauseHost(db: Db, host: number, until: Date): Promise<void> {
  // The claim holds the row to the commit, so that no other claim comes between the two.
  await db.transaction().execute(async (trx) => {
    const claim = await claimHost(trx, host)
    if (claim) await deferHost(trx, claim, until)
  })
}
