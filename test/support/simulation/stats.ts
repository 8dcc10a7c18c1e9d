import type { RateLimit, RateWindow } from './rate-limit.js'

/** After a refusal has gone out, a request that was on its way may still arrive, ms. */
const GRACE_MS = 250

/** How many requests were there at a moment, of those that were answered in the end. */
interface Crowd {
  answered: number
}

/** A request that is there: in each crowd of its time. */
export type Visit = Crowd[]

/** What a host has seen of its clients. */
export class HostStats {
  requests = 0
  /** 429s given. */
  refused = 0
  /** The most at once. One that its client has given up is not counted: the host learns of that late. */
  mostInFlight = 0
  /** Requests that came although the client had been told to wait. */
  tooEarly = 0
  /** Requests that came while it answered nobody. */
  unanswered = 0
  readonly methods = new Map<string, number>()
  readonly windows: readonly RateWindow[]
  readonly limit: RateLimit | null
  readonly #visits = new Set<Visit>()
  readonly #awake: (() => number) | undefined
  #quietFrom = 0
  #quietUntil = 0

  /** @param awake ms; by which a request may be on its way, where that is not by the time of day */
  constructor(limit: RateLimit | null, windows: readonly RateWindow[], awake?: () => number) {
    this.limit = limit
    this.windows = windows
    this.#awake = awake
  }

  /** Whether any window has seen more requests than it has points. */
  get exceeded(): boolean {
    return this.windows.some(({ mostUsed, points }) => mostUsed > points)
  }

  /** The most requests that a window has seen; 0 where there is no limit. */
  get mostInWindow(): number {
    return Math.max(0, ...this.windows.map(({ mostUsed }) => mostUsed))
  }

  /** @param now ms since epoch */
  arrived(method: string, now: number): Visit {
    this.requests += 1
    this.methods.set(method, (this.methods.get(method) ?? 0) + 1)
    const visit: Visit = []
    const crowd = { answered: 0 }
    this.#visits.add(visit)
    for (const each of this.#visits) each.push(crowd)
    if (this.#awakeAt(now) > this.#quietFrom && now < this.#quietUntil) this.tooEarly += 1
    return visit
  }

  left(visit: Visit, wasAnswered: boolean): void {
    this.#visits.delete(visit)
    if (!wasAnswered) return
    for (const crowd of visit) {
      crowd.answered += 1
      this.mostInFlight = Math.max(this.mostInFlight, crowd.answered)
    }
  }

  get inFlight(): number {
    return this.#visits.size
  }

  /** @param until until when the client was told to wait; null: it was not told */
  wasRefused(now: number, until: number | null): void {
    this.refused += 1
    if (until === null) return
    if (now >= this.#quietUntil) this.#quietFrom = this.#awakeAt(now) + GRACE_MS
    this.#quietUntil = Math.max(this.#quietUntil, until)
  }

  #awakeAt(now: number): number {
    return this.#awake?.() ?? now
  }
}

/** What a host has seen, as JSON has it. */
export type HostReport = Pick<
  HostStats,
  'requests' | 'refused' | 'tooEarly' | 'mostInFlight' | 'mostInWindow' | 'exceeded'
>

export interface StatsReport {
  readonly totals: Totals
  readonly forbidden: number
  readonly directory: HostReport
  readonly relays: readonly HostReport[]
  readonly hosts: readonly HostReport[]
}

/** Sums over hosts. */
export interface Totals {
  readonly requests: number
  readonly refused: number
  readonly tooEarly: number
  /** Hosts that have seen more than their limit. */
  readonly exceeded: number
}

function reportOf(host: HostStats): HostReport {
  const { requests, refused, tooEarly, mostInFlight, mostInWindow, exceeded } = host
  return { requests, refused, tooEarly, mostInFlight, mostInWindow, exceeded }
}

/** What all hosts of a simulation have seen. */
export class Stats {
  readonly hosts: readonly HostStats[]
  /** Hosts that have moved, by the name they have now: their clients cannot know that it is the same host. */
  readonly moved: ReadonlyMap<number, HostStats>
  readonly directory: HostStats
  readonly relays: readonly HostStats[]
  readonly #forbidden: () => number

  /** @param forbidden connections to where nobody may go */
  constructor(parts: {
    hosts: readonly HostStats[]
    moved: ReadonlyMap<number, HostStats>
    directory: HostStats
    relays: readonly HostStats[]
    forbidden: () => number
  }) {
    this.hosts = parts.hosts
    this.moved = parts.moved
    this.directory = parts.directory
    this.relays = parts.relays
    this.#forbidden = parts.forbidden
  }

  /** Connections to addresses that no service may ask: made, or about to be made. */
  get forbidden(): number {
    return this.#forbidden()
  }

  /** Over the PDSs. */
  get totals(): Totals {
    const all = [...this.hosts, ...this.moved.values()]
    const sum = (of: (host: HostStats) => number) => all.reduce((total, host) => total + of(host), 0)
    return {
      requests: sum((host) => host.requests),
      refused: sum((host) => host.refused),
      tooEarly: sum((host) => host.tooEarly),
      exceeded: sum((host) => Number(host.exceeded)),
    }
  }
  report(): StatsReport {
    return {
      totals: this.totals,
      forbidden: this.forbidden,
      directory: reportOf(this.directory),
      relays: this.relays.map(reportOf),
      hosts: this.hosts.map(reportOf),
    }
  }
}
