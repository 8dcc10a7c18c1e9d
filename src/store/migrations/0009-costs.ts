import { type Kysely, sql } from 'kysely'

/** What a receipt costs, and a page of the repos with one status. */
export async function up(db: Kysely<unknown>): Promise<void> {
  for (const statement of statements()) await statement.execute(db)
}

const statements = () => [
  // Looked up for every receipt. A scope never goes away, and the job that a receipt comes of refers to it.
  sql`alter table receipt drop constraint receipt_scope_fkey`,

  // Without it, whoever asks for the few repos with one status has all of the job read. Those that are completed are
  // the most in the end, and are found among all; so the step that completes a repo has nothing to do here.
  sql`drop index job_repo_failed`,
  sql`create index job_repo_status on job_repo (job, status, did) where status <> 'completed'`,
]
