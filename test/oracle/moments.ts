import { isRetryable } from '../../src/verdict.js'
import { FAULT_KINDS, type Outcome } from '../support/simulation/fault-kinds.js'
import type { PlannedFault } from '../support/simulation/faults.js'
import type { Simulation } from '../support/simulation/simulation.js'
import type { Account } from '../support/simulation/world.js'
import type { Pace } from './pace.js'

const COMPLETED: Outcome = { status: 'completed' }

/** From an answer of a host until what follows from it is stored, at most, ms; on a busy machine it takes longer. */
const WRITTEN_MS = 5_000

/** Since when a fault has been there, and until when. */
interface Span {
  readonly fault: PlannedFault
  from: number
  until: number
}

/**
 * When things went wrong and when they were right again. Several jobs that want the same account must not all come
 * to the same end: what is right for each depends on when it asked.
 */
export class Moments {
  readonly #simulation: Simulation
  readonly #pace: Pace
  readonly #spans = new Map<number, Span>()

  readonly #mustShow: (account: Account, fault: PlannedFault) => boolean

  /**
   * Watches the faults that are planned by now.
   * @param mustShow whether a fault has to show
   */
  constructor(
    simulation: Simulation,
    pace: Pace,
    mustShow: (account: Account, fault: PlannedFault) => boolean,
  ) {
    this.#simulation = simulation
    this.#pace = pace
    this.#mustShow = mustShow
    const { faults } = simulation
    for (const [index, fault] of faults.accounts) {
      // What spoils every answer and every document has always been there.
      const from = FAULT_KINDS[fault.kind].where === 'account' ? Number.POSITIVE_INFINITY : 0
      this.#spans.set(index, { fault, from, until: Number.POSITIVE_INFINITY })
    }
    const takeAccount = faults.takeAccount.bind(faults)
    faults.takeAccount = (account) => {
      const kind = takeAccount(account)
      if (kind) this.#spans.get(account.index)!.from = Date.now()
      return kind
    }
  }

  /** Has hosts answer again as they should. */
  heal(): void {
    for (const span of this.#spans.values()) {
      const { kind, lasts } = span.fault
      const { where, ends, always } = FAULT_KINDS[kind]
      if (where !== 'request' || always || lasts === 'once' || span.fault.fired === 0) continue
      if (ends.status !== 'failed' || !isRetryable(ends.class)) continue
      span.until = Date.now()
      // What has shown once shows no more.
      Object.assign(span.fault, { lasts: 'once' })
    }
  }

  /** Accounts whose faults have never shown, though they had to. */
  silent(): [Account, PlannedFault][] {
    return [...this.#spans]
      .filter(([, { fault }]) => fault.fired === 0)
      .map(([index, { fault }]): [Account, PlannedFault] => [this.#simulation.world.accountAt(index), fault])
      .filter(([account, fault]) => this.#mustShow(account, fault))
  }

  /** When something happened to an account, ms since epoch; null: nothing has. */
  happenedAt({ index }: Account): number | null {
    const { from, fault } = this.#spans.get(index) ?? {}
    return fault === undefined || fault.fired === 0 ? null : from!
  }

  /** What may have become of an account's repo in a job that told it at a moment: one of these. */
  outcomesAt(account: Account, at: number): Outcome[] {
    const span = this.#spans.get(account.index)
    if (!span || span.fault.fired === 0) return [COMPLETED]
    const { from, until, fault } = span
    const writtenMs = this.#pace.atMost(WRITTEN_MS)
    if (until !== Number.POSITIVE_INFINITY) {
      const { ends } = FAULT_KINDS[fault.kind]
      if (at < until) return [ends]
      return at < until + writtenMs ? [ends, COMPLETED] : [COMPLETED]
    }
    const ends = this.#simulation.outcome(account)
    if (at < from) return [COMPLETED]
    return from > 0 && at < from + writtenMs ? [ends, COMPLETED] : [ends]
  }
}
