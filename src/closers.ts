/** What was opened, to be closed in the opposite order. */
export class Closers {
  readonly #closers: (() => Promise<void> | void)[] = []

  add(close: () => Promise<void> | void): void {
    this.#closers.push(close)
  }

  use<T extends AsyncDisposable>(resource: T): T {
    this.add(async () => resource[Symbol.asyncDispose]())
    return resource
  }

  /** Closes everything, also when one of the closers fails; then throws the first failure. */
  async close(): Promise<void> {
    const failures: unknown[] = []
    for (let close = this.#closers.pop(); close; close = this.#closers.pop()) {
      try {
        await close()
      } catch (error) {
        failures.push(error)
      }
    }
    if (failures.length > 0) throw failures[0]
  }
}
