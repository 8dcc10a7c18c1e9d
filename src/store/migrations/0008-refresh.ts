import { type Kysely, sql } from 'kysely'

/** What it takes to tell what has changed since an earlier job, and to let go of what nobody wants any more. */
export async function up(db: Kysely<unknown>): Promise<void> {
  for (const statement of statements()) await statement.execute(db)
}

const statements = () => [
  sql`create type job_purge as enum ('purging', 'purged')`,
  // refreshes is the id of the job that this one repeats. Its repos are queued in portions, by their DIDs:
  // refresh_after is the last one so far, and null when there are no more. Of a job that is to leave nothing, the
  // details count as deleted at once; while it is purging, the list of its repos says what is still to go.
  sql`alter table job
    add refreshes text collate "C",
    add refresh_after text collate "C",
    add purge job_purge`,
  sql`create index job_refreshing on job (key) where refresh_after is not null`,
  sql`create index job_purging on job (key) where purge = 'purging'`,

  // The rev at which the repo was completed in this job, and the one at which it had been in the job that this one
  // refreshes. Null where it is not known.
  sql`alter table job_repo
    add rev text collate "C",
    add since_rev text collate "C"`,
  // Every job that has a repo: to tell them what has become of the account, and to see who still needs its records.
  sql`create index job_repo_repo on job_repo (repo)`,

  // Accounts that some job has found unavailable; no reason where one has found them well again since. untold: the
  // jobs that had completed the repo before do not say so yet. unpurged: its records are still to go.
  sql`create table account_state (
    repo bigint primary key,
    reason unavailable_reason,
    seen_at timestamptz not null,
    untold boolean not null,
    unpurged boolean not null
  )`,
  sql`create index account_state_untold on account_state (repo) where untold`,
  sql`create index account_state_unpurged on account_state (repo) where unpurged`,
]
