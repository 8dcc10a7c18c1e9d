import { mix } from './random.js'
import { type ContentOf, contentOf, countOf, isSelf, rkeyOf } from './record-content.js'

/**
 * How a repo changes. Each edition after the first one adds a few records to each collection that there is, changes
 * some and drops some: a function of the world's seed, like all that stands in a repo.
 */

/** Records that an edition adds to a collection. */
const ADDED = 2

/** Of so many records an edition drops one, and changes another. */
const TOUCHED_EVERY = 9

export interface Item {
  readonly rkey: string
  readonly value: Record<string, unknown>
}

/** The records of a collection in an edition, by ascending key. @param at which collection, by its place */
export function* itemsOf(world: ContentOf, repo: number, at: number, edition: number): Generator<Item> {
  const first = countOf(world, repo, at)
  // A relay need not hear of a collection that somebody begins.
  const added = first === 0 || isSelf(world, at) ? 0 : ADDED * edition
  for (let index = 0; index < first + added; index++) {
    const born = index < first ? 0 : 1 + Math.floor((index - first) / ADDED)
    const variant = variantOf(world.seed, [repo, at, index], born, edition)
    if (variant === null) continue
    yield { rkey: rkeyOf(world, repo, at, index), value: contentOf(world, repo, at, index, variant) }
  }
}

/** The edition that changed a record last; null where one has dropped it. */
function variantOf(seed: number, place: readonly number[], born: number, edition: number): number | null {
  let variant = 0
  for (let each = born + 1; each <= edition; each++) {
    const fate = mix(seed, ...place, each, 11) % TOUCHED_EVERY
    if (fate === 0) return null
    if (fate === 1) variant = each
  }
  return variant
}
