import type { Advertised } from './advertised.js'
import { Pace, secondsWorth } from './pace.js'

/** What is taken of a limit: others may ask from our address, and clocks differ. */
const SHARE = 0.8

/** With a rate below this a host would never be done. */
const RPM_MIN = 2

/** The growth of a rate that nothing speaks against, a minute. */
const GROWTH = 1.1
const MINUTE_MS = 60_000

/** A burst of errors: so many in a minute, and this share of what came back in it. */
const BURST_ERRORS = 3
const BURST_SHARE = 0.2

/** Readings of one window's end may differ by the second they are rounded by. */
const SAME_RESET_MS = 1_500

/** Some hosts round the end of their window down. */
const ROUNDING_MS = 1_000

/** Nothing a host says makes us wait longer than this; it is asked again then. */
const LONGEST_MS = 15 * 60_000

/**
 * Turns are no further apart, whatever the host says: a request waits for its own in its place, and a driver for all
 * of its requests. A host that grants fewer is left alone when it refuses, or says that nothing is left.
 */
const INTERVAL_MS_MAX = 5 * 60_000

export interface BudgetLimits {
  /** Requests a minute to a host that has said nothing of its limit. */
  readonly startRpm: number
  /** Requests a minute to any host, whatever it says. */
  readonly maxRpm: number
}

type Policy = Pick<Advertised, 'limit' | 'windowMs'>

/** What is known of a bucket, as it is kept for the next driver. */
export interface SavedBucket {
  readonly methods: readonly string[]
  readonly policy: Policy | null
  readonly rpm: number
}

/**
 * One of the buckets that a host counts requests in: how fast it may be asked, by what it says of itself and by
 * what happens. Without a word from it, the rate starts low, grows by a tenth with each clean minute (requests
 * were answered, none was refused or failed), and is halved when a request is refused or errors come in a burst.
 * With its word, four fifths of that are the rate to grow back to. Times are ms since epoch.
 */
export class Bucket {
  /** The methods whose answers told of this bucket. */
  readonly methods: Set<string>
  readonly #limits: BudgetLimits
  readonly #pace: Pace
  #policy: Policy | null
  #rpm: number
  /** Requests left until the end of the window; a new window has not been heard of yet when null. */
  #left: { requests: number; readonly resetAt: number } | null = null
  #inFlight = 0
  #cutAt = Number.NEGATIVE_INFINITY
  #minute = { from: Number.NEGATIVE_INFINITY, answered: 0, failed: 0, clean: true }

  constructor(limits: BudgetLimits, saved: SavedBucket | null = null) {
    this.#limits = limits
    this.methods = new Set(saved?.methods)
    this.#policy = saved?.policy ?? null
    this.#rpm = Math.min(saved?.rpm ?? limits.startRpm, this.#ceiling)
    this.#pace = new Pace(this.#rpm, this.#burst)
  }

  get rpm(): number {
    return this.#rpm
  }

