import { encode } from '@atcute/cbor'
import { TID } from '@atproto/common-web'
import { Failure } from '../../src/atproto/outcome.js'
import { decodeNode } from '../../src/atproto/repo/node.js'
import type { CarQuery } from '../../src/atproto/sync.js'
import type { BytesAnswer, Refusal } from '../../src/atproto/xrpc.js'
import { type Block, blockOf, textOf } from '../support/repo/block.js'
import { carOf } from '../support/repo/car.js'
import { commitOf, k256 } from '../support/repo/commit.js'
import { putTree, type TreeNode, treeOf } from '../support/repo/tree.js'

/** A repo in memory behind a `CarQuery`, right or wrong. */

export const DID = 'did:plc:aaaaaaaaaaaaaaaaaaaaaaaa'
export const NOW = Date.UTC(2026, 0, 2, 3, 4, 5)
/** An hour ago. */
export const REV = TID.fromTime((NOW - 3_600_000) * 1_000, 7).toString()

/** Bytes of records by `collection/rkey`. */
export type Contents = ReadonlyMap<string, Uint8Array>

export const bytesOf = (value: object): Uint8Array => encode(value)

/** That many records of each collection. */
export function contentsOf(counts: Readonly<Record<string, number>>): Map<string, Uint8Array> {
  const keys = Object.entries(counts).flatMap(([collection, count]) =>
    Array.from({ length: count }, (_, n) => `${collection}/key${String(n).padStart(6, '0')}`),
  )
  return new Map(keys.map((key) => [key, bytesOf({ $type: key.split('/')[0]!, text: key })]))
}

export class MemoryRepo {
  readonly blocks: ReadonlyMap<string, Block>
  readonly head: Block
  readonly root: string
  readonly signingKey: string
  readonly log: { method: string; cids: readonly string[] }[] = []
  /** Blocks that it does not have, whatever it names. */
  readonly lost = new Set<string>()
  /** Refusals by method. */
  readonly refusals: Record<string, Refusal> = {}
  /** Blocks that come with every answer. */
  readonly extra: Block[] = []
  /** Says that there is none where blocks are lost, or leaves them out. */
  saysWhatIsLost = true
  /** What it says to more CIDs than so many. */
  longUrls = { cids: Number.POSITIVE_INFINITY, status: 414 }
  /** Changes a CAR on its way. */
  tamper: (car: Buffer, method: string) => Buffer = (car) => car

  private constructor(blocks: readonly Block[], root: string, head: Block, signingKey: string) {
    this.blocks = new Map([...blocks, head].map((block) => [textOf(block.cid), block]))
    this.root = root
    this.head = head
    this.signingKey = signingKey
  }

  /** @param tree another than the right one */
  static async of(
    contents: Contents,
    { did = DID, rev = REV, tree }: { did?: string; rev?: string; tree?: TreeNode } = {},
  ) {
    const records = [...contents].map(([key, bytes]) => [key, blockOf(bytes)] as const)
    const blocks = records.map(([, block]) => block)
    const data = putTree(tree ?? treeOf(new Map(records.map(([key, { cid }]) => [key, cid]))), blocks)
    const key = await k256('memory')
    return new MemoryRepo(blocks, textOf(data), await commitOf(key, { did, rev, data }), key.did())
  }

  get methods(): string[] {
    return this.log.map(({ method }) => method)
  }

  readonly car: CarQuery = async (nsid, params, maxBytes, sink): Promise<BytesAnswer> => {
    const method = nsid.slice(nsid.lastIndexOf('.') + 1)
    this.log.push({ method, cids: (params.cids ?? []) as readonly string[] })
    const refusal = this.refusals[method]
    if (refusal) return refusal
    const body = this.#answer(method, params)
    if (!Buffer.isBuffer(body)) return body
    const sent = method === 'getLatestCommit' ? body : this.tamper(body, method)
    if (sent.length > maxBytes) throw new Failure('body-too-large', 'the response is larger than allowed')
    if (!sink) return { ok: true, body: sent }
    const { signal } = new AbortController()
    for (let at = 0; at < sent.length; at += 10_000) await sink(sent.subarray(at, at + 10_000), signal)
    return { ok: true, body: Buffer.alloc(0) }
  }

  #answer(method: string, params: Parameters<CarQuery>[1]): Buffer | Refusal {
    const head = textOf(this.head.cid)
    switch (method) {
      case 'getLatestCommit':
        return Buffer.from(JSON.stringify({ cid: head, rev: REV }))
      case 'getRepo':
        return this.#carOf([...this.blocks.keys()])
      case 'getRecord':
        return this.#carOf([head, ...this.#pathTo(`${params.collection}/${params.rkey}`)])
      case 'getBlocks': {
        const cids = params.cids as readonly string[]
        const { status } = this.longUrls
        if (cids.length > this.longUrls.cids) return { ok: false, status, error: '', message: 'URI too long' }
        const missing = cids.filter((cid) => !this.#has(cid))
        if (missing.length === 0 || !this.saysWhatIsLost) return this.#carOf(cids)
        return { ok: false, status: 400, error: 'InvalidRequest', message: `Could not find cids: ${missing}` }
      }
      default:
        throw new Error(`nobody should ask ${method}`)
    }
  }

  #has(cid: string): boolean {
    return this.blocks.has(cid) && !this.lost.has(cid)
  }

  #carOf(cids: readonly string[]): Buffer {
    const found = cids.filter((cid) => this.#has(cid)).map((cid) => this.blocks.get(cid)!)
    return carOf([this.head.cid], [...this.extra, ...found])
  }

  #pathTo(key: string): string[] {
    const path: string[] = []
    for (let cid: string | null = this.root; cid !== null && this.blocks.has(cid); ) {
      path.push(cid)
      const { left, entries } = decodeNode(this.blocks.get(cid)!.bytes)
      const at = entries.findIndex((entry) => entry.key >= key)
      if (entries[at]?.key === key) return [...path, entries[at].value]
      const before = at === -1 ? entries.at(-1) : entries[at - 1]
      cid = before ? before.right : left
    }
    return path
  }
}
