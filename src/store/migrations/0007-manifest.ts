import { type Kysely, sql } from 'kysely'

/** What it takes to say for good what was true of every repo when a job ended. */
export async function up(db: Kysely<unknown>): Promise<void> {
  for (const statement of statements()) await statement.execute(db)
}

const statements = () => [
  // The end of a job that its manifest is of: a job that is tried again ends anew.
  sql`alter table job add manifest_of timestamptz`,
  sql`create index job_manifest_due on job (key)
    where completed_at is not null and details = 'kept' and manifest_of is distinct from completed_at`,

  // What is kept of a manifest: the last line of the document, which is signed, and the SHA-256 of all of it. The
  // lines before that are in so many parts, for as long as the job has details. completed_at is the job's at the
  // time; a row with another one is of no more use.
  sql`create table manifest (
    job int primary key references job (key) on delete cascade,
    completed_at timestamptz not null,
    hash text not null,
    head text not null,
    receipts bigint not null,
    parts int not null,
    built_at timestamptz not null
  )`,

  // Some thousand lines each, as one gzip member, in the order of the DIDs: written one after the other, so that
  // whoever goes on after somebody else finds in the last one where. tally sums up the lines so far.
  sql`create table manifest_part (
    job int not null references job (key) on delete cascade,
    completed_at timestamptz not null,
    part int not null,
    last_did text collate "C" not null,
    tally jsonb not null,
    lines bytea not null,
    primary key (job, completed_at, part)
  )`,
  // It is compressed already.
  sql`alter table manifest_part alter column lines set storage external`,
]
