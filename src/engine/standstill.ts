import { SpoolTrouble } from '../atproto/repo/spool.js'
import type { Tell } from '../events.js'
import { pause } from '../pause.js'
import { isConnectionLost, isDatabaseTrouble } from '../store/trouble.js'

/** The pauses between looks whether all is well again double from the first to the longest, ms. */
const FIRST_LOOK_MS = 250
const LAST_LOOK_MS = 15_000

/** Trouble that comes back so soon was not over, ms. */
const WELL_MS = 60_000

/** Why the engine has to stand still after an error of its database; null where that is no reason to. */
export function databaseTrouble(error: unknown): string | null {
  if (!isDatabaseTrouble(error)) return null
  return isConnectionLost(error) ? 'the database cannot be reached' : 'the database takes nothing in'
}

const NO_ROOM: ReadonlySet<unknown> = new Set(['ENOSPC', 'EDQUOT'])

/** Why no host is to be driven after an error of the files that whole repos are kept in; null as above. */
export function spoolTrouble(error: unknown): string | null {
  if (!(error instanceof SpoolTrouble)) return null
  const { code } = (error.cause ?? {}) as { code?: unknown }
  return NO_ROOM.has(code) ? 'SPOOL_DIR is full' : 'SPOOL_DIR cannot be used'
}

export interface StandstillOptions {
  /** Why an error is one to stand still for, for people; null where it is not. */
  readonly reason: (error: unknown) => string | null
  /** Writes something; rejects while that cannot be done. */
  readonly look: () => Promise<unknown>
  readonly tell: Tell
  readonly now: () => number
  /** The first pause before a look, ms. */
  readonly firstLookMs?: number | undefined
}

/**
 * The engine stands still while its database cannot be reached, or takes nothing in: whatever is under way ends at
 * its next write, and nothing new is begun that hosts would be asked for in vain. While there is no room for the
 * files of whole repos, hosts are not driven. It goes on by itself.
 */
export class Standstill {
  readonly #options: StandstillOptions
  #why: string | null = null
  #over: Promise<void> = Promise.resolve()
  readonly #firstLookMs: number
  #pauseMs: number
  #wellSince = Number.NEGATIVE_INFINITY

  constructor(options: StandstillOptions) {
    this.#options = options
    this.#firstLookMs = options.firstLookMs ?? FIRST_LOOK_MS
    this.#pauseMs = this.#firstLookMs
  }

  /** Why the engine stands still; null while it does not. */
  get why(): string | null {
    return this.#why
  }

  /**
   * To be told of whatever went wrong.
   * @param signal of the engine: it does not look any more when that is aborted
   * @returns whether it is trouble of the kind that this is for
   */
  notice(error: unknown, signal: AbortSignal): boolean {
    const { reason, tell, now } = this.#options
    const why = reason(error)
    if (why === null) return false
    if (this.#why !== null || signal.aborted) return true
    this.#why = why
    if (now() - this.#wellSince > WELL_MS) this.#pauseMs = this.#firstLookMs
    tell('engine.halted', { why, err: error })
    this.#over = this.#untilWell(signal)
    return true
  }

  /** Waits until the engine may go on, or is to stop. */
  async over(): Promise<void> {
    await this.#over
  }

  async #untilWell(signal: AbortSignal): Promise<void> {
    while (await pause(this.#pauseMs, signal)) {
      this.#pauseMs = Math.min(2 * this.#pauseMs, LAST_LOOK_MS)
      try {
        await this.#options.look()
      } catch {
        continue
      }
      this.#why = null
      this.#wellSince = this.#options.now()
      this.#options.tell('engine.resumed')
      return
    }
  }
}
