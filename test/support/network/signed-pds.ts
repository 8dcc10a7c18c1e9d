import type { IncomingMessage, ServerResponse } from 'node:http'
import { encode } from '@atcute/cbor'
import { TID } from '@atproto/common-web'
import { cidOfJson } from '../../../src/atproto/content.js'
import { decodeNode } from '../../../src/atproto/repo/node.js'
import { type Block, blockOf, textOf } from '../repo/block.js'
import { carOf } from '../repo/car.js'
import { commitOf, type Key, k256 } from '../repo/commit.js'
import { putTree, treeOf } from '../repo/tree.js'
import type { StoredRecord } from './accounts.js'
import { LoopbackServer, methodOf, sendJson } from './loopback.js'
import { documentOf } from './stand-in-directory.js'
import { Faults, respond } from './stand-in-faults.js'

/** By `collection/rkey`: the value of a record, or bytes that are none. */
export type Contents = Readonly<Record<string, object | Uint8Array>>

interface Repo {
  key: Key
  rev: string
  readonly contents: Map<string, object | Uint8Array>
  /** Made of the contents whenever they change. */
  commit: Block
  data: string
  blocks: Map<string, Block>
}

type Right = { readonly body: object } | { readonly car: Buffer } | { readonly error: string }

/** A repo has been at rest for an hour when it comes here. */
const AGE_MS = 3_600_000

/**
 * Stands in for a PDS with signed repos, where a real one cannot show a fault. Its answers are worded as those of
 * the reference PDS, but come from memory; a fault may change a CAR as it changes JSON.
 */
export class SignedPds implements AsyncDisposable {
  readonly faults = new Faults()
  readonly arrivals: { readonly method: string; readonly did: string }[] = []
  /** The last parts of the names of methods that it does not offer. */
  readonly lacks = new Set<string>()
  /** Paths of records that a whole repo is sent without. */
  readonly lost = new Set<string>()
  /** Waited for when half of a whole repo is sent. */
  halfway: (() => Promise<void>) | null = null
  readonly #repos = new Map<string, Repo>()
  #server!: LoopbackServer
  #edits = 0

  static async start(): Promise<SignedPds> {
    const pds = new SignedPds()
    pds.#server = await LoopbackServer.start((...exchange) => pds.#answer(...exchange))
    return pds
  }

  get url(): string {
    return this.#server.url
  }

  /** How often it was asked, for a method (the last part of its name) and an account where they are named. */
  count(method?: string, did?: string): number {
    return this.arrivals.filter(
      (one) => (method ?? one.method) === one.method && (did ?? one.did) === one.did,
    ).length
  }

  /** Has an account here, and makes its document. */
  async host(did: string, contents: Contents): Promise<object> {
    const key = await k256(did)
    const rev = TID.fromTime((Date.now() - AGE_MS) * 1_000, 7).toString()
    await this.#commit(did, { key, rev, contents: new Map(Object.entries(contents)) })
    return this.document(did)
  }

  /** Changes records, or takes them away where null, which moves the rev to now, or to another moment. */
  async edit(
    did: string,
    change: Readonly<Record<string, object | null>> = {},
    rev = this.#nextRev(),
  ): Promise<void> {
    const { key, contents } = this.#repos.get(did)!
    for (const [path, value] of Object.entries(change)) {
      if (value) contents.set(path, value)
      else contents.delete(path)
    }
    await this.#commit(did, { key, rev, contents })
  }

  /** Signs with another key from now on. */
  async rotate(did: string, name: string): Promise<void> {
    const { contents } = this.#repos.get(did)!
    await this.#commit(did, { key: await k256(name), rev: this.#nextRev(), contents })
  }

  /** What a directory has of an account by now. @param key another than the one it signs with */
  document(did: string, key = this.#repos.get(did)!.key): object {
    const publicKeyMultibase = key.did().slice('did:key:'.length)
    const method = { id: `${did}#atproto`, type: 'Multikey', controller: did, publicKeyMultibase }
    return { ...documentOf(did, this.url), verificationMethod: [method] }
  }

  revOf(did: string): string {
    return this.#repos.get(did)!.rev
  }

  /** The root of the tree. */
  dataOf(did: string): string {
    return this.#repos.get(did)!.data
  }

  /** The records an account has by now, without those that are none. */
  recordsOf(...dids: readonly string[]): StoredRecord[] {
    return dids.flatMap((did) =>
      [...this.#repos.get(did)!.contents].flatMap(([path, value]) =>
        value instanceof Uint8Array ? [] : [recordOf(did, path, value)],
      ),
    )
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.#server.stop()
  }

  #nextRev(): string {
    this.#edits += 1
    return TID.fromTime(Date.now() * 1_000 + this.#edits, 7).toString()
  }

