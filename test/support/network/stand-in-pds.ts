import type { IncomingMessage, ServerResponse } from 'node:http'
import { TID } from '@atproto/common-web'
import { cidOfJson } from '../../../src/atproto/content.js'
import type { StoredRecord } from './accounts.js'
import { LoopbackServer, methodOf } from './loopback.js'
import { type Answer, type Asked, Faults, respond } from './stand-in-faults.js'

/** A request as it reached the host. Times are ms since epoch, by the clock the host was given. */
export interface Arrival extends Asked {
  readonly collection: string
  readonly at: number
}

export interface StandInOptions {
  /** The clock that arrivals are noted by; the system's when absent. */
  readonly now?: () => number
  /** Repos on a page of `listRepos`; as many as are asked for when absent. */
  readonly pageSize?: number
}

interface Repo {
  rev: string
  /** Oldest first. */
  readonly collections: Map<string, StoredRecord[]>
}

/** What a repo has been at for an hour: long enough to count as being at rest. */
const AGE_MS = 3_600_000

/**
 * Stands in for a PDS where a real one cannot show a fault, or would be too slow to fill. Records have their real
 * CIDs; listings run and end as those of a real PDS. Nothing it serves is signed.
 */
export class StandInPds implements AsyncDisposable {
  readonly faults = new Faults()
  readonly arrivals: Arrival[] = []
  /** The most requests that were under way at once. */
  mostAtOnce = 0
  /** Headers of every answer: what the host says of its limit. */
  announces: () => Readonly<Record<string, string>> = () => ({})
  readonly #now: () => number
  readonly #pageSize: number
  readonly #repos = new Map<string, Repo>()
  #server!: LoopbackServer
  #underWay = 0
  #revs = 0

  private constructor({ now = Date.now, pageSize = Number.POSITIVE_INFINITY }: StandInOptions) {
    this.#now = now
    this.#pageSize = pageSize
  }

  static async start(options: StandInOptions = {}): Promise<StandInPds> {
    const pds = new StandInPds(options)
    pds.#server = await LoopbackServer.start((...exchange) => pds.#answer(...exchange))
    return pds
  }

  get url(): string {
    return this.#server.url
  }

  /** What others call it. */
  get hostname(): string {
    return new URL(this.url).host
  }

  /** Every record it has, by URI. */
  get world(): Map<string, StoredRecord> {
    const repos = [...this.#repos.values()].flatMap(({ collections }) => [...collections.values()].flat())
    return new Map(repos.map((record) => [record.uri, record]))
  }

  /** Has an account here, at rest for long, with so many records of a collection. */
  host(did: string, collection: string, records: number): void {
    const repo = this.#repos.get(did) ?? {
      rev: TID.fromTime((Date.now() - AGE_MS) * 1_000, 7).toString(),
      collections: new Map(),
    }
    const listed = Array.from({ length: records }, (_, index) => {
      const rkey = `r${String(index).padStart(6, '0')}`
      return recordOf(did, collection, rkey, { n: index })
    })
    repo.collections.set(collection, listed)
    this.#repos.set(did, repo)
  }

