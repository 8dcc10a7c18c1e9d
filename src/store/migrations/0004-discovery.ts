import { type Kysely, sql } from 'kysely'

/** What it takes to find repos on hosts, and to know where the relays stood before. */
export async function up(db: Kysely<unknown>): Promise<void> {
  for (const statement of statements()) await statement.execute(db)
}

const statements = () => [
  // A listing is of a relay or of a host: origin is where it is asked for. lists says what it lists: the repos with
  // a collection, by its name; 'hosts', a relay's; 'repos', all of a host's. No collection has a name without dots.
  // host is set for what is read in the turn of the host's driver.
  sql`alter table listing rename column relay to origin`,
  sql`alter table listing rename column collection to lists`,
  sql`alter table listing add host int`,
  sql`create index listing_host on listing (host)
    where host is not null and not done and failure is null`,

  // Where a relay's firehose stood before anything of a job was read, or why that cannot be said. A job has begun
  // when each row has one of the two.
  sql`create table start_cursor (
    job int not null references job (key) on delete cascade,
    relay text collate "C" not null,
    seq bigint,
    attempts smallint not null default 0,
    retry_at timestamptz,
    failure text,
    primary key (job, relay)
  )`,
  sql`create index start_cursor_open on start_cursor (job) where seq is null and failure is null`,
]
