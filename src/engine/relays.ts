import type { Db } from '../store/database.js'
import { claimHost, deferHost, hostIds, nextRequestAt, noteAnswer, noteRefusal } from '../store/hosts.js'
import { Budget, type BudgetLimits } from './budget.js'
import type { DatabaseClock } from './database-clock.js'
import type { Gate, Passage } from './gate.js'
import { SharedGate } from './shared-gate.js'

export interface RelayOptions {
  readonly db: Db
  /** What each is asked at most, of all processes together: `startRpm` as long as it says nothing of its limit. */
  readonly limits: BudgetLimits
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
  readonly #gates = new Map<string, { host: number; gate: RelayGate }>()
  /** Those that have given this process a good answer since their last pause. */
  readonly #answering = new Set<string>()

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

  /**
   * Keeps a relay's wish to be left alone.
   * @returns since when it has given no good answer, by the database's clock
   */
  async pause(relay: string, until: Date): Promise<Date> {
    const { db, clock } = this.#options
    const { host, gate } = await this.#at(relay)
    gate.holdUntil(until.getTime())
    this.#answering.delete(relay)
    return noteRefusal(db, host, clock.toDatabase(until.getTime()), clock.now())
  }

  /** To be told of each good answer. */
  async answered(relay: string): Promise<void> {
    if (this.#answering.has(relay)) return
    await noteAnswer(this.#options.db, (await this.#at(relay)).host)
    this.#answering.add(relay)
  }

  async #at(relay: string) {
    const known = this.#gates.get(relay)
    if (known) return known
    // A row of its own, even where a PDS answers at the same origin: a PDS has a driver.
    const origin = `${relay}#relay`
    const host = (await hostIds(this.#options.db, [origin])).get(origin)!
    const made = { host, gate: new RelayGate(this.#options, host) }
    const gate = this.#gates.get(relay) ?? made
    this.#gates.set(relay, gate)
    return gate
  }
}

/**
 * A relay's gate. Its turns are shared by all processes, which find out by themselves how fast these may follow each
 * other: a relay says so with each answer. One that does not is not asked more and more often, as a PDS is, because
 * nobody here would know what the others do.
 */
class RelayGate implements Gate {
  /** A listing that is refused waits in its row. */
  readonly patienceMs = 0
  readonly #options: RelayOptions
  readonly #budget: Budget
  readonly #turns: SharedGate

  constructor(options: RelayOptions, host: number) {
    this.#options = options
    const { db, limits, now, random } = options
    this.#budget = new Budget(limits, null, now())
    const rpm = () => this.#rpm
    this.#turns = new SharedGate({ db, host, rpm, patienceMs: this.patienceMs, now, random })
  }

  get nextAt(): number {
    return this.#turns.nextAt
  }

  get heldUntil(): number {
    return this.#turns.heldUntil
  }

  holdUntil(moment: number): void {
    this.#turns.holdUntil(moment)
  }

  /** As `SharedGate` has it. */
  passNow(): null {
    return null
  }

  async pass(signal: AbortSignal, method = ''): Promise<Passage> {
    const { now } = this.#options
    const budget = this.#budget
    const turn = await this.#turns.pass(signal)
    const sent = budget.sent(method, now())
    return {
      answered: async (header) => {
        budget.answered(sent, header, now())
        this.#holdWhileEmpty(method)
        await turn.answered(header)
      },
      refused: async (header) => {
        budget.refused(sent, header, now())
        return turn.refused(header)
      },
      failed: async () => {
        budget.failed(sent, now())
        return turn.failed()
      },
      dropped: () => {
        budget.dropped(sent)
        turn.dropped()
      },
    }
  }

  /** What all of its methods allow: they take their turns in one line. */
  get #rpm(): number {
    const { limits, now } = this.#options
    const rates = this.#budget
      .save(now())
      .buckets.map(({ policy, rpm }) => (policy === null ? Math.min(rpm, limits.startRpm) : rpm))
    return Math.min(...rates)
  }

  #holdWhileEmpty(method: string): void {
    const { now } = this.#options
    const until = this.#budget.emptyUntil(method, now())
    if (until > now()) this.#turns.holdUntil(until)
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
