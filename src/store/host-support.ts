import { sql } from 'kysely'
import type { Db } from './database.js'
import type { Fence } from './steps.js'

/** What a host does not offer, as far as it has said so. */

/** The methods of which one can do without, by the last part of their names. */
export const OPTIONAL_METHODS = ['getRepo', 'getRecord', 'getBlocks', 'listRecords'] as const
export type OptionalMethod = (typeof OPTIONAL_METHODS)[number]

/** After so many days a host is asked again: it may have been updated. */
const ASKED_AGAIN_DAYS = 3

/** Of a row of `host`: whether what it said is too long ago. */
const isOutdated = (now: Date) =>
  sql`coalesce(unsupported_at <= ${now}::timestamptz - ${ASKED_AGAIN_DAYS} * interval '1 day', true)`

/** Notes under a claim that a host does not offer a method. All that it said is forgotten together, days later. */
export async function markUnsupported(
  db: Db,
  fence: Fence,
  method: OptionalMethod,
  now: Date,
): Promise<void> {
  await sql`
    update host
    set unsupported = case
          when ${isOutdated(now)} then array[${method}]
          else array_append(array_remove(unsupported, ${method}), ${method})
        end,
        unsupported_at = case when ${isOutdated(now)} then ${now} else unsupported_at end
    where id = ${fence.host} and epoch = ${fence.epoch}`.execute(db)
}

/** The methods that a host is known not to offer. */
export async function unsupportedBy(db: Db, host: number, now: Date): Promise<Set<OptionalMethod>> {
  const { rows } = await sql<{ unsupported: string[] }>`
    select unsupported from host where id = ${host} and not ${isOutdated(now)}`.execute(db)
  const said = rows[0]?.unsupported ?? []
  return new Set(OPTIONAL_METHODS.filter((method) => said.includes(method)))
}
