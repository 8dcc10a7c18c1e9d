import { type Kysely, sql } from 'kysely'

/** What verified repos need: records that no reader can read, what a host can do, and the revs that hosts name. */
export async function up(db: Kysely<unknown>): Promise<void> {
  for (const statement of statements()) await statement.execute(db)
}

const statements = () => [
  // unreadable counts the records that the signed tree names, but whose bytes are not valid data; the first
  // hundred of them are unreadable_first, as [{collection, rkey, cid}]. read_from is a moment before which nothing
  // of what the receipt counts was read, by the database's clock; only a receipt without a rev needs it.
  sql`alter table receipt
    add unreadable int not null default 0,
    add unreadable_first jsonb,
    add read_from timestamptz`,

  // Methods that the host does not offer, as it said at unsupported_at; it is asked again some days later.
  sql`alter table host
    add unsupported text[] not null default '{}',
    add unsupported_at timestamptz`,

  // The rev at which a host listed a repo that we know. When it had answered first with this rev, and when it was
  // asked last: between the two the repo was at this rev. By the database's clock.
  sql`create table repo_rev (
    repo bigint primary key,
    host int not null,
    rev text collate "C" not null,
    first_seen_at timestamptz not null,
    seen_at timestamptz not null
  ) with (fillfactor = 70)`,

  // Reading the revs of a host's repos, page by page: for these jobs, which had all begun before began_at. Of the
  // accounts listed so far, wanted are in the scope of one of them. Once it is done, listed is how many accounts the
  // host has at least. Not in the host's row, which the writes of a driver share for as long as they take.
  sql`create table rev_listing (
    host int primary key references host (id) on delete cascade,
    jobs int[] not null,
    began_at timestamptz not null,
    cursor text,
    pages int not null default 0,
    mark text,
    listed bigint not null default 0,
    wanted bigint not null default 0,
    done boolean not null default false,
    attempts smallint not null default 0,
    retry_at timestamptz
  ) with (fillfactor = 50)`,
]
