import { sql } from 'kysely'
import type { Db } from './database.js'

/** The most names kept in memory; past it all are looked up again. */
const REMEMBERED_MAX = 100_000

/** Collections by name as the small numbers that records carry, remembered in memory. */
export class CollectionIds {
  readonly #db: Db
  readonly #known = new Map<string, number>()
  /** Look-ups under way, by what they look up: at the start of a job everybody asks for the same. */
  readonly #loading = new Map<string, Promise<{ id: number; nsid: string }[]>>()

  constructor(db: Db) {
    this.#db = db
  }

  /** The numbers of these collections, new ones made as needed. */
  async of(nsids: readonly string[]): Promise<Map<string, number>> {
    const ids = new Map<string, number>()
    const unknown: string[] = []
    for (const nsid of nsids) {
      const id = this.#known.get(nsid)
      if (id === undefined) unknown.push(nsid)
      else ids.set(nsid, id)
    }
    if (unknown.length > 0) for (const row of await this.#loadOnce(unknown.sort())) ids.set(row.nsid, row.id)
    return ids
  }

  #loadOnce(nsids: string[]): Promise<{ id: number; nsid: string }[]> {
    const key = nsids.join(' ')
    const loading =
      this.#loading.get(key) ??
      this.#load(nsids).finally(() => {
        this.#loading.delete(key)
      })
    this.#loading.set(key, loading)
    return loading
  }

  async #load(nsids: string[]): Promise<{ id: number; nsid: string }[]> {
    const names = sql<string[]>`${nsids}::text[]`
    await sql`insert into collection (nsid) select unnest(${names}) on conflict (nsid) do nothing`.execute(
      this.#db,
    )
    const rows = await this.#db
      .selectFrom('collection')
      .select(['id', 'nsid'])
      .where('nsid', '=', sql<string>`any(${names})`)
      .execute()
    if (this.#known.size + rows.length > REMEMBERED_MAX) this.#known.clear()
    for (const row of rows) this.#known.set(row.nsid, row.id)
    return rows
  }
}