  /** Changes what an account has, which moves its rev to now. */
  edit(
    did: string,
    collection: string,
    edit: { put?: Record<string, object>; remove?: readonly string[] },
  ): void {
    const repo = this.#repos.get(did)!
    const records = new Map(
      (repo.collections.get(collection) ?? []).map((record) => [rkeyOf(record), record]),
    )
    for (const rkey of edit.remove ?? []) records.delete(rkey)
    for (const [rkey, value] of Object.entries(edit.put ?? {})) {
      records.set(rkey, recordOf(did, collection, rkey, value))
    }
    repo.collections.set(
      collection,
      [...records.values()].sort((a, b) => (a.uri < b.uri ? -1 : 1)),
    )
    this.#revs += 1
    repo.rev = TID.fromTime(Date.now() * 1_000 + this.#revs, 7).toString()
  }

  /** The account is not here any more. */
  forget(did: string): void {
    this.#repos.delete(did)
  }

  /** How often it was asked, for a method and an account where they are named. */
  count(asked: Partial<Pick<Arrival, 'method' | 'did'>> = {}): number {
    const matches = ({ method, did }: Arrival) =>
      (asked.method ?? method) === method && (asked.did ?? did) === did
    return this.arrivals.filter(matches).length
  }

  /** Refuses connections until `restart`. */
  stop(): Promise<void> {
    return this.#server.stop()
  }

  restart(): Promise<void> {
    return this.#server.restart()
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.stop()
  }

  async #answer(url: URL, request: IncomingMessage, response: ServerResponse): Promise<void> {
    const { searchParams } = url
    const asked: Asked = {
      method: methodOf(url),
      did: searchParams.get('repo') ?? searchParams.get('did') ?? '',
      cursor: searchParams.get('cursor'),
    }
    this.arrivals.push({ ...asked, collection: searchParams.get('collection') ?? '', at: this.#now() })
    this.#underWay += 1
    this.mostAtOnce = Math.max(this.mostAtOnce, this.#underWay)
    response.once('close', () => {
      this.#underWay -= 1
    })
    for (const [name, value] of Object.entries(this.announces())) response.setHeader(name, value)
    await respond(this.faults.take(asked), () => this.#right(asked, searchParams), request, response)
  }

  #right({ method, did, cursor }: Asked, query: URLSearchParams): Answer {
    const repo = this.#repos.get(did)
    const ok = (body: object) => ({ status: 200, body })
    const refused = (error: string) => ({
      status: 400,
      body: { error, message: `Could not find repo: ${did}` },
    })
    switch (method) {
      case 'com.atproto.repo.listRecords': {
        if (repo === undefined) return refused('InvalidRequest')
        const limit = Number(query.get('limit') ?? 50)
        const newestFirst = [...(repo.collections.get(query.get('collection') ?? '') ?? [])].reverse()
        const records = newestFirst
          .filter((record) => cursor === null || rkeyOf(record) < cursor)
          .slice(0, limit)
        const last = records.at(-1)
        return ok({ records, ...(last && { cursor: rkeyOf(last) }) })
      }
      case 'com.atproto.sync.getLatestCommit':
        if (repo === undefined) return refused('RepoNotFound')
        return ok({ rev: repo.rev, cid: cidOfJson({ rev: repo.rev }) })
      case 'com.atproto.sync.getRepoStatus':
        if (repo === undefined) return refused('RepoNotFound')
        return ok({ did, active: true, rev: repo.rev })
      case 'com.atproto.sync.listRepos': {
        const limit = Math.min(Number(query.get('limit') ?? 500), this.#pageSize)
        const listed = [...this.#repos].filter(([each]) => cursor === null || each > cursor).sort(byDid)
        const repos = listed.slice(0, limit).map(([each, { rev }]) => ({
          did: each,
          head: cidOfJson({ rev }),
          rev,
          active: true,
        }))
        const last = repos.at(-1)
        // A full page has a cursor even if nothing follows.
        return ok({ repos, ...(last && repos.length === limit && { cursor: last.did }) })
      }
      case 'com.atproto.repo.describeRepo': {
        if (repo === undefined) return refused('InvalidRequest')
        const collections = [...repo.collections]
          .filter(([, records]) => records.length > 0)
          .map(([nsid]) => nsid)
        return ok({ did, handle: 'handle.invalid', didDoc: {}, collections, handleIsCorrect: false })
      }
      default:
        return { status: 501, body: { error: 'MethodNotImplemented', message: 'Method Not Implemented' } }
    }
  }
}

export const startStandInPds = (options?: StandInOptions) => StandInPds.start(options)

const byDid = ([one]: [string, unknown], [other]: [string, unknown]) => (one < other ? -1 : 1)

function recordOf(did: string, collection: string, rkey: string, fields: object): StoredRecord {
  const value = { $type: collection, ...fields }
  return { uri: `at://${did}/${collection}/${rkey}`, cid: cidOfJson(value)!, value }
}

function rkeyOf({ uri }: StoredRecord): string {
  return uri.slice(uri.lastIndexOf('/') + 1)
}
