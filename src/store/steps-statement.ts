/** Whether a step is worth telling to whoever follows the job: another page or another try is not. */
const IS_NEWS = `(live.moved_to is not null or live.status not in ('waiting', 'fetching', r.status::text))`

/** What becomes of a record that is stored already. */
const UNLESS_STORED = `on conflict (repo, collection, rkey) do update
    set cid = excluded.cid, rev = excluded.rev, level = excluded.level, value = excluded.value
    where (record.cid is distinct from excluded.cid or excluded.level > record.level)
      and excluded.level >= record.level
      and (record.rev is null or excluded.rev >= record.rev)`

/**
 * The statement that writes a batch of steps. Its parts run in this order, each taking its locks in one order,
 * so that no two batches wait for each other: hosts, records, jobs, repos of jobs, failures, receipts, accounts.
 *
 * Parameters: $1 to $27 the steps as columns, $28 to $32 their records as columns (n: the number of the step,
 * from 1), $33 how many steps there are. Gives the numbers of the steps that took effect.
 */
export const WRITE_STEPS = `
-- Expanded side by side in the list of what is selected, arrays are not first copied into a table each, which is a
-- sixth of what a batch of small repos costs.
with step as materialized (
  select
    generate_series(1, $33::int) as n, unnest($1::int[]) as job, unnest($2::text[]) as did,
    unnest($3::bigint[]) as repo, unnest($4::int[]) as host, unnest($5::bigint[]) as epoch,
    unnest($6::text[]) as status, unnest($7::int[]) as moved_to, unnest($8::int[]) as first_resolved,
    unnest($9::text[]) as method, unnest($10::text[]) as failure, unnest($11::text[]) as reason,
    unnest($12::text[]) as message, unnest($13::int[]) as attempts, unnest($14::timestamptz[]) as retry_at,
    unnest($15::text[]) as progress, unnest($16::int[]) as records, unnest($17::int[]) as records_added,
    unnest($18::text[]) as level, unnest($19::text[]) as rev, unnest($20::int[]) as scope,
    unnest($21::text[]) as data_cid, unnest($22::text[]) as counts, unnest($23::int[]) as unreadable,
    unnest($24::text[]) as unreadable_first, unnest($25::timestamptz[]) as read_from,
    unnest($26::bigint[]) as reading, unnest($27::timestamptz[]) as alive_at
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
  from (
    select unnest($28::int[]) as n, unnest($29::int[]) as collection, unnest($30::text[]) as rkey,
           unnest($31::text[]) as cid, unnest($32::json[]) as value
  ) r
  join live on live.n = r.n
  order by live.repo, r.collection, r.rkey collate "C",
    live.level::proof_level desc, live.rev collate "C" desc nulls last, live.n desc
),
stored as (
  insert into record (repo, collection, rkey, level, cid, rev, value)
  select repo, collection, rkey, level, cid, rev, value from wanted
  ${UNLESS_STORED}
  returning 1
),
-- Taken last (the count makes it wait for the rows) and held to the commit: numbers become visible in order.
locked as materialized (
  select p.job, p.seq from job_progress p
  where p.job in (select live.job from live) and not p.stopped and (select count(*) from stored) >= 0
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
      rev = case when live.status = 'completed' then live.rev end,
      seq = case when ${IS_NEWS} then locked.seq + live.n else r.seq end,
      changed_at = case when ${IS_NEWS} then now() else r.changed_at end
  from live join locked on locked.job = live.job
  where r.job = live.job and r.did = live.did and r.status in ('waiting', 'resolved', 'fetching')
  -- All that a receipt needs, too: joining live again would compare every step with every other one.
  returning live.n, r.job, r.status, r.failure, r.reason, r.method, r.records, live.first_resolved, live.records_added,
            live.repo, live.host, live.level, live.rev, live.scope, live.data_cid, live.counts,
            live.unreadable, live.unreadable_first, live.read_from, live.reading, live.alive_at
),
-- The row is always there. It has been changed since the statement began whenever another batch of the job is under
-- way: then an update has every part of the statement made ready once more, to look at the row afresh.
counted as (
  insert into job_progress as p (job, seq, resolved, completed, unavailable, failed, records)
  select job, $33::int,
         sum(first_resolved),
         count(*) filter (where status = 'completed'),
         count(*) filter (where status = 'unavailable'),
         count(*) filter (where status = 'failed'),
         sum(records_added)
  from changed group by job
  on conflict (job) do update
    set seq = p.seq + excluded.seq,
        resolved = p.resolved + excluded.resolved,
        completed = p.completed + excluded.completed,
        unavailable = p.unavailable + excluded.unavailable,
        failed = p.failed + excluded.failed,
        records = p.records + excluded.records
),
failures as (
  insert into job_failure (job, class, count)
  select job, failure, count(*) from changed where status = 'failed' group by job, failure
  on conflict (job, class) do update set count = job_failure.count + excluded.count
),
-- The keys of readings that will ask for them at their end. The count is known first: where there is no such
-- reading, nothing more is done.
found as (
  insert into reading_page (job, repo, reading, collection, rkeys)
  select changed.job, changed.repo, changed.reading, r.collection, array_agg(r.rkey)
  from unnest($28::int[], $29::int[], $30::text[]) as r (n, collection, rkey)
  join changed on changed.n = r.n
  where (select count(reading) from changed) > 0 and changed.reading is not null
  group by changed.job, changed.repo, changed.reading, r.collection
),
receipts as (
  insert into receipt (
    repo, scope, records, level, method, host, rev, data_cid, counts, unreadable, unreadable_first, read_from,
    completed_at
  )
  select distinct on (repo, scope)
    repo, scope, records, level::proof_level, method, host, rev, data_cid, counts::jsonb,
    unreadable, unreadable_first::jsonb, read_from, now()
  from changed
  where status = 'completed'
  order by repo, scope, level::proof_level desc, rev collate "C" desc nulls last, n desc
  on conflict (repo, scope) do update
    set records = excluded.records, level = excluded.level, method = excluded.method, host = excluded.host,
        rev = excluded.rev, data_cid = excluded.data_cid, counts = excluded.counts,
        unreadable = excluded.unreadable, unreadable_first = excluded.unreadable_first,
        read_from = excluded.read_from, completed_at = excluded.completed_at
    where excluded.level >= receipt.level and (receipt.rev is null or excluded.rev is null or excluded.rev >= receipt.rev)
),
-- What is now known of the accounts themselves, for whoever was told otherwise. That one is well again matters only
-- where it was not, before: a page that was asked for earlier may be written later. Looked up one by one, because a join
-- may read all of them for every batch.
accounts as (
  insert into account_state (repo, reason, seen_at, untold, unpurged)
  select distinct on (repo) repo, reason, now(), true, coalesce(reason in ('deleted', 'tombstoned'), false)
  from changed
  where status = 'unavailable'
     or status = 'completed' and (
       select a.reason from account_state a where a.repo = changed.repo and a.seen_at < changed.alive_at
     ) is not null
  order by repo, n desc
  on conflict (repo) do update
    set reason = excluded.reason, seen_at = excluded.seen_at, unpurged = excluded.unpurged,
        untold = account_state.untold or account_state.reason is distinct from excluded.reason
)
select n::int as n from changed`

/**
 * The same where no record is expected to be stored already. It costs a fifth less, because a record is inserted at
 * once instead of looked for first; and it writes nothing, and fails with `isStoredAlready`, where one is.
 */
export const expectingNewRecords = (statement: string) => statement.replace(UNLESS_STORED, '')

const UNIQUE_VIOLATION = '23505'

/** Whether a statement has failed because a record is stored already. */
export function isStoredAlready(error: unknown): boolean {
  if (!(error instanceof Error) || !('code' in error) || !('constraint' in error)) return false
  return error.code === UNIQUE_VIOLATION && error.constraint === 'record_pkey'
}
