import { hash } from 'node:crypto'

/** Keys of the tree: a collection, a slash, a record key. All are ASCII, so text sorts as bytes do. */

/** A part of the tree: from one key on, up to and without another. */
export interface KeyRange {
  readonly from: string
  readonly to: string
}

/** Stands before every key, and after every one. */
export const BEFORE_KEYS = ''
export const AFTER_KEYS = '\x7f'

const EVERYTHING: readonly KeyRange[] = [{ from: BEFORE_KEYS, to: AFTER_KEYS }]

/** On which layer of the tree a key belongs, counted from the leaves: half the zero bits that its hash begins with. */
export function layerOf(key: string): number {
  const digest = hash('sha256', key, 'binary')
  for (let index = 0; index < digest.length; index += 1) {
    const byte = digest.charCodeAt(index)
    if (byte !== 0) return 4 * index + ((Math.clz32(byte) - 24) >> 1)
  }
  return 4 * digest.length
}

/**
 * The parts of the tree that hold these collections, in order and apart from one another.
 * @param collections NSIDs, or prefixes such as `app.bsky.graph.*`; null stands for every collection
 */
export function rangesOf(collections: readonly string[] | null): KeyRange[] {
  if (collections === null) return [...EVERYTHING]
  // The dot, the slash and the digit zero stand next to one another.
  const ranges = collections.map((pattern) =>
    pattern.endsWith('.*')
      ? { from: pattern.slice(0, -1), to: `${pattern.slice(0, -2)}/` }
      : { from: `${pattern}/`, to: `${pattern}0` },
  )
  ranges.sort((one, other) => (one.from < other.from ? -1 : one.from > other.from ? 1 : 0))
  const apart: KeyRange[] = []
  for (const range of ranges) {
    const before = apart.at(-1)
    if (before === undefined || range.from > before.to) apart.push(range)
    else if (range.to > before.to) apart[apart.length - 1] = { from: before.from, to: range.to }
  }
  return apart
}
