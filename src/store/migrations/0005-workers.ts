import { type Kysely, sql } from 'kysely'

/** What it takes to see at once that a process is gone, and to take over what it was at. */
export async function up(db: Kysely<unknown>): Promise<void> {
  for (const statement of statements()) await statement.execute(db)
}

const statements = () => [
  // backend is the server's end of the connection that the worker reported over, at reported_at: a process that
  // dies leaves its connections closed. tasks are those of the dispatch that it has in hand.
  sql`alter table worker
    add backend int,
    add reported_at timestamptz not null default now(),
    add tasks jsonb not null default '[]'`,
]
