/**
 * Whose turn it is: callers take turns, and the jobs of one caller among themselves. So a small job is not behind
 * somebody else's large one, nor does a caller get more by cutting its work into many jobs.
 */
export class Turns<Item> {
  /** Callers in the order of their next turns, each with its items in the order of theirs. */
  readonly #callers = new Map<string, Item[]>()

  add(caller: string, item: Item): void {
    this.#callers.set(caller, [...(this.#callers.get(caller) ?? []), item])
  }

  remove(item: Item): void {
    for (const [caller, items] of this.#callers) {
      const left = items.filter((each) => each !== item)
      if (left.length === 0) this.#callers.delete(caller)
      else if (left.length < items.length) this.#callers.set(caller, left)
    }
  }

  /** Whoever is next; its turn after this one comes when all others have had theirs. */
  next(): Item | undefined {
    const [first] = this.#callers
    if (first === undefined) return undefined
    const [caller, [item, ...others]] = first
    // Set anew, a caller goes to the end of the map.
    this.#callers.delete(caller)
    this.#callers.set(caller, [...others, item!])
    return item
  }
}
