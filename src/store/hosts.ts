import { sql } from 'kysely'
import type { Db } from './database.js'
import type { Fence } from './steps.js'

export interface HostClaim extends Fence {
  readonly origin: string
  /** No request before this moment; may be long ago. */
  readonly nextRequestAt: Date
}

/** The numbers of hosts by origin, new ones made as needed. */
export async function hostIds(db: Db, origins: readonly string[]): Promise<Map<string, number>> {
  const wanted = [...new Set(origins)].sort()
  if (wanted.length === 0) return new Map()
  const find = () => db.selectFrom('host').select(['id', 'origin']).where('origin', 'in', wanted).execute()
  let found = await find()
  if (found.length < wanted.length) {
    await db
      .insertInto('host')
      .values(wanted.map((origin) => ({ origin })))
      .onConflict((conflict) => conflict.column('origin').doNothing())
      .execute()
    found = await find()
  }
  return new Map(found.map((host) => [host.origin, host.id]))
}

/**
 * Takes a host over: raises its epoch, so that a former driver's writes no longer take effect. Waits for
 * writes of the former driver that are under way.
 * @returns null when there is no such host
 */
export async function claimHost(db: Db, id: number): Promise<HostClaim | null> {
  const row = await db
    .updateTable('host')
    .set((eb) => ({ epoch: eb('epoch', '+', 1) }))
    .where('id', '=', id)
    .returning(['id', 'origin', 'epoch', 'next_request_at'])
    .executeTakeFirst()
  return row
    ? { host: row.id, origin: row.origin, epoch: row.epoch, nextRequestAt: asDate(row.next_request_at) }
    : null
}

/** Keeps a host's next permitted moment, for whoever drives it next. Never moves it to an earlier one. */
export async function deferHost(db: Db, fence: Fence, until: Date): Promise<void> {
  await db
    .updateTable('host')
    .set({ next_request_at: sql<Date>`greatest(next_request_at, ${until})` })
    .where('id', '=', fence.host)
    .where('epoch', '=', fence.epoch)
    .execute()
}

/** Hosts with repos that are due, in jobs that run, and no cooldown: each needs a driver. */
export async function hostsWithWork(db: Db, now: Date): Promise<number[]> {
  const { rows } = await sql<{ id: number }>`
    select host.id from host
    where host.next_request_at <= ${now} and exists (
      select 1 from job
      where job.status = 'running' and exists (
        select 1 from job_repo r
        where r.host = host.id and r.job = job.key and r.status in ('resolved', 'fetching') and r.retry_at is null
      )
    )`.execute(db)
  return rows.map((row) => row.id)
}

/** node-postgres gives the infinities as numbers. */
function asDate(value: Date | number): Date {
  return value instanceof Date ? value : new Date(value > 0 ? 8.64e15 : 0)
}
