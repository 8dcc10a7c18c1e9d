import { sql } from 'kysely'
import type { Db } from './database.js'
import { IS_DUE } from './repos.js'
import type { Fence } from './steps.js'

/**
 * Hosts, and what is known of each. Times that hold back other processes are the database's: callers translate.
 */

export interface HostClaim extends Fence {
  readonly origin: string
  /** No request before this moment; may be long ago. */
  readonly nextRequestAt: Date
  readonly standing: HostStanding
  /** Since when it has given no good answer; null where its last one was. */
  readonly unansweredSince: Date | null
  /** As it was given to `saveHost`. */
  readonly budget: unknown
}

/** How a host has behaved lately; see the migration. */
export interface HostStanding {
  readonly failures: number
  readonly parked: boolean
  readonly parkings: number
  readonly refusals: number
  readonly unstated: number
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
    .returning([
      'id',
      'origin',
      'epoch',
      'next_request_at',
      'failures',
      'parked',
      'parkings',
      'refusals',
      'unstated',
      'unanswered_since',
      'budget',
    ])
    .executeTakeFirst()
  if (!row) return null
  const { id: host, origin, epoch, next_request_at, unanswered_since, budget, ...standing } = row
  const nextRequestAt = asDate(next_request_at)
  return { host, origin, epoch, nextRequestAt, unansweredSince: unanswered_since, budget, standing }
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

/** What a driver knows of its host after asking it. */
export interface HostState {
  readonly nextRequestAt: Date
  readonly standing: HostStanding
  /** Since it was asked last, or longer, it has given no good answer. */
  readonly unanswered: boolean
  readonly budget: unknown
}

/** What is shorter is the pace at which a host is asked anyway, ms. */
const WISH_MS_MIN = 2_000

/** A host that nobody has asked for so long, hours, though it could have been: what it failed at before is another story. */
const UNASKED_HOURS = 3

/** The largest number the columns take. */
const COUNT_MAX = 10_000

/**
 * Keeps what a driver knows of its host. One that has lost its claim meanwhile knows a single thing still worth
 * keeping, the host's wish to be left alone: whoever drives it now loses its claim by this, and the next one sees it.
 */
export async function saveHost(db: Db, fence: Fence, state: HostState, now: Date): Promise<void> {
  const { failures, parked, parkings, refusals, unstated } = state.standing
  const { numUpdatedRows } = await db
    .updateTable('host')
    .set({
      next_request_at: state.nextRequestAt,
      failures: Math.min(failures, COUNT_MAX),
      parked,
      parkings: Math.min(parkings, COUNT_MAX),
      refusals: Math.min(refusals, COUNT_MAX),
      unstated: Math.min(unstated, COUNT_MAX),
      unanswered_since: state.unanswered ? unansweredSince(now) : null,
      given_up: false,
      budget: JSON.stringify(state.budget),
    })
    .where('id', '=', fence.host)
    .where('epoch', '=', fence.epoch)
    .executeTakeFirst()
  if (numUpdatedRows > 0n || state.nextRequestAt.getTime() - now.getTime() < WISH_MS_MIN) return
  await db
    .updateTable('host')
    .set((eb) => ({ next_request_at: state.nextRequestAt, epoch: eb('epoch', '+', 1) }))
    .where('id', '=', fence.host)
    .where('next_request_at', '<', state.nextRequestAt)
    .execute()
}

/**
 * Keeps the wish to be left alone of a host that nobody drives.
 * @returns since when it has given no good answer
 */
export async function noteRefusal(db: Db, id: number, until: Date, now: Date): Promise<Date> {
  const { unanswered_since } = await db
    .updateTable('host')
    .set({
      next_request_at: sql<Date>`greatest(next_request_at, ${until})`,
      unanswered_since: unansweredSince(now),
    })
    .where('id', '=', id)
    .returning('unanswered_since')
    .executeTakeFirstOrThrow()
  return unanswered_since ?? now
}

/** Notes that a host that nobody drives has given a good answer. */
export async function noteAnswer(db: Db, id: number): Promise<void> {
  await db
    .updateTable('host')
    .set({ unanswered_since: null })
    .where('id', '=', id)
    .where('unanswered_since', 'is not', null)
    .execute()
}

/** One that was given up has been asked for long enough. */
const unansweredSince = (now: Date) => sql<Date>`
  case
    when not given_up and next_request_at < ${now}::timestamptz - ${UNASKED_HOURS} * interval '1 hour' then ${now}
    else coalesce(unanswered_since, ${now})
  end`

/** Hosts with repos that are due, in jobs that run, and no cooldown: each needs a driver. */
export async function hostsWithWork(db: Db, now: Date): Promise<number[]> {
  const { rows } = await sql<{ id: number }>`
    -- From one host with due repos to the next, and from one job that has them there to the next: each host would be
    -- looked at for each job otherwise.
    with recursive due (host) as (
      (select r.host from job_repo r where ${IS_DUE} order by r.host limit 1)
      union all
      select (select r.host from job_repo r where ${IS_DUE} and r.host > due.host order by r.host limit 1)
      from due where due.host is not null
    )
    select host.id from due join host on host.id = due.host
    where host.next_request_at <= ${now} and exists (
      with recursive its (job) as (
        (select r.job from job_repo r where r.host = host.id and ${IS_DUE} order by r.job limit 1)
        union all
        select (
          select r.job from job_repo r
          where r.host = host.id and r.job > its.job and ${IS_DUE} order by r.job limit 1
        )
        from its where its.job is not null
      )
      select from its where (select job.status = 'running' from job where job.key = its.job)
    )`.execute(db)
  return rows.map((row) => row.id)
}

/** Whether a job that runs has repos due at a host, or a listing of it to read. */
export async function hostHasWork(db: Db, id: number): Promise<boolean> {
  const { rows } = await sql`
    select 1 from job
    where job.status = 'running' and (
      exists (
        select 1 from job_repo r
        where r.host = ${id} and r.job = job.key and ${IS_DUE}
      )
      or exists (
        select 1 from listing l where l.host = ${id} and l.job = job.key and not l.done and l.failure is null
      )
    )
    limit 1`.execute(db)
  return rows.length > 0
}

/** No request to a host before this moment; may be long ago. */
export async function nextRequestAt(db: Db, id: number): Promise<Date> {
  const row = await db
    .selectFrom('host')
    .select('next_request_at')
    .where('id', '=', id)
    .executeTakeFirstOrThrow()
  return asDate(row.next_request_at)
}

export interface Turns {
  /** Whether they are the caller's. If not, nearly all turns until then are somebody else's, or there is a pause. */
  readonly granted: boolean
  /** When the first of them is, ms from now; may be below zero. */
  readonly inMs: number
  /** For how long the host is to be left alone yet, ms; may be below zero. */
  readonly heldMs: number
}

/** Turns that lie further ahead are nobody's yet: a pause that the host asks for meanwhile would not hold them. */
const AHEAD_MS_MAX = 1_000

/**
 * Takes the next turns of a host that several processes ask side by side, at one rate for all of them. All by the
 * database's clock.
 * @param burst turns that may come at once after a quiet time
 */
export async function takeTurns(
  db: Db,
  id: number,
  { turns, intervalMs, burst }: { turns: number; intervalMs: number; burst: number },
): Promise<Turns> {
  const ms = (count: number) => sql`${count}::float8 * interval '1 millisecond'`
  const take = () =>
    sql<Turns>`
      with seen as materialized (
        select t.host, clock_timestamp() as at, greatest(h.next_request_at, 'epoch') as held_until,
               greatest(
                 t.taken_until, h.next_request_at, clock_timestamp() - ${ms((burst - 1) * intervalMs)}
               ) as first
        from host_turns t join host h on h.id = t.host
        where t.host = ${id}
        for no key update of t
      ),
      taken as (
        update host_turns t set taken_until = seen.first + ${ms(turns * intervalMs)}
        from seen where t.host = seen.host and seen.first <= seen.at + ${ms(AHEAD_MS_MAX)}
        returning 1
      )
      select exists (select from taken) as granted,
             extract(epoch from first - at)::float8 * 1000 as "inMs",
             extract(epoch from held_until - at)::float8 * 1000 as "heldMs"
      from seen`.execute(db)
  const { rows } = await take()
  if (rows[0]) return rows[0]
  await db
    .insertInto('host_turns')
    .values({ host: id })
    .onConflict((conflict) => conflict.doNothing())
    .execute()
  return (await take()).rows[0]!
}

/** What the database's clock shows. */
export async function databaseTime(db: Db): Promise<Date> {
  const { rows } = await sql<{ at: Date }>`select clock_timestamp() as at`.execute(db)
  return rows[0]!.at
}

/** node-postgres gives the infinities as numbers. */
function asDate(value: Date | number): Date {
  return value instanceof Date ? value : new Date(value > 0 ? 8.64e15 : 0)
}
