import { isDeepStrictEqual } from 'node:util'

interface Item {
  readonly uri: string
}

/** The most that is said of one kind of difference. */
const SHOWN = 5

/** How a list differs from what it should be, by URI: in a few lines, however many there are. */
export function differencesOf(what: string, are: readonly Item[], should: readonly Item[]): string[] {
  const wanted = new Map(should.map((item) => [item.uri, item]))
  const seen = new Map<string, Item>()
  const twice: string[] = []
  const wrong: string[] = []
  for (const item of are) {
    if (seen.has(item.uri)) twice.push(item.uri)
    seen.set(item.uri, item)
    const right = wanted.get(item.uri)
    if (right && !isDeepStrictEqual(item, right)) {
      wrong.push(`${JSON.stringify(item)} instead of ${JSON.stringify(right)}`)
    }
  }
  const missing = [...wanted.keys()].filter((uri) => !seen.has(uri))
  const extra = [...seen.keys()].filter((uri) => !wanted.has(uri))
  return [
    ...some(`${what}, but missing`, missing),
    ...some(`${what}, though it should not be`, extra),
    ...some(`${what} twice`, twice),
    ...some(`${what}, but otherwise`, wrong),
  ]
}

function some(what: string, list: readonly string[]): string[] {
  if (list.length === 0) return []
  const more = list.length > SHOWN ? [`and ${list.length - SHOWN} more`] : []
  return [`${what} (${list.length}): ${[...list.slice(0, SHOWN), ...more].join('; ')}`]
}
