/** What a relay can be told to do to a listing instead of answering it. */
export type RelayFault =
  | { readonly kind: 'status'; readonly status: number; readonly headers?: Readonly<Record<string, string>> }
  /** The connection is cut before any answer. */
  | { readonly kind: 'reset' }
  /** The page is right but its cursor is the one that was sent; waits for a request that has one. */
  | { readonly kind: 'repeated-cursor' }
  /** No repos, and a cursor that goes on. */
  | { readonly kind: 'empty-page' }

/** Faults that wait for the requests they spoil, in order. */
export class RelayFaults {
  readonly #waiting: { readonly fault: RelayFault; times: number }[] = []
  readonly #fired = new Map<RelayFault['kind'], number>()

  /** @param times requests to spoil; Infinity: until `clear` */
  add(fault: RelayFault, times = 1): void {
    if (times > 0) this.#waiting.push({ fault, times })
  }

  clear(): void {
    this.#waiting.length = 0
  }

  /** How many requests were spoiled: a test of a fault must see that there was one. */
  fired(kind: RelayFault['kind']): number {
    return this.#fired.get(kind) ?? 0
  }

  /** The fault for a request, which it uses up. */
  take(request: { hasCursor: boolean }): RelayFault | null {
    const [next] = this.#waiting
    if (next === undefined) return null
    if (next.fault.kind === 'repeated-cursor' && !request.hasCursor) return null
    next.times -= 1
    if (next.times <= 0) this.#waiting.shift()
    this.#fired.set(next.fault.kind, this.fired(next.fault.kind) + 1)
    return next.fault
  }
}
