import { mix, Random } from './random.js'
import { tidAt } from './tid.js'

/** What stands in a repo: a function of the world's seed, of the repo and of the collection, and of nothing else. */

/** How many records a repo has of a collection. */
export type RepoSize = 'tiny' | 'skewed' | number | ((random: Random, collection: number) => number)

/** How likely a repo has records of the first collection, of the second and so on, where sizes are skewed. */
const SHARES = [0.95, 0.6, 0.3, 0.1]

/** The last of several collections has one record at most, under a key that is no TID. */
const SELF = 'self'

const SKEWED_MAX = 2_000

/** 1 January 2023, µs. */
const EPOCH_MICROS = 1_672_531_200_000_000
const DAY_MICROS = 86_400_000_000
const STEP_MICROS = 61_000_000

/** Every record key is older than this many days after the repo's beginning; so is no rev. */
const REV_AFTER_DAYS = 300

export interface ContentOf {
  readonly seed: number
  readonly size: RepoSize
  readonly collections: readonly string[]
}

/** @param at which collection, by its place among the world's */
export function countOf(world: ContentOf, repo: number, at: number): number {
  const random = new Random(world.seed, repo, at, 1)
  const { size, collections } = world
  if (typeof size === 'function') return size(random, at)
  if (typeof size === 'number') return at === 0 ? size : 0
  if (size === 'tiny') return at === 0 ? 1 + random.below(3) : 0
  if (!random.chance(SHARES[at] ?? 0.1)) return 0
  if (at > 0 && at === collections.length - 1) return 1
  return Math.min(SKEWED_MAX, Math.ceil(Math.exp(2 + 1.3 * random.normal())))
}

/** Whether a collection has one record at most. */
export function isSelf({ size, collections }: ContentOf, at: number): boolean {
  return size === 'skewed' && at > 0 && at === collections.length - 1
}

export function rkeyOf(world: ContentOf, repo: number, at: number, index: number): string {
  if (isSelf(world, at)) return SELF
  const random = mix(world.seed, repo, at, index, 2)
  return tidAt(beginning(world, repo) + index * STEP_MICROS + (random % STEP_MICROS), at)
}

export function revOf(world: ContentOf, repo: number, version = 0): string {
  return tidAt(beginning(world, repo) + (REV_AFTER_DAYS + version) * DAY_MICROS, 9)
}

function beginning({ seed }: ContentOf, repo: number): number {
  return EPOCH_MICROS + (mix(seed, repo, 3) % 365) * DAY_MICROS
}

const WORDS =
  'aquifer brook creek delta estuary ford geyser harbour inlet lagoon mouth naïve ocean pond 川 river spring tide 🌊 well'.split(
    ' ',
  )

/**
 * A record in its JSON form, with every kind of value that atproto data has in one of them or another.
 * @param variant another one whenever the record has been changed
 */
export function contentOf(
  world: ContentOf,
  repo: number,
  at: number,
  index: number,
  variant = 0,
): Record<string, unknown> {
  const random = new Random(world.seed, repo, at, index, 4, ...(variant > 0 ? [variant] : []))
  const value: Record<string, unknown> = {
    $type: world.collections[at]!,
    text: Array.from({ length: 1 + random.below(12) }, () => random.pick(WORDS)).join(' '),
    createdAt: new Date((beginning(world, repo) + index * STEP_MICROS) / 1_000).toISOString(),
  }
  const kind = random.below(10)
  if (kind === 0) value.link = { $link: SOME_CID }
  if (kind === 1) value.bytes = { $bytes: Buffer.from(`${index}`).toString('base64').replaceAll('=', '') }
  if (kind === 2) value.tags = [random.below(1_000), -random.below(70_000), null, true, [], {}]
  if (kind === 3) value.far = random.below(2) === 0 ? Number.MAX_SAFE_INTEGER : Number.MIN_SAFE_INTEGER
  return value
}

/** Of an empty map. */
const SOME_CID = 'bafyreigbtj4x7ip5legnfznufuopl4sg4knzc2cof6duas4b3q2fy6swua'
