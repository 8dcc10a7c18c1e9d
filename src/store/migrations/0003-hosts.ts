import { type Kysely, sql } from 'kysely'

/** What is known of a host, so that it outlasts whoever drives it. */
export async function up(db: Kysely<unknown>): Promise<void> {
  for (const statement of statements()) await statement.execute(db)
}

const statements = () => [
  // failures, refusals and unstated count in a row. A parked host is left alone but for a probe at
  // next_request_at; parkings says how often in a row it came to that. unanswered_since is when it began to give
  // no good answer; given_up says that its repos were failed for that, and that it was not tried since. budget is
  // what was learned of its limits.
  sql`alter table host
    add failures smallint not null default 0,
    add parked boolean not null default false,
    add parkings smallint not null default 0,
    add refusals smallint not null default 0,
    add unstated smallint not null default 0,
    add unanswered_since timestamptz,
    add given_up boolean not null default false,
    add budget jsonb`,
  sql`create index host_unanswered on host (unanswered_since) where unanswered_since is not null`,

  // Hosts that several processes ask side by side: until then every turn is somebody's. Not in the host's row,
  // which the writes of a driver share for as long as they take.
  sql`create table host_turns (
    host int primary key references host (id) on delete cascade,
    taken_until timestamptz not null default '-infinity'
  ) with (fillfactor = 50)`,

  // With job_repo_due, every repo that waits for a host.
  sql`create index job_repo_backing_off on job_repo (host, job)
    where status in ('resolved', 'fetching') and retry_at is not null`,
]
