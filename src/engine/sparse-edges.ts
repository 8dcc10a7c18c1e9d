import { isPrefix } from '../jobs/scope.js'

/** A record that can be asked for at an edge of what is wanted, whether there is one or not. */
export interface Edge {
  readonly key: string
  readonly collection: string
  readonly rkey: string
}

/** Hardly a record key comes before this one, or after that. */
const FIRST_RKEY = '-'
const LAST_RKEY = '~'

/** The last part of an NSID has letters and digits only, and begins with a letter. */
const FIRST_NAME = 'A'
const LAST_NAME = 'zzzzzzzz'

/** The edges of what is wanted, by their keys; at least one. Whether they are quite at the edge, no proof depends on. */
export function edgesOf(collections: readonly string[] | null): readonly Edge[] {
  if (collections === null) return [edgeOf(`a.a.${FIRST_NAME}`, FIRST_RKEY)]
  const edges = collections.flatMap((pattern) => {
    const [first, last] = isPrefix(pattern) ? [FIRST_NAME, LAST_NAME] : ['', '']
    const stem = isPrefix(pattern) ? pattern.slice(0, -1) : pattern
    return [edgeOf(stem + first, FIRST_RKEY), edgeOf(stem + last, LAST_RKEY)]
  })
  return edges.sort((one, other) => (one.key < other.key ? -1 : 1))
}

const edgeOf = (collection: string, rkey: string): Edge => ({
  key: `${collection}/${rkey}`,
  collection,
  rkey,
})
