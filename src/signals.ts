/**
 * A signal that is aborted as soon as one of several is. To be disposed of: it then lets go of them.
 * `AbortSignal.any` has no such end, and keeps a little of every call for as long as its longest-lived source lives.
 */
export class AnySignal implements Disposable {
  readonly #own = new AbortController()
  readonly #sources: readonly AbortSignal[]
  readonly #abort = (event: Event) => this.#own.abort((event.target as AbortSignal).reason)

  constructor(...sources: AbortSignal[]) {
    this.#sources = sources
    const aborted = sources.find((source) => source.aborted)
    if (aborted) this.#own.abort(aborted.reason)
    else for (const source of sources) source.addEventListener('abort', this.#abort, { once: true })
  }

  get signal(): AbortSignal {
    return this.#own.signal
  }

  [Symbol.dispose](): void {
    for (const source of this.#sources) source.removeEventListener('abort', this.#abort)
  }
}
