import { type Bytes, type CidLink, decode, fromBytes } from '@atcute/cbor'
import * as cids from '@atcute/cid'
import type { RecordView } from '../../codegen/client/types/network/example/backfill/defs.js'

/** What a relay tells of an account, as far as it concerns records. All come in the order of their `seq`. */
export type RelayEvent = { readonly seq: number; readonly did: string } & (
  | {
      readonly type: 'commit'
      readonly rev: string
      /** What it changes in the collections that were asked for; null if it does not say: read the repo again. */
      readonly changes: readonly RecordChange[] | null
    }
  | {
      /** The repo is not what its commits have made of it: unless it is empty, read it again. */
      readonly type: 'sync'
      readonly rev: string
      readonly isEmpty: boolean
    }
  | { readonly type: 'account'; readonly active: boolean; readonly status?: string }
  | { readonly type: 'identity'; readonly handle?: string }
)

/** A record as a commit has written it; without a CID and a value where it is deleted. */
export type RecordChange = Readonly<Partial<Pick<RecordView, 'cid' | 'value'>> & Pick<RecordView, 'uri'>>

/**
 * Reads an event of `com.atproto.sync.subscribeRepos`. Pure.
 * @returns null for a kind that says nothing of records
 */
export function relayEventIn(
  name: string,
  body: Readonly<Record<string, unknown>>,
  collections: readonly string[] | undefined,
): RelayEvent | null {
  const { seq, rev, did, active, status, handle, blocks } = body as unknown as Body
  switch (name) {
    case 'commit':
      return { type: 'commit', seq, did: body.repo as string, rev, changes: changesIn(body, collections) }
    case 'sync':
      return { type: 'sync', seq, did, rev, isEmpty: isEmptyRepo(blocks) }
    case 'account':
      return { type: 'account', seq, did, active, ...(status && { status }) }
    case 'identity':
      return { type: 'identity', seq, did, ...(handle && { handle }) }
    default:
      return null
  }
}

/** Fields of the events, by their lexicon; each kind has some. */
interface Body {
  readonly seq: number
  readonly rev: string
  readonly did: string
  readonly active: boolean
  readonly status?: string
  readonly handle?: string
  readonly blocks: Bytes
}

interface Commit {
  readonly repo: string
  readonly tooBig: boolean
  readonly ops: readonly { readonly action: string; readonly path: string; readonly cid: CidLink | null }[]
  readonly blocks: Bytes
}

/** What a commit changes; null if it does not say, or nobody can read it. */
function changesIn(body: object, collections: readonly string[] | undefined): RecordChange[] | null {
  const { repo, tooBig, ops, blocks } = body as Commit
  if (tooBig) return null
  try {
    const wanted = ops.filter(({ path }) => collections?.includes(path.split('/')[0]!) ?? true)
    if (wanted.length === 0) return []
    const records = readCar(fromBytes(blocks))
    return wanted.map(({ action, path, cid }) => {
      const uri = `at://${repo}/${path}`
      if (action === 'delete') return { uri }
      const { $link } = cid!
      return { uri, cid: $link, value: decode(records.get($link)!) as Record<string, unknown> }
    })
  } catch {
    return null
  }
}

/** The root of the tree of a repo without records. */
const EMPTY_TREE = 'bafyreie5737gdxlw5i64vzichcalba3z2v5n6icifvx5xytvske7mr3hpm'

/** Whether the only block of a `#sync`, the repo's commit, is that of an empty repo, as new accounts have it. */
function isEmptyRepo(blocks: Bytes): boolean {
  try {
    const [commit] = readCar(fromBytes(blocks)).values()
    return commit !== undefined && decode(commit).data.$link === EMPTY_TREE
  } catch {
    return false
  }
}

/** The blocks of a CAR by CID. It has a header and then the blocks, each behind its CID, and each with its length. */
function readCar(car: Uint8Array): Map<string, Uint8Array> {
  const blocks = new Map<string, Uint8Array>()
  let [start, end] = section(car, 0)
  while (end < car.length) {
    ;[start, end] = section(car, end)
    const [cid, block] = cids.decodeFirst(car.subarray(start, end))
    blocks.set(cids.toString(cid), block)
  }
  return blocks
}

/** Where a part of a CAR begins and ends: its length comes first, seven bits to a byte. */
function section(car: Uint8Array, at: number): [start: number, end: number] {
  let start = at
  let length = 0
  for (let scale = 1; ; scale *= 0x80) {
    const byte = car[start]
    if (byte === undefined) throw new Error('a CAR is cut off')
    start += 1
    length += scale * (byte & 0x7f)
    if (byte < 0x80) return [start, start + length]
  }
}
