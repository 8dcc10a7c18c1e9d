import { layerOf } from './tree.js'

/** Keys on every layer that hand-made trees need. */

export const COLLECTION = 'com.example.thing'

export const TOP_LAYER = 5

const POOL = 30_000

const pool = Array.from(
  { length: POOL },
  (_, index) => `${COLLECTION}/${index.toString(36).padStart(4, '0')}`,
)
const byLayer = Map.groupBy(pool, layerOf)

export interface Between {
  readonly after?: string
  readonly before?: string
}

/** So many ascending keys on a layer. */
export function keysOn(layer: number, count: number, { after = '', before = '~' }: Between = {}): string[] {
  const found = byLayer.get(layer)!.filter((key) => key > after && key < before)
  if (found.length < count) throw new Error(`there are only ${found.length} such keys on layer ${layer}`)
  return found.slice(0, count)
}

/** A key on a layer, with room before and behind it. */
export function keyOn(layer: number): string {
  const keys = byLayer.get(layer)!
  return keys[Math.floor(keys.length / 2)]!
}

/** The first rkey of the form `prefix` and a number whose key is on a layer. */
export function numbered(prefix: string, layer: number): string {
  for (let number = 0; ; number++) if (layerOf(prefix + number) === layer) return prefix + number
}
