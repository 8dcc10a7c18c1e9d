/** What a body may have without holding a share. Most bodies are smaller. */
export const FREE_BYTES = 64 * 1024

/** What one body has of the budget, which alone changes it. */
export interface BodyShare {
  readonly maxBytes: number
  /** How large the body may be by now. */
  bytes: number
  /** How large it is to be when there is room, and who is told then. */
  waiting: { readonly bytes: number; readonly onRoom: () => void } | null
}

/**
 * How much of bodies is in memory at a time. A body that outgrows what is free holds a share, which doubles with the
 * body; where there is no room for that, whoever sends it waits. The one that came first of those may always go on,
 * beyond the budget if need be: otherwise many that are half read could wait for each other.
 */
export class BodyBudget {
  readonly #maxBytes: number
  /** All that hold a share or wait for one, in the order in which they came. */
  readonly #line = new Set<BodyShare>()
  #taken = 0

  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes
  }

  /** Bytes of all shares. */
  get taken(): number {
    return this.#taken
  }

  /** @param maxBytes the most that the body may be */
  share(maxBytes: number): BodyShare {
    return { maxBytes, bytes: FREE_BYTES, waiting: null }
  }

  /**
   * Asks for so much of a body in all.
   * @param onRoom told when there is room for it, if there is none now
   * @returns whether it may have that at once
   */
  take(share: BodyShare, bytes: number, onRoom: () => void): boolean {
    this.#line.add(share)
    share.waiting = { bytes, onRoom }
    return this.#grant(share)
  }

  /** The body is dealt with, or given up. */
  end(share: BodyShare): void {
    if (!this.#line.delete(share)) return
    this.#taken -= share.bytes - FREE_BYTES
    share.waiting = null
    this.#letOn()
  }

  /** @returns whether there is room for what it waits for */
  #grant(share: BodyShare): boolean {
    const { waiting, bytes, maxBytes } = share
    if (waiting === null) return true
    const wanted = Math.max(waiting.bytes, Math.min(2 * bytes, maxBytes))
    const more = Math.max(0, wanted - bytes)
    const [first] = this.#line
    if (share !== first && this.#taken + more > this.#maxBytes) return false
    share.bytes += more
    share.waiting = null
    this.#taken += more
    return true
  }

  #letOn(): void {
    const granted: (() => void)[] = []
    for (const share of this.#line) {
      const { waiting } = share
      if (waiting !== null && this.#grant(share)) granted.push(waiting.onRoom)
    }
    // Not before all is counted: whoever is told may ask for more at once, or end.
    for (const onRoom of granted) onRoom()
  }
}