  async #commit(did: string, { key, rev, contents }: Pick<Repo, 'key' | 'rev' | 'contents'>): Promise<void> {
    const records = [...contents].map(([path, value]) => {
      return [path, blockOf(value instanceof Uint8Array ? value : encode(value))] as const
    })
    const blocks = records.map(([, block]) => block)
    const data = putTree(treeOf(new Map(records.map(([path, { cid }]) => [path, cid]))), blocks)
    const commit = await commitOf(key, { did, rev, data })
    const byCid = new Map([commit, ...blocks].map((block) => [textOf(block.cid), block]))
    this.#repos.set(did, { key, rev, contents, commit, data: textOf(data), blocks: byCid })
  }

  async #answer(url: URL, request: IncomingMessage, response: ServerResponse): Promise<void> {
    const query = url.searchParams
    const whole = methodOf(url)
    const method = whole.slice(whole.lastIndexOf('.') + 1)
    const did = query.get('repo') ?? query.get('did') ?? ''
    this.arrivals.push({ method, did })
    const fault = this.faults.take({ method, did, cursor: query.get('cursor') })
    if (fault?.kind === 'after') await fault.what()
    const right = this.#right(method, did, query)
    if (fault?.kind === 'change' && 'car' in right)
      return sendCar(response, fault.change(right.car) as Buffer, null)
    if (fault && fault.kind !== 'after') {
      const body = 'body' in right ? right.body : {}
      return respond(fault, () => ({ status: 200, body }), request, response)
    }
    if ('car' in right) await sendCar(response, right.car, method === 'getRepo' ? this.halfway : null)
    else if ('body' in right) sendJson(response, 200, right.body)
    else {
      const status = right.error === 'MethodNotImplemented' ? 501 : 400
      sendJson(response, status, { error: right.error, message: `Could not find repo: ${did}` })
    }
  }

  #right(method: string, did: string, query: URLSearchParams): Right {
    if (this.lacks.has(method)) return { error: 'MethodNotImplemented' }
    if (method === 'listRepos') return { body: this.#listRepos(query) }
    const repo = this.#repos.get(did)
    if (!repo) return { error: 'RepoNotFound' }
    const { rev, commit, blocks, contents } = repo
    switch (method) {
      case 'getRepo':
        return { car: carOf([commit.cid], this.#exported(repo)) }
      case 'getRecord': {
        const path = `${query.get('collection')}/${query.get('rkey')}`
        return { car: carOf([commit.cid], [commit, ...wayTo(repo, path)]) }
      }
      case 'getBlocks': {
        const found = query.getAll('cids').map((cid) => blocks.get(cid))
        if (found.includes(undefined)) return { error: 'BlockNotFound' }
        return { car: carOf([], found as Block[]) }
      }
      case 'getLatestCommit':
        return { body: { rev, cid: textOf(commit.cid) } }
      case 'getRepoStatus':
        return { body: { did, active: true, rev } }
      case 'describeRepo': {
        const collections = [...new Set([...contents.keys()].map((path) => path.split('/')[0]))]
        return { body: { did, handle: 'handle.invalid', didDoc: {}, collections, handleIsCorrect: false } }
      }
      case 'listRecords':
        return { body: this.#listRecords(did, query) }
      default:
        return { error: 'MethodNotImplemented' }
    }
  }

  #exported({ blocks, contents }: Repo): Block[] {
    const lost = new Set(
      [...this.lost].flatMap((path) => {
        const value = contents.get(path)
        return value ? [textOf(blockOf(value instanceof Uint8Array ? value : encode(value)).cid)] : []
      }),
    )
    return [...blocks].flatMap(([cid, block]) => (lost.has(cid) ? [] : [block]))
  }

  #listRecords(did: string, query: URLSearchParams): object {
    const prefix = `at://${did}/${query.get('collection')}/`
    const cursor = query.get('cursor')
    const records = this.recordsOf(did)
      .filter(({ uri }) => uri.startsWith(prefix) && (cursor === null || uri < prefix + cursor))
      .sort((one, other) => (one.uri < other.uri ? 1 : -1))
      .slice(0, Number(query.get('limit') ?? 50))
    const last = records.at(-1)
    return { records, ...(last && { cursor: last.uri.slice(prefix.length) }) }
  }

  #listRepos(query: URLSearchParams): object {
    const cursor = query.get('cursor') ?? ''
    const listed = [...this.#repos].filter(([did]) => did > cursor).sort()
    const repos = listed.slice(0, Number(query.get('limit') ?? 500)).map(([did, { rev, commit }]) => {
      return { did, head: textOf(commit.cid), rev, active: true }
    })
    const last = repos.at(-1)
    return { repos, ...(last && { cursor: last.did }) }
  }
}

export const startSignedPds = () => SignedPds.start()

async function sendCar(
  response: ServerResponse,
  car: Buffer,
  halfway: (() => Promise<void>) | null,
): Promise<void> {
  response.writeHead(200, { 'content-type': 'application/vnd.ipld.car' })
  if (halfway) {
    response.write(car.subarray(0, car.length / 2))
    await halfway()
  }
  response.end(halfway ? car.subarray(car.length / 2) : car)
}

function recordOf(did: string, path: string, value: object): StoredRecord {
  return { uri: `at://${did}/${path}`, cid: cidOfJson(value)!, value: value as StoredRecord['value'] }
}

/** The nodes on the way to where a record is or would be, and the record. */
function wayTo({ data, blocks }: Repo, path: string): Block[] {
  const way: Block[] = []
  for (let next: string | null = data; next !== null; ) {
    const block: Block = blocks.get(next)!
    way.push(block)
    const { left, entries } = decodeNode(block.bytes)
    const before = entries.findLast(({ key }) => key <= path)
    if (before?.key === path) return [...way, blocks.get(before.value)!]
    next = before ? before.right : left
  }
  return way
}
