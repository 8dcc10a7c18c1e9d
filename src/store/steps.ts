import type pg from 'pg'
import type { FailureClass, Level, Method, RepoStatus, UnavailableReason } from '../verdict.js'
import { TextArray, textArray } from './binary.js'

/**
 * Writing what happened to repos. A step is one move of one repo of one job: a page stored, a PDS found, a
 * verdict. Many steps of many repos go out in one statement, so that rows, receipt, progress and counters of
 * each are durable together or not at all.
 */

/** The claim under which a driver writes: its host and the epoch it raised when it started. */
export interface Fence {
  readonly host: number
  readonly epoch: number
}

export interface RecordRow {
  readonly collection: number
  readonly rkey: string
  readonly cid: string
  /** JSON text. */
  readonly value: string
}

export interface ReceiptRow {
  readonly scope: number
  readonly rev: string | null
  readonly dataCid: string | null
  /** Records per collection. */
  readonly counts: Readonly<Record<string, number>>
}

export interface RepoStep {
  readonly job: number
  readonly did: string
  readonly repo: number
  readonly fence: Fence
  /** The status after this step: for a retry, the one it had. */
  readonly status: RepoStatus
  /** Set when the repo turned out to live on another host than known so far. */
  readonly movedTo?: number
  /** Whether this step is the one that found the PDS. */
  readonly firstResolved?: boolean
  readonly method?: Method
  readonly failure?: FailureClass
  readonly reason?: UnavailableReason
  readonly message?: string
  readonly attempts: number
  readonly retryAt?: Date
  /** Where to go on inside the repo, as JSON text. */
  readonly progress?: string
  /** Records stored for this repo so far, and how many of them this step adds (or, below zero, takes back). */
  readonly records: number
  readonly recordsAdded: number
  /** The level and rev of `rows`. */
  readonly level: Level
  readonly rev: string | null
  readonly rows: readonly RecordRow[]
  readonly receipt?: ReceiptRow
}

