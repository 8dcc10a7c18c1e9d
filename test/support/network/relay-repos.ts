import type { TestPds } from './pds.js'

/** A repo as a relay knows it. */
export interface RelayRepo {
  readonly did: string
  readonly head: string
  readonly rev: string
  readonly active: boolean
  readonly status?: string
  readonly collections: ReadonlySet<string>
}

/** For repos that a test names and no PDS has: the CID of an empty map, and the lowest rev. */
const NO_HEAD = 'bafyreigbtj4x7ip5legnfznufuopl4sg4knzc2cof6duas4b3q2fy6swua'
const NO_REV = '2222222222222'

/** What a relay remembers of the repos it has seen; like a real one it does not forget those that go away. */
export class RelayRepos {
  readonly #crawled = new Map<string, RelayRepo>()
  readonly #named = new Map<string, Set<string>>()

  /** Has the relay know that a repo has records in these collections, whatever its PDS says. */
  add(did: string, collections: readonly string[]): void {
    this.#named.set(did, new Set([...(this.#named.get(did) ?? []), ...collections]))
  }

  /** Has it forget a repo. */
  remove(did: string): void {
    this.#named.delete(did)
    this.#crawled.delete(did)
  }

  /** Takes in what a PDS has now. */
  async crawl(pds: TestPds): Promise<void> {
    for (const { did, head, rev, active = true, status } of await pds.repos()) {
      const collections = new Set(await pds.collectionsOf(did))
      this.#crawled.set(did, { did, head, rev, active, status, collections })
    }
  }

  /** By DID, in code unit order. */
  sorted(): RelayRepo[] {
    const dids = new Set([...this.#crawled.keys(), ...this.#named.keys()])
    return [...dids].sort().map((did) => this.#repo(did))
  }

  #repo(did: string): RelayRepo {
    const crawled = this.#crawled.get(did)
    const collections = new Set([...(crawled?.collections ?? []), ...(this.#named.get(did) ?? [])])
    return { did, head: NO_HEAD, rev: NO_REV, active: true, ...crawled, collections }
  }
}
