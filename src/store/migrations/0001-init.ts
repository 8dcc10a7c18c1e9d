import { type Kysely, sql } from 'kysely'
import {
  FAILURE_CLASSES,
  JOB_STAGES,
  JOB_STATUSES,
  LEVELS,
  METHODS,
  REPO_STATUSES,
  REQUESTABLE_METHODS,
  UNAVAILABLE_REASONS,
} from '../../verdict.js'

const enumOf = (words: readonly string[]) => sql.raw(`enum (${words.map((word) => `'${word}'`).join(', ')})`)

/** The whole first schema; what each table is for stands beside it. */
export async function up(db: Kysely<unknown>): Promise<void> {
  for (const statement of statements()) await statement.execute(db)
}

const statements = () => [
  sql`create type job_status as ${enumOf(JOB_STATUSES)}`,
  sql`create type job_stage as ${enumOf(JOB_STAGES)}`,
  sql`create type repo_status as ${enumOf(REPO_STATUSES)}`,
  sql`create type fetch_method as ${enumOf(METHODS)}`,
  sql`create type requested_method as ${enumOf(REQUESTABLE_METHODS)}`,
  // Compared with < and >: the order of the words is the order of proof.
  sql`create type proof_level as ${enumOf(LEVELS)}`,
  sql`create type failure_class as ${enumOf(FAILURE_CLASSES)}`,
  sql`create type unavailable_reason as ${enumOf(UNAVAILABLE_REASONS)}`,

  // Accounts and collections as small numbers: records carry 12 bytes of key instead of about 60.
  sql`create table repo (
    id bigint generated always as identity primary key,
    did text collate "C" not null unique
  )`,
  sql`create table collection (
    id int generated always as identity primary key,
    nsid text collate "C" not null unique
  )`,

  // What was fetched, shared by all jobs. A row without a cid is a tombstone: the record was there and is
  // gone since rev. value is json, not jsonb: jsonb refuses \u0000 and lone surrogates. It is null where a
  // signed tree names the record but its bytes are not valid data.
  sql`create table record (
    repo bigint not null,
    collection int not null,
    level proof_level not null,
    rkey text collate "C" not null,
    cid text collate "C",
    rev text collate "C",
    value json,
    primary key (repo, collection, rkey)
  )`,

  // The set of collections a job wants, sorted and written once, so that jobs with the same wish share
  // receipts. An empty array means every collection. hash is the array's SHA-256: a hundred names are more than
  // an index takes.
  sql`create table scope (
    id int generated always as identity primary key,
    hash text collate "C" not null unique,
    collections text[] not null
  )`,

  // The verdict on one repo for one scope: the newest one, whichever job reached it.
  sql`create table receipt (
    repo bigint not null,
    scope int not null references scope (id),
    records int not null,
    level proof_level not null,
    method fetch_method not null,
    host int not null,
    rev text collate "C",
    data_cid text collate "C",
    counts jsonb not null,
    completed_at timestamptz not null,
    primary key (repo, scope)
  )`,

  // A PDS origin, or the directory's. Whoever drives it raises epoch first; every write of a driver checks
  // that it still holds, so one that lost its claim cannot write. next_request_at gates every request.
  sql`create table host (
    id int generated always as identity primary key,
    origin text collate "C" not null unique,
    epoch bigint not null default 0,
    next_request_at timestamptz not null default '-infinity'
  ) with (fillfactor = 70)`,

  // DID documents, as @atproto/identity's cache.
  sql`create table identity (
    did text collate "C" primary key,
    document json not null,
    handle text,
    updated_at timestamptz not null
  )`,

  // Tokens seen, until they expire anyway.
  sql`create table spent_token (
    issuer text collate "C" not null,
    jti text collate "C" not null,
    expires_at timestamptz not null,
    primary key (issuer, jti)
  )`,
  sql`create index spent_token_expiry on spent_token (expires_at)`,

  // key is for joins, id (a TID) is what callers see.
  sql`create table job (
    key int generated always as identity primary key,
    id text collate "C" not null unique,
    caller text collate "C" not null,
    client_token text,
    input_hash text,
    name text,
    scope int not null references scope (id),
    collections text[],
    repo_count int,
    hosts text[],
    method requested_method not null,
    level proof_level not null,
    status job_status not null,
    stage job_stage not null,
    discovery_complete boolean not null default false,
    error text,
    created_at timestamptz not null,
    started_at timestamptz,
    completed_at timestamptz
  )`,
  sql`create unique index job_client_token on job (caller, client_token) where client_token is not null`,
  sql`create index job_caller on job (caller, id)`,
  sql`create index job_unfinished on job (key)
    where status in ('running', 'pausing', 'paused', 'cancelling')`,

  // The job's counters and the last number given out. Whoever changes repos of a job locks this row last and
  // holds it to the commit: so numbers become visible in order, and the counters equal the rows.
  sql`create table job_progress (
    job int primary key references job (key) on delete cascade,
    seq bigint not null default 0,
    total bigint not null default 0,
    resolved bigint not null default 0,
    completed bigint not null default 0,
    unavailable bigint not null default 0,
    failed bigint not null default 0,
    records bigint not null default 0
  ) with (fillfactor = 50)`,
  sql`create table job_failure (
    job int not null references job (key) on delete cascade,
    class failure_class not null,
    count bigint not null,
    primary key (job, class)
  )`,

  // One listing of a job's discovery: a relay's answer for one collection. Its cursor commits with its page.
  // pages counts the pages saved; mark is the cursor of an earlier one, which shows a listing that goes in circles.
  sql`create table listing (
    job int not null references job (key) on delete cascade,
    relay text collate "C" not null,
    collection text collate "C" not null,
    cursor text,
    pages int not null default 0,
    mark text,
    done boolean not null default false,
    attempts smallint not null default 0,
    retry_at timestamptz,
    primary key (job, relay, collection)
  )`,

  // One repo of one job. Open rows with no retry_at are due; progress says where to go on inside the repo.
  sql`create table job_repo (
    id bigint generated always as identity,
    repo bigint not null,
    job int not null references job (key) on delete cascade,
    host int,
    did text collate "C" not null,
    status repo_status not null default 'waiting',
    method fetch_method,
    failure failure_class,
    reason unavailable_reason,
    attempts smallint not null default 0,
    records int not null default 0,
    seq bigint not null,
    retry_at timestamptz,
    progress jsonb,
    message text,
    primary key (job, did)
  ) with (fillfactor = 85)`,
  // id has no index of its own: with one, the planner walks it and filters the finished rows away.
  sql`create index job_repo_unresolved on job_repo (job, id) where status = 'waiting' and retry_at is null`,
  sql`create index job_repo_due on job_repo (host, job, id)
    where status in ('resolved', 'fetching') and retry_at is null`,
  sql`create index job_repo_later on job_repo (retry_at) where retry_at is not null`,
  sql`create index job_repo_completed on job_repo (job, seq) where status = 'completed'`,

  sql`create view readable_record as
    select 'at://' || repo.did || '/' || collection.nsid || '/' || record.rkey as uri,
           repo.did, collection.nsid as collection, record.rkey, record.cid, record.rev, record.level,
           record.value
    from record
    join repo on repo.id = record.repo
    join collection on collection.id = record.collection
    where record.cid is not null`,
]
