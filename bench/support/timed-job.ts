import { setTimeout as sleep } from 'node:timers/promises'
import type { Store } from '../../src/store/database.js'
import { insertJob, type NewJob } from '../../src/store/jobs.js'
import { documentOf } from '../../test/support/network/stand-in-directory.js'

const POLL_MS = 50

/** Has the documents of accounts at hand, as if they had been looked up lately. @param accounts DID and PDS of each */
export async function keepDocuments(
  store: Store,
  accounts: readonly (readonly [string, string])[],
): Promise<void> {
  await store.pool.query(
    `insert into identity (did, document, updated_at)
     select did, document::json, now() from unnest($1::text[], $2::text[]) as t (did, document)
     on conflict (did) do update set updated_at = excluded.updated_at`,
    [accounts.map(([did]) => did), accounts.map(([did, pds]) => JSON.stringify(documentOf(did, pds)))],
  )
}

/** The host name of whose did:web the jobs are. */
export const BENCH_CALLER = 'bench.example'

/** Makes a job as `createJob` does. @returns its key */
export async function makeJob(
  store: Store,
  job: Pick<NewJob, 'collections' | 'from'> & Partial<Pick<NewJob, 'id' | 'method'>>,
): Promise<number> {
  const { id = `bench-${performance.now()}`, collections, method = 'list-records', from } = job
  await store.db.transaction().execute((trx) =>
    insertJob(trx, {
      id,
      caller: `did:web:${BENCH_CALLER}`,
      clientToken: null,
      inputHash: id,
      name: null,
      collections,
      method,
      level: 'content',
      repoLimit: null,
      createdAt: new Date(),
      from,
    }),
  )
  const { rows } = await store.pool.query<{ key: number }>('select key from job where id = $1', [id])
  return rows[0]!.key
}

/** What became of a job. */
export interface Timed {
  /** From its start to its end, as the job itself tells. */
  readonly seconds: number
  readonly completed: number
}

/** Waits for a job's end. */
export async function endOf(store: Store, job: number): Promise<Timed> {
  for (;;) {
    const { rows } = await store.pool.query<Timed & { status: string }>(
      `select status, completed, extract(epoch from completed_at - started_at)::float8 as seconds
       from job join job_progress on job = key where key = $1`,
      [job],
    )
    const { status, seconds, completed } = rows[0]!
    if (status === 'completed') return { seconds, completed: Number(completed) }
    if (status !== 'running') throw new Error(`the job is ${status}`)
    await sleep(POLL_MS)
  }
}
