/** Numbers that look random and are the same for the same seed. */

/** One number of 32 bits from several, so that close ones give far ones (murmur3's finalizer). */
export function mix(...parts: readonly number[]): number {
  let hash = 0x9e3779b9
  for (const part of parts) {
    hash = Math.imul(hash ^ (part | 0), 0x85ebca6b)
    hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35)
    hash ^= hash >>> 16
  }
  return hash >>> 0
}

/** A generator (mulberry32). */
export class Random {
  #state: number

  /** @param seeds the same numbers in the same order give the same generator */
  constructor(...seeds: readonly number[]) {
    this.#state = mix(...seeds)
  }

  /** From 0 to 1, without 1. */
  next(): number {
    this.#state = (this.#state + 0x6d2b79f5) | 0
    let mixed = Math.imul(this.#state ^ (this.#state >>> 15), 1 | this.#state)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296
  }

  /** A whole number from 0 to `end`, without `end`. */
  below(end: number): number {
    return Math.floor(this.next() * end)
  }

  chance(probability: number): boolean {
    return this.next() < probability
  }

  pick<T>(list: readonly T[]): T {
    return list[this.below(list.length)]!
  }

  /** Normally distributed around 0 with a deviation of 1 (Box and Muller). */
  normal(): number {
    return Math.sqrt(-2 * Math.log(1 - this.next())) * Math.cos(2 * Math.PI * this.next())
  }
}

/** A permutation of the numbers below `size` that needs no table. */
export class Permutation {
  readonly #size: number
  readonly #factor: number
  readonly #inverse: number
  readonly #offset: number

  constructor(size: number, seed: number) {
    this.#size = size
    // Far from 1, so that neighbours part; the product of two numbers below a few million is exact.
    let factor = Math.max(1, Math.floor(size * 0.618) + (mix(seed) % 1_000)) % Math.max(size, 1)
    while (divisor(factor, size) !== 1) factor = (factor + 1) % size
    this.#factor = factor
    this.#inverse = inverseOf(factor, size)
    this.#offset = mix(seed, 1) % size
  }

  of(number: number): number {
    return (number * this.#factor + this.#offset) % this.#size
  }

  /** The number whose image is given. */
  origin(image: number): number {
    return (((image - this.#offset + this.#size) % this.#size) * this.#inverse) % this.#size
  }
}

function divisor(a: number, b: number): number {
  return b === 0 ? a : divisor(b, a % b)
}

/** By Euclid's algorithm; 0 where there is but one number. */
function inverseOf(factor: number, size: number): number {
  let [before, now, left, right] = [0, 1, size, factor]
  while (right > 1) {
    const times = Math.floor(left / right)
    ;[before, now] = [now, before - times * now]
    ;[left, right] = [right, left % right]
  }
  return ((now % size) + size) % size
}