  /** Whether an announcement is about this bucket. */
  matches({ limit, windowMs }: Policy): boolean {
    if (this.#policy?.limit !== limit) return false
    return windowMs === null || this.#policy.windowMs === windowMs
  }

  /** When the next request may go. */
  nextAt(now: number): number {
    return Math.max(this.#pace.nextAt(now, this.#intervalMs(now)), this.emptyUntil(now))
  }

  /** Until when nothing is left to be spent; long ago where something is. */
  emptyUntil(now: number): number {
    const left = this.#leftAt(now)
    if (left === null || left.requests > 0) return Number.NEGATIVE_INFINITY
    return Math.min(left.resetAt, now + LONGEST_MS)
  }

  restUntil(moment: number): void {
    this.#pace.restUntil(moment)
  }

  sent(now: number): void {
    this.#pace.take(now, this.#intervalMs(now))
    this.#inFlight += 1
    if (this.#left) this.#left.requests -= 1
  }

  /** What was sent has come to an end, whichever. */
  ended(): void {
    this.#inFlight -= 1
  }

  /** Takes the host's word. */
  heard(word: Advertised, now: number): void {
    // Where the length of the window is not told, it is at least what is still to come of it.
    const toReset = word.left ? word.left.resetAt - now : 0
    const known = this.#policy?.limit === word.limit ? this.#policy.windowMs : null
    const windowMs = word.windowMs ?? Math.max(known ?? 0, toReset, 1_000)
    const isNews = this.#policy?.limit !== word.limit || (word.windowMs !== null && known !== windowMs)
    this.#policy = { limit: word.limit, windowMs }
    this.#setRpm(isNews ? this.#ceiling : this.#rpm)
    if (word.left) this.#count(word.left, now)
  }

  /** What the host says cannot be true: as if it had said nothing. */
  disbelieve(): void {
    this.#policy = null
    this.#left = null
    this.#setRpm(Math.min(this.#rpm, this.#limits.startRpm))
  }

  answered(now: number): void {
    if (now - this.#minute.from >= MINUTE_MS) {
      if (this.#minute.clean && this.#minute.answered > 0) this.#setRpm(this.#rpm * GROWTH)
      this.#minute = { from: now, answered: 0, failed: 0, clean: true }
    }
    this.#minute.answered += 1
  }

  /** A request failed: no answer, or the host in trouble. */
  failed(now: number): void {
    if (now - this.#minute.from >= MINUTE_MS)
      this.#minute = { from: now, answered: 0, failed: 0, clean: false }
    const minute = this.#minute
    minute.clean = false
    minute.failed += 1
    const isBurst =
      minute.failed >= BURST_ERRORS && minute.failed >= BURST_SHARE * (minute.answered + minute.failed)
    // Once a minute: requests under way together fail together.
    if (isBurst && now - this.#cutAt >= MINUTE_MS) this.#cut(now)
  }

  /**
   * A request was refused. Where the host's own count says that nothing is left, its limit is right and others
   * have spent it; else the rate is too high.
   * @param sentAt those that were under way when the rate was cut tell nothing new
   */
  refused(sentAt: number, now: number): void {
    this.#minute.clean = false
    const explained = this.#left !== null && this.#left.requests <= 0
    if (!explained && sentAt > this.#cutAt) this.#cut(now)
  }

  save(): SavedBucket {
    return { methods: [...this.methods], policy: this.#policy, rpm: this.#rpm }
  }

  get #ceiling(): number {
    const { maxRpm } = this.#limits
    if (!this.#policy) return maxRpm
    const told = (SHARE * this.#policy.limit * MINUTE_MS) / this.#policy.windowMs!
    return Math.min(maxRpm, Math.max(told, MINUTE_MS / INTERVAL_MS_MAX))
  }

  /** A second's worth, if the share of the limit that is left alone has room for it. */
  get #burst(): number {
    const room = this.#policy ? (1 - SHARE) * this.#policy.limit : Number.POSITIVE_INFINITY
    return Math.max(1, Math.min(secondsWorth(this.#rpm), Math.floor(room)))
  }

  /** What is left is spread over the time it must last. */
  #intervalMs(now: number): number {
    const left = this.#leftAt(now)
    if (left === null || left.requests <= 0) return this.#pace.intervalMs
    const spread = (left.resetAt - ROUNDING_MS - now) / left.requests
    return Math.max(this.#pace.intervalMs, Math.min(spread, INTERVAL_MS_MAX))
  }

  #leftAt(now: number) {
    if (this.#left !== null && now >= this.#left.resetAt) this.#left = null
    return this.#left
  }

  #count({ requests, resetAt }: { requests: number; resetAt: number }, now: number): void {
    const end = resetAt + ROUNDING_MS
    // Those under way may be counted already, or not: as if not.
    const sure = Math.max(0, requests - this.#inFlight)
    const known = this.#leftAt(now)
    const sameWindow = known !== null && Math.abs(end - known.resetAt) <= SAME_RESET_MS
    // Answers overtake each other: within a window the smallest number is the newest.
    this.#left = sameWindow
      ? { requests: Math.min(known.requests, sure), resetAt: known.resetAt }
      : { requests: sure, resetAt: end }
  }

  #cut(now: number): void {
    this.#cutAt = now
    this.#setRpm(Math.max(this.#rpm / 2, RPM_MIN))
  }

  #setRpm(rpm: number): void {
    this.#rpm = Math.min(rpm, this.#ceiling)
    this.#pace.set(this.#rpm, this.#burst)
  }
}
