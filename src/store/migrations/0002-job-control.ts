import { type Kysely, sql } from 'kysely'

/** What it takes to steer a job, to follow it, and to say who may. */
export async function up(db: Kysely<unknown>): Promise<void> {
  for (const statement of statements()) await statement.execute(db)
}

const statements = () => [
  // The list of a finished job's repos is there, goes away in small portions, or is gone.
  sql`create type job_details as enum ('kept', 'deleting', 'deleted')`,
  // repo_limit is its caller's quota when the job was made; null is no limit. retrying are the failures of which
  // repos are still to be queued again, which happens in small portions too.
  sql`alter table job
    add details job_details not null default 'kept',
    add repo_limit bigint,
    add retrying failure_class[]`,
  sql`create index job_retrying on job (key) where retrying is not null`,
  sql`create index job_details_deleting on job (key) where details = 'deleting'`,
  sql`create index job_ended on job (completed_at) where completed_at is not null and details = 'kept'`,
  sql`create index job_caller_unfinished on job (caller)
    where status in ('running', 'pausing', 'paused', 'cancelling')`,

  // state_seq is the number given when status or stage changed last. While a job is stopped no step of its
  // repos takes effect: this says so in the row that every step locks.
  sql`alter table job_progress
    add state_seq bigint not null default 0,
    add stopped boolean not null default false`,

  // Why a listing cannot be read to its end.
  sql`alter table listing add failure text`,

  // seq and changed_at are of the last change that is worth telling: another status, another host.
  sql`alter table job_repo add changed_at timestamptz not null default now()`,
  sql`drop index job_repo_completed`,
  sql`create index job_repo_changed on job_repo (job, seq)`,
  sql`create index job_repo_failed on job_repo (job, did) where status = 'failed'`,

  // A reading that replaces stored rows must say at its end which keys there still are: the keys of each of its
  // pages, until then.
  sql`create table reading_page (
    job int not null references job (key) on delete cascade,
    repo bigint not null,
    reading bigint not null,
    collection int not null,
    rkeys text[] collate "C" not null
  )`,
  sql`create index reading_page_repo on reading_page (job, repo)`,

  // Processes that do the work, each with the moment until which it counts as alive, and the jobs that each may
  // have something in flight for.
  sql`create table worker (
    id uuid primary key,
    alive_until timestamptz not null
  ) with (fillfactor = 50)`,
  sql`create table engagement (
    job int not null references job (key) on delete cascade,
    worker uuid not null references worker (id) on delete cascade,
    primary key (job, worker)
  )`,
  sql`create index engagement_worker on engagement (worker)`,

  // Who may call, where it is not the settings that say so. A quota that is null is the default one.
  sql`create table caller (
    did text collate "C" primary key,
    permissions text[] not null,
    jobs_of text[] not null default '{}',
    running_jobs bigint,
    repos_per_job bigint,
    requests_per_minute bigint,
    created_at timestamptz not null,
    updated_at timestamptz not null
  )`,
  // Requests of each caller in the minute that it asked in last. Losing them in a crash does no harm.
  sql`create unlogged table request_count (
    did text collate "C" primary key,
    minute bigint not null,
    count int not null
  ) with (fillfactor = 50)`,
]
