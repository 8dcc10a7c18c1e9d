import { isPrefix, matchesCollection, wantedCollections } from './scope.js'

/** What a receipt that was written for one wish says for another. */

/**
 * Whether a scope holds all that a wish asks for. Each pattern must be held by a single one: of a prefix and names
 * below it nobody knows that they are all there is.
 * @param scope NSIDs and prefixes as a receipt's scope has them; empty for every collection
 * @param wanted NSIDs and prefixes; null for every collection
 */
export function coversWish(scope: readonly string[], wanted: readonly string[] | null): boolean {
  if (scope.length === 0) return true
  if (wanted === null) return false
  // A prefix matches the prefixes below it as it does names: the asterisk counts as a segment like any other.
  return wanted.every((pattern) => scope.some((held) => matchesCollection(held, pattern)))
}

/**
 * The counts that a receipt gives for a wish: those of the collections wanted, and none for a collection that is
 * wanted by name and not there.
 * @param scope as above
 * @param counts records per collection of the receipt
 * @returns null when the receipt does not hold all that is wanted
 */
export function coveredCounts(
  scope: readonly string[],
  counts: Readonly<Record<string, number>>,
  wanted: readonly string[] | null,
): Record<string, number> | null {
  if (!coversWish(scope, wanted)) return null
  const named = (wanted ?? []).filter((pattern) => !isPrefix(pattern))
  const collections = [...new Set([...named, ...wantedCollections(wanted, Object.keys(counts))])].sort()
  return Object.fromEntries(collections.map((nsid) => [nsid, counts[nsid] ?? 0]))
}
