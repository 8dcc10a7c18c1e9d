import { setBounded } from './bounded-map.js'

/*
 * Failed authentications per client address. Whoever wants to authenticate takes a turn and gives it back with
 * the outcome. Turns under way count like failures until they end: a burst of bad tokens sent all at once
 * cannot reach the directory more often than the same tokens one after the other. Honest callers do not notice:
 * a turn takes milliseconds, and those beyond the limit wait for one to end instead of being refused.
 */

/** At most this many failures of one address in a window. */
const FAILURES_MAX = 30
/** A window begins with its first failure. */
const WINDOW_MS = 60_000
/** Addresses remembered; the one not heard of for longest is forgotten first. A few MB when full. */
const ADDRESSES_MAX = 10_000

export interface FailureLimiterOptions {
  /** ms since the epoch */
  now(): number
  readonly failuresMax?: number
  readonly windowMs?: number
  readonly addressesMax?: number
}

/** One authentication under way. `end` must be called exactly once. */
export interface Turn {
  end(failed: boolean): void
}

export interface FailureLimiter {
  /**
   * @param address any string that stands for a client; see `addressBucket`
   * @throws TooManyFailures when the address has used up its failures
   */
  begin(address: string): Promise<Turn>
}

export class TooManyFailures extends Error {
  override readonly name = 'TooManyFailures'
  constructor(
    readonly failuresMax: number,
    readonly windowMs: number,
    /** Until the address may try again; at least 1. */
    readonly resetMs: number,
  ) {
    super('too many failed authentications')
  }
}

interface Waiter {
  admit(): void
  refuse(error: TooManyFailures): void
}

interface AddressState {
  failures: number
  windowEndsMs: number
  turns: number
  waiting: Waiter[]
}

/** A limiter for this process. */
export function createFailureLimiter(options: FailureLimiterOptions): FailureLimiter {
  const { now, failuresMax = FAILURES_MAX, windowMs = WINDOW_MS, addressesMax = ADDRESSES_MAX } = options
  const addresses = new Map<string, AddressState>()

  /** Null while the address has failures left, those under way not counted. */
  function refusalFor(state: AddressState): TooManyFailures | null {
    if (now() >= state.windowEndsMs) state.failures = 0
    if (state.failures < failuresMax) return null
    return new TooManyFailures(failuresMax, windowMs, state.windowEndsMs - now())
  }

  function countFailure(state: AddressState): void {
    if (now() >= state.windowEndsMs) state.failures = 0
    if (state.failures === 0) state.windowEndsMs = now() + windowMs
    state.failures += 1
  }

  /** Called whenever a turn ends: with none under way, either somebody is admitted or all are refused. */
  function serveWaiting(state: AddressState): void {
    const refused = refusalFor(state)
    if (refused) {
      for (const waiter of state.waiting.splice(0)) waiter.refuse(refused)
      return
    }
    const free = Math.max(failuresMax - state.failures - state.turns, 0)
    for (const waiter of state.waiting.splice(0, free)) {
      state.turns += 1
      waiter.admit()
    }
  }

  function endTurn(address: string, state: AddressState, failed: boolean): void {
    state.turns -= 1
    if (failed) countFailure(state)
    serveWaiting(state)
    const idle = state.turns === 0 && state.failures === 0
    if (idle && addresses.get(address) === state) addresses.delete(address)
  }

  return {
    async begin(address) {
      const state = addresses.get(address) ?? { failures: 0, windowEndsMs: 0, turns: 0, waiting: [] }
      setBounded(addresses, address, state, addressesMax)
      const refused = refusalFor(state)
      if (refused) throw refused
      if (state.failures + state.turns < failuresMax) state.turns += 1
      else await new Promise<void>((admit, refuse) => state.waiting.push({ admit, refuse }))
      return { end: (failed) => endTurn(address, state, failed) }
    },
  }
}
