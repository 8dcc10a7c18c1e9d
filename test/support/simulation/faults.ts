import { FAULT_KINDS, type FaultKind, type Lasts, type Outcome, outcomeOf } from './fault-kinds.js'
import type { Account } from './world.js'

export interface PlannedFault {
  readonly kind: FaultKind
  readonly lasts: Lasts
  /** Requests about the account that its PDS answers before anything happens to it. */
  readonly after: number
  /** How often it has shown. */
  readonly fired: number
}

type Planned = { -readonly [Key in keyof PlannedFault]: PlannedFault[Key] }

/** Answers that a burst spoils after the first. */
const BURST = 8

interface Burst {
  left: number
  /** Accounts that have met it. */
  readonly met: Set<number>
}

/** Which accounts meet which fault, and how often each has shown. An account meets one fault at most. */
export class Faults {
  /** The service's guards are on. */
  readonly guarded: boolean
  readonly #accounts = new Map<number, Planned>()
  readonly #relay: FaultKind[] = []
  readonly #planned = new Set<FaultKind>()
  readonly #fired = new Map<FaultKind, number>()
  readonly #bursts = new Map<number, Burst>()
  readonly #passed = new Map<number, number>()
  #relayFailed = false

  constructor(guarded: boolean) {
    this.guarded = guarded
  }

  /** Has an account meet a fault. @param after requests about it that pass before something happens to it */
  plan(kind: FaultKind, account: Account, lasts: Lasts = 'once', after = 0): void {
    const { where, guarded } = FAULT_KINDS[kind]
    if (where === 'relay') throw new RangeError(`${kind} happens to a relay`)
    if (guarded && !this.guarded) throw new RangeError(`${kind} takes a service whose guards are on`)
    if (this.#accounts.has(account.index)) throw new RangeError(`${account.did} meets a fault already`)
    this.#accounts.set(account.index, { kind, lasts, after, fired: 0 })
    this.#planned.add(kind)
  }

  /** Has the relays spoil so many pages. */
  planRelay(kind: FaultKind, pages = 1): void {
    if (pages < 1) return
    this.#relay.push(...Array.from({ length: pages }, () => kind))
    this.#planned.add(kind)
  }

  /** The fault that an account meets sooner or later. */
  of(account: Account): PlannedFault | null {
    return this.#accounts.get(account.index) ?? null
  }

  /** Accounts that meet a fault. */
  get accounts(): ReadonlyMap<number, PlannedFault> {
    return this.#accounts
  }

  /** How often each kind has shown. */
  get fired(): ReadonlyMap<FaultKind, number> {
    return this.#fired
  }

  /** What must become of a repo, after what it has met so far. */
  outcome(account: Account): Outcome {
    const fault = this.#accounts.get(account.index)
    if (!fault || fault.fired === 0) return { status: 'completed' }
    return outcomeOf(fault.kind, fault.lasts)
  }

  /** Kinds that were planned and never showed. */
  get silent(): FaultKind[] {
    return [...this.#planned].filter((kind) => !this.#fired.has(kind))
  }

  /** @throws naming the kinds that were planned and never showed */
  assertEveryFaultFired(): void {
    const { silent } = this
    if (silent.length > 0) throw new Error(`planned, but never fired: ${silent.join(', ')}`)
  }

  /** The fault with which a PDS answers a request about an account; counts it. */
  takeRequest(account: Account, method: string, records: number): FaultKind | null {
    const fault = this.#accounts.get(account.index)
    if (!fault) return this.#takeBurst(account)
    if (fault.lasts === 'once' && fault.fired > 0) return null
    const { where, methods, records: least = 0 } = FAULT_KINDS[fault.kind]
    if (where !== 'request' || (methods && !methods.includes(method)) || records < least) return null
    if (fault.kind === 'server-burst') this.#bursts.set(account.host, { left: BURST, met: new Set() })
    return this.#fire(fault)
  }

  /** What happens to an account now that its PDS is asked about it; counts it. */
  takeAccount(account: Account): FaultKind | null {
    const fault = this.#accounts.get(account.index)
    if (!fault || fault.fired > 0 || FAULT_KINDS[fault.kind].where !== 'account') return null
    const passed = this.#passed.get(account.index) ?? 0
    this.#passed.set(account.index, passed + 1)
    return passed < fault.after ? null : this.#fire(fault)
  }

  /** What is wrong with an account's document; counts it. */
  takeDocument(account: Account): FaultKind | null {
    const fault = this.#accounts.get(account.index)
    if (!fault || FAULT_KINDS[fault.kind].where !== 'document') return null
    if (fault.lasts === 'once' && fault.fired > 0) return null
    return this.#fire(fault)
  }

  /**
   * The fault of a relay's page; counts it. No two failing ones in a row: a listing gives up after a few.
   * @param more whether the page has anything, and a page follows it
   */
  takeRelay(page: { filled: boolean; more: boolean }): FaultKind | null {
    const kind = this.#relay.find((wanted) => {
      if (isFailure(wanted)) return !this.#relayFailed
      return wanted === 'relay-empty-page' ? page.more : page.filled
    })
    this.#relayFailed = kind !== undefined && isFailure(kind)
    if (kind === undefined) return null
    this.#relay.splice(this.#relay.indexOf(kind), 1)
    return this.#count(kind)
  }

  #takeBurst({ host, index }: Account): FaultKind | null {
    const burst = this.#bursts.get(host)
    if (!burst || burst.left === 0 || burst.met.has(index)) return null
    burst.left -= 1
    burst.met.add(index)
    return this.#count('server-burst')
  }

  #fire(fault: Planned): FaultKind {
    fault.fired += 1
    return this.#count(fault.kind)
  }

  #count(kind: FaultKind): FaultKind {
    this.#fired.set(kind, (this.#fired.get(kind) ?? 0) + 1)
    return kind
  }
}

const isFailure = (kind: FaultKind) => kind === 'relay-error' || kind === 'relay-reset'