const STATEMENT = `
with step as materialized (
  select t.* from unnest(
    $1::int[], $2::text[], $3::bigint[], $4::int[], $5::bigint[], $6::text[], $7::int[], $8::int[], $9::text[],
    $10::text[], $11::text[], $12::text[], $13::int[], $14::timestamptz[], $15::text[], $16::int[], $17::int[],
    $18::text[], $19::text[], $20::int[], $21::text[], $22::text[]
  ) with ordinality as t (
    job, did, repo, host, epoch, status, moved_to, first_resolved, method,
    failure, reason, message, attempts, retry_at, progress, records, records_added,
    level, rev, scope, data_cid, counts, n
  )
),
-- Sharing the host rows to the commit holds off whoever wants to raise an epoch; the order prevents deadlock.
held as materialized (
  select host.id, host.epoch
  from host join (select distinct step.host, step.epoch from step) claim
    on claim.host = host.id and claim.epoch = host.epoch
  order by host.id
  for share of host
),
live as materialized (
  select step.* from step join held on held.id = step.host and held.epoch = step.epoch
  where exists (
    select 1 from job_repo r
    where r.job = step.job and r.did = step.did and r.status in ('waiting', 'resolved', 'fetching')
  )
),
-- Two jobs may read one repo at two hosts: of two rows for a key the stronger one stays, and batches that hold
-- the same keys lock them in one order.
wanted as (
  select distinct on (live.repo, r.collection, r.rkey collate "C")
    live.repo, r.collection, r.rkey, live.level::proof_level, r.cid, live.rev, r.value
  from unnest($23::int[], $24::int[], $25::text[], $26::text[], $27::text[]) as r (n, collection, rkey, cid, value)
  join live on live.n = r.n
  order by live.repo, r.collection, r.rkey collate "C",
    live.level::proof_level desc, live.rev collate "C" desc nulls last, live.n desc
),
stored as (
  insert into record (repo, collection, rkey, level, cid, rev, value)
  select repo, collection, rkey, level, cid, rev, value::json from wanted
  on conflict (repo, collection, rkey) do update
    set cid = excluded.cid, rev = excluded.rev, level = excluded.level, value = excluded.value
    where (record.cid is distinct from excluded.cid or excluded.level > record.level)
      and excluded.level >= record.level
      and (record.rev is null or excluded.rev >= record.rev)
  returning 1
),
-- Taken last (the count makes it wait for the rows) and held to the commit: numbers become visible in order.
locked as materialized (
  select p.job, p.seq from job_progress p
  where p.job in (select live.job from live) and (select count(*) from stored) >= 0
  order by p.job
  for update
),
changed as (
  update job_repo r
  set status = live.status::repo_status,
      host = coalesce(live.moved_to, r.host),
      method = live.method::fetch_method,
      failure = live.failure::failure_class,
      reason = live.reason::unavailable_reason,
      message = live.message,
      attempts = live.attempts,
      retry_at = live.retry_at,
      progress = live.progress::jsonb,
      records = live.records,
      seq = locked.seq + live.n
  from live join locked on locked.job = live.job
  where r.job = live.job and r.did = live.did and r.status in ('waiting', 'resolved', 'fetching')
  -- All that a receipt needs, too: joining live again would compare every step with every other one.
  returning live.n, r.job, r.status, r.failure, r.method, r.records, live.first_resolved, live.records_added,
            live.repo, live.host, live.level, live.rev, live.scope, live.data_cid, live.counts
),
counted as (
  update job_progress p
  set seq = p.seq + $28::int,
      resolved = p.resolved + c.resolved,
      completed = p.completed + c.completed,
      unavailable = p.unavailable + c.unavailable,
      failed = p.failed + c.failed,
      records = p.records + c.records
  from (
    select job,
           sum(first_resolved) as resolved,
           count(*) filter (where status = 'completed') as completed,
           count(*) filter (where status = 'unavailable') as unavailable,
           count(*) filter (where status = 'failed') as failed,
           sum(records_added) as records
    from changed group by job
  ) c
  where p.job = c.job
),
failures as (
  insert into job_failure (job, class, count)
  select job, failure, count(*) from changed where status = 'failed' group by job, failure
  on conflict (job, class) do update set count = job_failure.count + excluded.count
),
receipts as (
  insert into receipt (repo, scope, records, level, method, host, rev, data_cid, counts, completed_at)
  select distinct on (repo, scope)
    repo, scope, records, level::proof_level, method, host, rev, data_cid, counts::jsonb, now()
  from changed
  where status = 'completed'
  order by repo, scope, level::proof_level desc, rev collate "C" desc nulls last, n desc
  on conflict (repo, scope) do update
    set records = excluded.records, level = excluded.level, method = excluded.method, host = excluded.host,
        rev = excluded.rev, data_cid = excluded.data_cid, counts = excluded.counts,
        completed_at = excluded.completed_at
    where excluded.level >= receipt.level and (receipt.rev is null or excluded.rev is null or excluded.rev >= receipt.rev)
)
select n::int as n from changed`

/**
 * Steps gathered for one statement. Two steps for the same repo must not be in one batch: a driver waits for
 * a repo's step before it makes the next one.
 */
export class StepBatch {
  readonly #steps: RepoStep[] = []
  readonly #ordinals: number[] = []
  readonly #collections: number[] = []
  readonly #rkeys = new TextArray()
  readonly #cids = new TextArray()
  readonly #values = new TextArray(64 * 1024)

  get steps(): readonly RepoStep[] {
    return this.#steps
  }
  get rows(): number {
    return this.#ordinals.length
  }
  get valueBytes(): number {
    return this.#values.byteLength
  }

  add(step: RepoStep): void {
    this.#steps.push(step)
    for (const row of step.rows) {
      this.#ordinals.push(this.#steps.length)
      this.#collections.push(row.collection)
      this.#rkeys.push(row.rkey)
      this.#cids.push(row.cid)
      this.#values.push(row.value)
    }
  }

