import type { CacheResult, DidCache, DidDocument } from '@atproto/identity'
import { handleOf } from '../atproto/identity.js'
import type { Db } from './database.js'
import { deleteIdentity, findIdentities, saveIdentity } from './identities.js'
import { marked } from './trouble.js'

const HOUR_MS = 3_600_000

/** Refreshed when it is older than this and the directory answers. */
export const IDENTITY_STALE_MS = 1 * HOUR_MS

/** Not used at all when it is older than this. */
export const IDENTITY_EXPIRED_MS = 24 * HOUR_MS

/**
 * The longest document that is kept, in UTF-16 units: honest ones are far shorter, and a thousand are read at once.
 * One that is longer is looked up whenever it is needed.
 */
const DOCUMENT_LENGTH_MAX = 32 * 1024

/**
 * The cache that @atproto/identity resolves through, in Postgres, so that all processes share it. What fails here is
 * marked: else it would pass for a directory that fails.
 */
export class PostgresDidCache implements DidCache {
  readonly #db: Db
  readonly #now: () => number

  constructor(db: Db, now: () => number) {
    this.#db = db
    this.#now = now
  }

  async cacheDid(did: string, doc: DidDocument): Promise<void> {
    if (JSON.stringify(doc).length > DOCUMENT_LENGTH_MAX) return marked(this.clearEntry(did))
    const identity = { did, document: doc, handle: handleOf(doc), updatedAt: new Date(this.#now()) }
    await marked(saveIdentity(this.#db, identity))
  }

  async checkCache(did: string): Promise<CacheResult | null> {
    const [stored] = await marked(findIdentities(this.#db, [did]))
    if (!stored) return null
    const age = this.#now() - stored.updatedAt.getTime()
    return {
      did,
      doc: stored.document as DidDocument,
      updatedAt: stored.updatedAt.getTime(),
      stale: age > IDENTITY_STALE_MS,
      expired: age > IDENTITY_EXPIRED_MS,
    }
  }

  /** A stale document serves on while its directory cannot be reached. */
  async refreshCache(did: string, getDoc: () => Promise<DidDocument | null>): Promise<void> {
    const doc = await getDoc().catch(() => undefined)
    if (doc === null) await this.clearEntry(did)
    else if (doc) await this.cacheDid(did, doc)
  }

  async clearEntry(did: string): Promise<void> {
    await deleteIdentity(this.#db, did)
  }

  async clear(): Promise<void> {
    await this.#db.deleteFrom('identity').execute()
  }
}
