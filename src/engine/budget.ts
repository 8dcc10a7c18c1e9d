import type { HeaderReader } from '../atproto/cooldown.js'
import { readAdvertised } from './advertised.js'
import { Bucket, type BudgetLimits, type SavedBucket } from './bucket.js'
import { Pace } from './pace.js'

export type { BudgetLimits }

/** What was learned of a host's budget, as it is kept with the host. */
export interface SavedBudget {
  /** ms since epoch. */
  readonly at: number
  readonly buckets: readonly SavedBucket[]
}

/** How long it is worth something: a host may have changed its limits since. */
const EXPIRED_MS = 3_600_000

/** A request that was let go, until it comes to an end. */
export interface Sent {
  readonly method: string
  readonly at: number
  readonly bucket: Bucket
}

/**
 * How fast one host may be asked, method by method. Methods whose answers tell of the same limit share a bucket;
 * one that tells of another has its own, as `getRepo` often does. All together keep to the operator's cap. No
 * effects, and no clock of its own: times are arguments, ms since epoch.
 */
export class Budget {
  readonly #limits: BudgetLimits
  readonly #cap: Pace
  readonly #bucketOf = new Map<string, Bucket>()
  /** For methods that nothing is known of. */
  #first: Bucket

  /** @param saved what an earlier driver learned */
  constructor(limits: BudgetLimits, saved: SavedBudget | null, now: number) {
    this.#limits = limits
    this.#cap = new Pace(limits.maxRpm)
    const known = saved && now - saved.at < EXPIRED_MS ? saved.buckets : []
    const buckets = known.map((each) => new Bucket(limits, each))
    for (const bucket of buckets) {
      for (const method of bucket.methods) this.#bucketOf.set(method, bucket)
    }
    this.#first = buckets[0] ?? new Bucket(limits)
  }

  /** When a request may go. */
  nextAt(method: string, now: number): number {
    return Math.max(this.#cap.nextAt(now), this.#bucket(method).nextAt(now))
  }

  /** Until when nothing is left for a method; long ago where something is. */
  emptyUntil(method: string, now: number): number {
    return this.#bucket(method).emptyUntil(now)
  }

  /** When any request may go: after the turns that were taken last, of whichever bucket. */
  restsUntil(now: number): number {
    return Math.max(this.#cap.nextAt(now), ...this.#buckets.map((bucket) => bucket.nextAt(now)))
  }

  /** Nothing goes before this moment, nor more at once then than one. */
  restUntil(moment: number): void {
    this.#cap.restUntil(moment)
    for (const bucket of this.#buckets) bucket.restUntil(moment)
  }

  rpm(method: string): number {
    return Math.min(this.#limits.maxRpm, this.#bucket(method).rpm)
  }

  /** Methods that are counted together are in one lane. */
  laneOf(method: string): unknown {
    return this.#bucket(method)
  }

  sent(method: string, now: number): Sent {
    const bucket = this.#bucket(method)
    this.#cap.take(now)
    bucket.sent(now)
    return { method, at: now, bucket }
  }

  answered(sent: Sent, header: HeaderReader, now: number): void {
    sent.bucket.ended()
    this.#hear(sent, header, now).answered(now)
  }

  refused(sent: Sent, header: HeaderReader, now: number): void {
    sent.bucket.ended()
    this.#hear(sent, header, now).refused(sent.at, now)
  }

  failed(sent: Sent, now: number): void {
    sent.bucket.ended()
    sent.bucket.failed(now)
  }

  /** We gave it up ourselves. */
  dropped(sent: Sent): void {
    sent.bucket.ended()
  }

  save(now: number): SavedBudget {
    return { at: now, buckets: this.#buckets.map((bucket) => bucket.save()) }
  }

  get #buckets(): Bucket[] {
    return [...new Set([this.#first, ...this.#bucketOf.values()])]
  }

  #bucket(method: string): Bucket {
    return this.#bucketOf.get(method) ?? this.#first
  }

  /** @returns the bucket that the host counted the request in */
  #hear({ method }: Sent, header: HeaderReader, now: number): Bucket {
    const current = this.#bucket(method)
    const word = readAdvertised(header, now)
    // Many hosts leave the headers out of some answers: that takes nothing back.
    if (word === null) return current
    if (word === 'nonsense') {
      current.disbelieve()
      return current
    }
    if (!current.matches(word)) {
      current.methods.delete(method)
      const known = this.#buckets.find((each) => each.matches(word))
      // Nobody else's: the host has only begun to tell, or changed its mind.
      const alone = current.methods.size === 0
      const bucket = known ?? (alone ? current : new Bucket(this.#limits))
      if (alone && current === this.#first) this.#first = bucket
      this.#bucketOf.set(method, bucket)
    }
    const bucket = this.#bucket(method)
    bucket.methods.add(method)
    this.#bucketOf.set(method, bucket)
    bucket.heard(word, now)
    return bucket
  }
}
