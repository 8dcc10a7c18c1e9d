import { cooldownUntil, statesWait } from '../atproto/cooldown.js'
import { Budget, type BudgetLimits, type SavedBudget, type Sent } from './budget.js'
import { type Gate, Line, type Passage } from './gate.js'
import {
  GOOD,
  isGood,
  parkedMs,
  type Standing,
  withAnsweredProbe,
  withFailure,
  withRefusal,
  withVainProbe,
} from './standing.js'

/** A request waits for a pause of up to this long. Hosts that say no time mean a minute. */
const PATIENCE_MS = 90_000

/** What is known of a host, as one driver hands it to the next. */
export interface HostKnown {
  readonly standing: Standing
  readonly budget: SavedBudget | null
}

export interface HostGateOptions extends HostKnown {
  readonly limits: BudgetLimits
  /** Nothing passes before this moment (ms since epoch). */
  readonly notBefore: number
  readonly now: () => number
  readonly random: () => number
  /** How long it is parked for the first time. */
  readonly parkMs?: number
  /** Makes what is known durable: called when another driver must know it at once. */
  readonly save: (why: 'cooling' | 'parked' | 'answering') => Promise<void>
}

/**
 * The gate of the one who drives a host. It knows how fast the host may be asked, for how long it wants to be
 * left alone, and how it has behaved lately; every answer teaches it more.
 */
export class HostGate implements Gate {
  readonly patienceMs = PATIENCE_MS
  readonly #options: HostGateOptions
  readonly #budget: Budget
  readonly #line: Line<Sent>
  #standing: Standing
  /** As another driver would find it. */
  #saved: Standing
  #coolUntil: number
  #parkedUntil: number
  #refusedAt = Number.NEGATIVE_INFINITY
  #tried = false

  constructor(options: HostGateOptions) {
    const { limits, budget, standing, notBefore, now } = options
    this.#options = options
    this.#budget = new Budget(limits, budget, now())
    this.#standing = standing
    this.#saved = standing
    this.#coolUntil = notBefore
    this.#budget.restUntil(notBefore)
    this.#parkedUntil = standing.parked ? notBefore : Number.NEGATIVE_INFINITY
    this.#line = new Line<Sent>(
      {
        laneOf: (method) => this.#budget.laneOf(method),
        nextAt: (method) => Math.max(this.heldUntil, this.#budget.nextAt(method, now())),
        hopelessUntil: (method) => this.#hopelessUntil(method),
        take: (method) => this.#budget.sent(method, now()),
      },
      now,
    )
  }

  get nextAt(): number {
    return Math.max(this.heldUntil, this.#budget.restsUntil(this.#options.now()))
  }

  get heldUntil(): number {
    return Math.max(this.#coolUntil, this.#standing.parked ? this.#parkedUntil : Number.NEGATIVE_INFINITY)
  }

  get parked(): boolean {
    return this.#standing.parked
  }

  /** Whether any request came back, one way or the other. */
  get tried(): boolean {
    return this.#tried
  }

  /** Whether there was no good answer since the last bad one. */
  get unanswered(): boolean {
    return !isGood(this.#standing)
  }

  get known(): HostKnown {
    return { standing: this.#standing, budget: this.#budget.save(this.#options.now()) }
  }

  holdUntil(moment: number): void {
    this.#coolUntil = Math.max(this.#coolUntil, moment)
    // All at once after it would be no rate.
    this.#budget.restUntil(moment)
    this.#line.move()
  }

  async pass(signal: AbortSignal, method = ''): Promise<Passage> {
    return this.#passage(await this.#line.wait(method, signal), false)
  }

  passNow(method: string): Passage | null {
    const sent = this.#line.takeNow(method)
    return sent && this.#passage(sent, false)
  }

  /** Lets the one request through that shows whether a parked host answers again. */
  probe(method: string): Passage {
    return this.#passage(this.#budget.sent(method, this.#options.now()), true)
  }

  #passage(sent: Sent, isProbe: boolean): Passage {
    const { now, random, parkMs } = this.#options
    const settle = () => {
      this.#tried = true
      this.#line.move()
    }
    return {
      answered: async (header) => {
        this.#budget.answered(sent, header, now())
        this.#standing = isProbe ? withAnsweredProbe(this.#standing) : GOOD
        settle()
        if (!isGood(this.#saved) || isProbe) await this.#save('answering')
      },
      refused: async (header) => {
        this.#budget.refused(sent, header, now())
        // Those under way together are refused together: that is one refusal.
        const isNew = sent.at > this.#refusedAt
        const { unstated } = this.#standing
        const until = cooldownUntil(header, now(), random(), isNew ? unstated : Math.max(0, unstated - 1))
        if (isNew) {
          this.#refusedAt = now()
          this.#standing = withRefusal(this.#standing, statesWait(header, now()))
        }
        this.#tried = true
        this.holdUntil(until)
        await this.#save('cooling')
        return new Date(until)
      },
      failed: async () => {
        this.#budget.failed(sent, now())
        const was = this.#standing
        this.#standing = isProbe ? withVainProbe(was) : withFailure(was)
        const parks = this.#standing.parkings > was.parkings
        if (parks) this.#parkedUntil = now() + parkedMs(this.#standing.parkings, random(), parkMs)
        settle()
        if (parks) await this.#save('parked')
        return this.parked ? new Date(this.#parkedUntil) : null
      },
      dropped: () => {
        this.#budget.dropped(sent)
        this.#line.move()
      },
    }
  }

  /** A parked host is for its probe alone; a long pause is not waited out in the place that others could have. */
  #hopelessUntil(method: string): number {
    const { now } = this.#options
    if (this.parked) return Math.max(this.#parkedUntil, now() + 1)
    const until = Math.max(this.#coolUntil, this.#budget.emptyUntil(method, now()))
    return until - now() > PATIENCE_MS ? until : Number.NEGATIVE_INFINITY
  }

  async #save(why: 'cooling' | 'parked' | 'answering'): Promise<void> {
    this.#saved = this.#standing
    await this.#options.save(why)
  }
}
