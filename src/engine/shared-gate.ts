import { setTimeout as sleep } from 'node:timers/promises'
import { cooldownUntil, statesWait } from '../atproto/cooldown.js'
import type { Db } from '../store/database.js'
import { takeTurns } from '../store/hosts.js'
import { type Gate, Line, type Passage } from './gate.js'
import { secondsWorth } from './pace.js'

export interface SharedGateOptions {
  readonly db: Db
  readonly host: number
  /** Requests a minute, of all processes together; may change. */
  readonly rpm: () => number
  readonly patienceMs: number
  readonly now: () => number
  readonly random: () => number
}

/** Turns that nobody used are worth nothing after this: all at once they would be too many. */
const STALE_MS = 1_000

/** How long before turns may be had there is another look, and how often at least, ms. */
const LOOK_AHEAD_MS = 500
const LOOK_EVERY_MS = 1_000
const LOOK_EVERY_MS_MIN = 20

/**
 * The gate of a host that nobody drives alone: the directory, a relay. Turns are taken in the database, in
 * portions of a second's worth at most and never more than there are requests waiting, so that all processes
 * together keep one rate. One that dies wastes the portion it had in hand.
 */
export class SharedGate implements Gate {
  /** The host, as a row. */
  readonly host: number
  readonly #options: SharedGateOptions
  readonly #line: Line<null>
  /** Turns in hand, the next one first (ms since epoch). */
  #turns: number[] = []
  /** The last turn that was in hand, or as far as turns are known to be somebody else's. */
  #takenUntil = Number.NEGATIVE_INFINITY
  #heldUntil = Number.NEGATIVE_INFINITY
  #unstated = 0
  #refusedAt = Number.NEGATIVE_INFINITY
  #taking = false

  constructor(options: SharedGateOptions) {
    const { now } = options
    this.host = options.host
    this.#options = options
    this.#line = new Line<null>(
      {
        laneOf: () => null,
        nextAt: () => this.#turns[0] ?? Number.POSITIVE_INFINITY,
        hopelessUntil: () =>
          this.#heldUntil - now() > this.patienceMs ? this.#heldUntil : Number.NEGATIVE_INFINITY,
        take: () => {
          this.#turns.shift()
          // Those behind this one need turns, too; by then it has left the line.
          queueMicrotask(() => void this.#takeTurns())
          return null
        },
      },
      now,
    )
  }

  get patienceMs(): number {
    return this.#options.patienceMs
  }

  get #intervalMs(): number {
    return 60_000 / this.#options.rpm()
  }

  get nextAt(): number {
    const from = Math.max(this.#takenUntil, this.#options.now() - this.#intervalMs, this.#heldUntil)
    const behind = Math.max(0, this.#line.length - this.#turns.length)
    return Math.max(from + (behind + 1) * this.#intervalMs, this.#heldUntil)
  }

  get heldUntil(): number {
    return this.#heldUntil
  }

  holdUntil(moment: number): void {
    this.#heldUntil = Math.max(this.#heldUntil, moment)
    // All at once after it would be no rate.
    this.#turns = this.#turns.filter((turn) => turn >= this.#heldUntil)
    this.#line.move()
    void this.#takeTurns()
  }

  async pass(signal: AbortSignal): Promise<Passage> {
    const { now, random } = this.#options
    this.#turns = this.#turns.filter((turn) => turn > now() - STALE_MS)
    const waited = this.#line.wait('', signal)
    void this.#takeTurns()
    await waited
    const sentAt = now()
    return {
      answered: async () => {
        this.#unstated = 0
      },
      refused: async (header) => {
        const isNew = sentAt > this.#refusedAt
        const before = isNew ? this.#unstated : Math.max(0, this.#unstated - 1)
        const until = cooldownUntil(header, now(), random(), before)
        if (isNew) this.#refusedAt = now()
        if (isNew && !statesWait(header, now())) this.#unstated += 1
        this.holdUntil(until)
        return new Date(until)
      },
      failed: async () => null,
      dropped: () => {},
    }
  }

  /** Turns are asked of the database by those who wait. */
  passNow(): null {
    return null
  }

  /** Takes turns for those who wait, until each has one. Never rejects: they are told. */
  async #takeTurns(): Promise<void> {
    if (this.#taking) return
    this.#taking = true
    const { db, host, rpm, now } = this.#options
    const intervalMs = this.#intervalMs
    const burst = secondsWorth(rpm())
    try {
      for (;;) {
        const held = this.#heldUntil - now() - LOOK_AHEAD_MS
        if (held > 0 && this.#line.length > 0) {
          await sleep(Math.min(held, LOOK_EVERY_MS))
          continue
        }
        const turns = Math.min(this.#line.length, burst) - this.#turns.length
        if (turns <= 0) break
        const { granted, inMs, heldMs } = await takeTurns(db, host, { turns, intervalMs, burst })
        const first = now() + inMs
        if (heldMs > 0) this.holdUntil(now() + heldMs)
        this.#takenUntil = granted ? first + (turns - 1) * intervalMs : first - intervalMs
        const granting = Array.from({ length: granted ? turns : 0 }, (_, n) => first + n * intervalMs)
        // A pause may have come while the database was asked.
        this.#turns.push(...granting.filter((turn) => turn >= this.#heldUntil))
        this.#line.move()
        if (!granted) await sleep(Math.max(LOOK_EVERY_MS_MIN, Math.min(inMs - LOOK_AHEAD_MS, LOOK_EVERY_MS)))
      }
    } catch (error) {
      this.#line.fail(error)
    } finally {
      this.#taking = false
    }
  }
}
