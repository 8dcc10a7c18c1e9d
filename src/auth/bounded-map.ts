/**
 * Sets `key` as the newest entry and drops the oldest ones above `entriesMax`. A Map keeps its insertion
 * order, which is all that a small LRU needs.
 */
export function setBounded<Key, Value>(
  map: Map<Key, Value>,
  key: Key,
  value: Value,
  entriesMax: number,
): void {
  map.delete(key)
  map.set(key, value)
  for (const oldest of map.keys()) {
    if (map.size <= entriesMax) return
    map.delete(oldest)
  }
}
