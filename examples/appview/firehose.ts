import { type Bytes, type CidLink, decode, decodeFirst, fromBytes } from '@atcute/cbor'
import * as cids from '@atcute/cid'

/** Events of `com.atproto.sync.subscribeRepos`, as far as they matter here. */
export type Event = { readonly seq: number } & (
  | ({ readonly type: '#commit' } & Commit)
  | { readonly type: '#sync'; readonly did: string; readonly rev: string; readonly blocks: Bytes }
  | { readonly type: '#account'; readonly did: string; readonly active: boolean; readonly status?: string }
  | { readonly type: '#identity'; readonly did: string; readonly handle?: string }
)

interface Commit {
  readonly repo: string
  readonly rev: string
  readonly tooBig: boolean
  readonly ops: readonly { readonly action: string; readonly path: string; readonly cid: CidLink | null }[]
  readonly blocks: Bytes
}

/** What comes without a number: `OutdatedCursor` and `FutureCursor` mean that events are missing. */
export interface Notice {
  readonly type: 'notice'
  readonly name: string
}

/** Reads a frame: a header and a body, one behind the other. */
export function readFrame(bytes: Uint8Array): Event | Notice {
  const [header, rest] = decodeFirst(bytes)
  const [body] = decodeFirst(rest)
  const isEvent = header.op === 1 && header.t !== '#info'
  return isEvent ? { ...body, type: header.t } : { type: 'notice', name: body.error ?? body.name }
}

/** A record that a commit writes, or deletes if it has no `cid`. */
export interface Change {
  readonly rkey: string
  readonly cid?: string
  readonly value?: unknown
}

/** What a commit changes in a collection; null if it does not say, or nobody can read it. */
export function changesIn({ tooBig, ops, blocks }: Commit, collection: string): Change[] | null {
  const ours = ops.filter(({ path }) => path.startsWith(`${collection}/`))
  if (tooBig || ours.length === 0) return tooBig ? null : []
  try {
    const records = readCar(fromBytes(blocks))
    return ours.map(({ action, path, cid }) => {
      const rkey = path.slice(collection.length + 1)
      return action === 'delete'
        ? { rkey }
        : { rkey, cid: cid!.$link, value: decode(records.get(cid!.$link)!) }
    })
  } catch {
    return null
  }
}

/** The root of the tree of a repo without records. */
const EMPTY_TREE = 'bafyreie5737gdxlw5i64vzichcalba3z2v5n6icifvx5xytvske7mr3hpm'

/** Whether the only block of a `#sync`, the repo's commit, is that of an empty repo, as new accounts have it. */
export function isEmptyRepo(blocks: Bytes): boolean {
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
  const start = car.findIndex((byte, index) => index >= at && byte < 0x80) + 1
  const length = car.subarray(at, start).reduceRight((sum, byte) => sum * 0x80 + (byte & 0x7f), 0)
  return [start, start + length]
}
