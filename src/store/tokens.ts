import type { Db } from './database.js'

/**
 * Remembers a token as used.
 * @returns false when it has been seen before, by any process
 */
export async function spendToken(
  db: Db,
  token: { issuer: string; jti: string; expiresAt: Date },
): Promise<boolean> {
  const result = await db
    .insertInto('spent_token')
    .values({ issuer: token.issuer, jti: token.jti, expires_at: token.expiresAt })
    .onConflict((conflict) => conflict.columns(['issuer', 'jti']).doNothing())
    .executeTakeFirst()
  return result.numInsertedOrUpdatedRows === 1n
}

/** Forgets tokens that have expired. */
export async function forgetExpiredTokens(db: Db, now: Date): Promise<void> {
  await db.deleteFrom('spent_token').where('expires_at', '<', now).execute()
}
