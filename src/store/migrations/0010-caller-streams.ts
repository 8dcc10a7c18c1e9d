import { type Kysely, sql } from 'kysely'

/** How many streams a caller may have open, as its other quotas: null is the default one. */
export async function up(db: Kysely<unknown>): Promise<void> {
  await sql`alter table caller add column streams bigint`.execute(db)
}