  /**
   * Writes the batch in one statement.
   * @returns for each step whether it took effect; false when its driver had lost the host, or the repo had
   *   its outcome already
   */
  async write(client: pg.ClientBase): Promise<boolean[]> {
    const steps = this.#steps
    const { rows } = await client.query<{ n: number }>({
      name: 'write-steps',
      text: STATEMENT,
      values: [
        steps.map((s) => s.job),
        textArray(steps.map((s) => s.did)),
        steps.map((s) => s.repo),
        steps.map((s) => s.fence.host),
        steps.map((s) => s.fence.epoch),
        textArray(steps.map((s) => s.status)),
        steps.map((s) => s.movedTo ?? null),
        steps.map((s) => (s.firstResolved ? 1 : 0)),
        textArray(steps.map((s) => s.method ?? null)),
        textArray(steps.map((s) => s.failure ?? null)),
        textArray(steps.map((s) => s.reason ?? null)),
        textArray(steps.map((s) => (s.message === undefined ? null : printable(s.message)))),
        steps.map((s) => s.attempts),
        steps.map((s) => s.retryAt ?? null),
        textArray(steps.map((s) => s.progress ?? null)),
        steps.map((s) => s.records),
        steps.map((s) => s.recordsAdded),
        textArray(steps.map((s) => s.level)),
        textArray(steps.map((s) => s.rev)),
        steps.map((s) => s.receipt?.scope ?? null),
        textArray(steps.map((s) => s.receipt?.dataCid ?? null)),
        textArray(steps.map((s) => (s.receipt ? JSON.stringify(s.receipt.counts) : null))),
        this.#ordinals,
        this.#collections,
        this.#rkeys.toParameter(),
        this.#cids.toParameter(),
        this.#values.toParameter(),
        steps.length,
      ],
    })
    const applied = new Array<boolean>(steps.length).fill(false)
    for (const { n } of rows) applied[n - 1] = true
    return applied
  }
}

/**
 * Removes the records of a repo that a complete reading did not contain, and leaves tombstones. Part of the
 * transaction that completes the repo; `kept` are the keys the reading found. Signed rows stay: an unsigned
 * reading proves nothing against them. Rows with a rev stay unless the reading has one that is as new.
 * @returns how many records were removed
 */
export async function entombMissing(
  client: pg.ClientBase,
  missing: {
    repo: number
    collections: readonly number[]
    rev: string | null
    kept: { collections: number[]; rkeys: TextArray }
  },
): Promise<number> {
  // A set difference, because it takes the time of a sort at worst. An anti-join takes the square of the keys
  // when the planner expects few rows, as it does for a repo that is larger than the others.
  const gone = await client.query<{ collection: number; rkeys: string[] }>(
    `select collection, array_agg(rkey order by rkey) as rkeys from (
       select collection, rkey from record where repo = $1 and collection = any($2::int[]) and ${REMOVABLE}
       except
       select kept.collection, kept.rkey collate "C" from unnest($4::int[], $5::text[]) as kept (collection, rkey)
     ) gone
     group by collection order by collection`,
    [
      missing.repo,
      missing.collections,
      missing.rev,
      missing.kept.collections,
      missing.kept.rkeys.toParameter(),
    ],
  )
  let removed = 0
  for (const { collection, rkeys } of gone.rows) {
    const { rowCount } = await client.query(
      `update record set cid = null, value = null, rev = coalesce($3, rev)
       where repo = $1 and collection = $2 and rkey = any($4::text[]) and ${REMOVABLE}`,
      [missing.repo, collection, missing.rev, textArray(rkeys)],
    )
    removed += rowCount ?? 0
  }
  return removed
}

/** What a reading without signatures at rev $3 may remove. */
const REMOVABLE = `cid is not null and level < 'signed' and (rev is null or rev <= $3)`

/** Text a text column takes: without NUL, and short enough for a row that lists failures. */
function printable(message: string): string {
  return message.replaceAll('\u0000', '').slice(0, 300)
}
