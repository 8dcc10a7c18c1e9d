import type { HeaderReader } from '../atproto/cooldown.js'
import { RateLimited } from '../atproto/outcome.js'

/** What every request to a host passes. */
export interface Gate {
  /** The longest that a request waits where the host wants to be left alone, ms. */
  readonly patienceMs: number
  /** When a request that comes now would pass (ms since epoch). */
  readonly nextAt: number
  /** Until when the host is to be left alone (ms since epoch); may be long ago. */
  readonly heldUntil: number
  /** Holds back every request that has not been let through yet. */
  holdUntil(moment: number): void
  /**
   * Waits for a request's turn.
   * @param method an NSID: a host may count methods apart
   * @throws RateLimited when the host is left alone for longer than a request waits; the signal's reason
   */
  pass(signal: AbortSignal, method?: string): Promise<Passage>
  /** Lets a request through for which there is no waiting: most of them. @returns null where it has to wait */
  passNow(method: string): Passage | null
}

/** A request that was let through: the gate learns from what becomes of it. One of these ends it. */
export interface Passage {
  /** It was answered: anything but a 429 or a host in trouble. */
  answered(header: HeaderReader): Promise<void>
  /** It was refused for the time being. @returns when the host may be asked again */
  refused(header: HeaderReader): Promise<Date>
  /** No answer, or a host in trouble. @returns until when it is left alone, if the host is parked by now */
  failed(): Promise<Date | null>
  /** It was given up on our side. */
  dropped(): void
}

/** Says when a request of the line goes, and takes its turn. Times are ms since epoch. */
export interface Schedule<Turn> {
  /** Requests of different lanes do not wait for each other. */
  laneOf(method: string): unknown
  /** When the next request of a method goes. */
  nextAt(method: string): number
  /** Until when there is no use in waiting in place, for it would take too long; long ago where there is. */
  hopelessUntil(method: string): number
  take(method: string): Turn
}

interface Waiter<Turn> {
  readonly method: string
  readonly resolve: (turn: Turn) => void
  readonly reject: (error: unknown) => void
}

/** So that a moment that is moved, or a clock that is set, is noticed. */
const LOOK_EVERY_MS = 1_000

/** Those who wait for their turn, in the order in which they came. */
export class Line<Turn> {
  readonly #schedule: Schedule<Turn>
  readonly #now: () => number
  readonly #waiting = new Set<Waiter<Turn>>()
  #timer: NodeJS.Timeout | null = null

  constructor(schedule: Schedule<Turn>, now: () => number) {
    this.#schedule = schedule
    this.#now = now
  }

  get length(): number {
    return this.#waiting.size
  }

  /** @returns null where there is somebody before it, or it is not its turn yet */
  takeNow(method: string): Turn | null {
    if (this.#waiting.size > 0) return null
    const from = Math.max(this.#schedule.hopelessUntil(method), this.#schedule.nextAt(method))
    return from <= this.#now() ? this.#schedule.take(method) : null
  }

  wait(method: string, signal: AbortSignal): Promise<Turn> {
    return new Promise((resolve, reject) => {
      if (signal.aborted) return reject(signal.reason)
      const leave = () => {
        this.#waiting.delete(waiter)
        signal.removeEventListener('abort', abort)
      }
      const waiter: Waiter<Turn> = {
        method,
        resolve: (turn) => {
          leave()
          resolve(turn)
        },
        reject: (error) => {
          leave()
          reject(error)
        },
      }
      const abort = () => {
        waiter.reject(signal.reason)
        this.move()
      }
      signal.addEventListener('abort', abort)
      this.#waiting.add(waiter)
      this.move()
    })
  }

  /** Sends everybody away. */
  fail(error: unknown): void {
    for (const waiter of [...this.#waiting]) waiter.reject(error)
  }

  /** Lets through whoever's turn it is; to be called whenever the schedule has changed. */
  move(): void {
    if (this.#timer) clearTimeout(this.#timer)
    this.#timer = null
    const lanes = new Set<unknown>()
    let next = Number.POSITIVE_INFINITY
    for (const waiter of [...this.#waiting]) {
      const { method } = waiter
      const hopeless = this.#schedule.hopelessUntil(method)
      if (hopeless > this.#now()) {
        waiter.reject(new RateLimited(new Date(hopeless)))
        continue
      }
      const lane = this.#schedule.laneOf(method)
      if (lanes.has(lane)) continue
      const at = this.#schedule.nextAt(method)
      if (at <= this.#now()) {
        waiter.resolve(this.#schedule.take(method))
        continue
      }
      // Whoever is behind in the lane waits for this one.
      lanes.add(lane)
      next = Math.min(next, at)
    }
    if (next === Number.POSITIVE_INFINITY) return
    this.#timer = setTimeout(() => this.move(), Math.min(Math.max(next - this.#now(), 1), LOOK_EVERY_MS))
  }
}
