import { Random } from './random.js'
import type { RateLimit } from './rate-limit.js'

/** A simulated PDS, as it is however long the simulation runs. */
export interface HostProfile {
  readonly index: number
  /** Its accounts are those of the slots from here on. */
  readonly firstSlot: number
  readonly slots: number
  /** Before each answer, ms. */
  readonly latencyMs: number
  /** Null: it answers whatever it is asked. */
  readonly limit: RateLimit | null
  /** Methods that it does not offer. */
  readonly lacks: readonly string[]
}

export interface HostOptions {
  /** 0: all hosts are alike. The larger, the more accounts the first ones have. */
  readonly skew: number
  readonly latencyMs: number | ((random: Random) => number)
  readonly limit: RateLimit | null | ((index: number, random: Random) => RateLimit | null)
  /** Methods that a host does not offer. */
  readonly lacks?: (index: number) => readonly string[]
}

/** Shares the accounts out among hosts: a few get most of them, and every host at least one. */
export function hostProfiles(
  seed: number,
  hosts: number,
  repos: number,
  options: HostOptions,
): HostProfile[] {
  if (hosts < 1 || repos < hosts) throw new RangeError('a host has one account at least')
  const weights = Array.from({ length: hosts }, (_, index) => (index + 1) ** -options.skew)
  const sum = weights.reduce((total, weight) => total + weight, 0)
  const sizes = weights.map((weight) => 1 + Math.floor((weight / sum) * (repos - hosts)))
  sizes[0]! += repos - sizes.reduce((total, size) => total + size, 0)
  let firstSlot = 0
  return sizes.map((slots, index) => {
    const random = new Random(seed, index, 5)
    const { latencyMs, limit, lacks } = options
    const profile = {
      index,
      firstSlot,
      slots,
      latencyMs: typeof latencyMs === 'function' ? latencyMs(random) : latencyMs,
      limit: typeof limit === 'function' ? limit(index, random) : limit,
      lacks: lacks?.(index) ?? [],
    }
    firstSlot += slots
    return profile
  })
}

/** The host of a slot. */
export function hostOfSlot(profiles: readonly HostProfile[], slot: number): number {
  let [low, high] = [0, profiles.length - 1]
  while (low < high) {
    const middle = (low + high + 1) >> 1
    if (profiles[middle]!.firstSlot <= slot) low = middle
    else high = middle - 1
  }
  return low
}
