/**
 * Something that happens again and again, and that any number may wait for. Waiting costs those who are waited for
 * nothing, whereas each `Promise.race` leaves its mark on every promise it was given.
 */
export class Pulse {
  /** For those who wait, if there are any: mostly there are none. */
  #next: PromiseWithResolvers<void> | null = null

  /** Resolves when it happens next. */
  get next(): Promise<void> {
    this.#next ??= Promise.withResolvers()
    return this.#next.promise
  }

  beat(): void {
    this.#next?.resolve()
    this.#next = null
  }
}
