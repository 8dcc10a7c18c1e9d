import { sql } from 'kysely'
import type { Db } from './database.js'

export interface StoredIdentity {
  readonly did: string
  readonly document: unknown
  readonly updatedAt: Date
}

/** Stored DID documents, for those of `dids` that have one. */
export async function findIdentities(db: Db, dids: readonly string[]): Promise<StoredIdentity[]> {
  if (dids.length === 0) return []
  const rows = await db
    .selectFrom('identity')
    .select(['did', 'document', 'updated_at'])
    .where('did', '=', sql<string>`any(${[...dids]}::text[])`)
    .execute()
  return rows.map((row) => ({ did: row.did, document: JSON.parse(row.document), updatedAt: row.updated_at }))
}

/** Keeps a DID document; an older one under the same DID is replaced. */
export async function saveIdentity(
  db: Db,
  identity: { did: string; document: unknown; handle: string | null; updatedAt: Date },
): Promise<void> {
  const row = {
    document: JSON.stringify(identity.document),
    handle: identity.handle,
    updated_at: identity.updatedAt,
  }
  await db
    .insertInto('identity')
    .values({ did: identity.did, ...row })
    .onConflict((conflict) => conflict.column('did').doUpdateSet(row))
    .execute()
}

export async function deleteIdentity(db: Db, did: string): Promise<void> {
  await db.deleteFrom('identity').where('did', '=', did).execute()
}
