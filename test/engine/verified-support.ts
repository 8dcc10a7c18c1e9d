import { type SignedPds, startSignedPds } from '../support/network/signed-pds.js'
import type { TestService } from '../support/service.js'
import { newDids, POST, StandIns } from './support.js'

/** So many posts, by their paths. */
export function posts(count: number, collection = POST): Record<string, object> {
  const each = (n: number) => [pathOf(n, collection), { $type: collection, n }]
  return Object.fromEntries(Array.from({ length: count }, (_, n) => each(n)))
}

export const pathOf = (n: number, collection = POST) => `${collection}/r${String(n).padStart(6, '0')}`

/** Hosts with signed repos, and what finds them. */
export class SignedWorld implements AsyncDisposable {
  readonly #hosts: SignedPds[] = []

  private constructor(readonly standIns: StandIns) {}

  static async start(): Promise<SignedWorld> {
    return new SignedWorld(await StandIns.start())
  }

  async pds(): Promise<SignedPds> {
    const pds = await startSignedPds()
    this.#hosts.push(pds)
    return pds
  }

  /** An account for each of these, known to the directory. */
  async populate(pds: SignedPds, ...repos: Parameters<SignedPds['host']>[1][]): Promise<string[]> {
    const dids = newDids(repos.length)
    for (const [index, contents] of repos.entries()) {
      this.standIns.directory.publish(dids[index]!, await pds.host(dids[index]!, contents))
    }
    return dids
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const pds of this.#hosts) await pds[Symbol.asyncDispose]()
    await this.standIns[Symbol.asyncDispose]()
  }
}

/** What is stored of a repo, by its paths: the level, and null for what is gone. */
export async function storedOf({ service }: Pick<TestService, 'service'>, did: string) {
  const { rows } = await service.store.pool.query<{
    path: string
    cid: string | null
    level: string
    rev: string | null
  }>(
    `select nsid || '/' || rkey as path, cid, level, rev from record
     join repo on repo.id = record.repo join collection on collection.id = record.collection
     where did = $1 order by 1`,
    [did],
  )
  return new Map(rows.map(({ path, ...row }) => [path, row]))
}
