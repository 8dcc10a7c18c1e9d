/**
 * Something that happens again and again, and that any number may wait for. Waiting costs those who are waited for
 * nothing, whereas each `Promise.race` leaves its mark on every promise it was given.
 */
export class Pulse {
  #next = Promise.withResolvers<void>()

  /** Resolves when it happens next. */
  get next(): Promise<void> {
    return this.#next.promise
  }

  beat(): void {
    this.#next.resolve()
    this.#next = Promise.withResolvers()
  }
}
