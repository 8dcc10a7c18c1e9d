import { XRPCError } from '@atproto/xrpc'
import { storedRecords } from '../support/fixtures.js'
import { Random } from '../support/simulation/random.js'
import { eventually } from '../support/wait.js'
import type { Run } from './run.js'

/** Until the rows of deleted details are gone, at most, ms. */
const PURGED_MS = 10_000

/** Deletes the details of some jobs: their lists go, and nothing else does. */
export async function checkDeletion({ plan, jobs, store, pace, differences }: Run): Promise<void> {
  const random = new Random(plan.seed, 5)
  const before = await storedRecords(store)
  const deleted: { name: string; id: string }[] = []
  for (const { id, scope, backfill } of jobs.values()) {
    if (!random.chance(0.4)) continue
    const name = `job ${scope.job.index}`
    const { data: view } = await backfill().getJobStatus({ job: id })
    await backfill().deleteJobDetails({ job: id })
    const error = await backfill()
      .listJobRepos({ job: id })
      .then(
        () => 'nothing',
        (refused: unknown) => (refused instanceof XRPCError ? refused.error : refused),
      )
    if (error !== 'DetailsDeleted') differences.push(`${name}: its deleted details are refused with ${error}`)
    const { data: after } = await backfill().getJobStatus({ job: id })
    if (JSON.stringify(after) !== JSON.stringify(view)) {
      differences.push(
        `${name}: was ${JSON.stringify(view)}, and is ${JSON.stringify(after)} without its details`,
      )
    }
    deleted.push({ name, id })
  }
  // Processes take their time to look.
  for (const { name, id } of plan.crew.kind === 'engines' ? deleted : []) {
    await eventually(
      async () => rowsOf(store, id),
      (rows) => rows === 0,
      pace.atMost(PURGED_MS),
    ).catch(() => differences.push(`${name}: the rows of its deleted details stay`))
  }
  if (JSON.stringify(await storedRecords(store)) !== JSON.stringify(before)) {
    differences.push('records went away with the details of jobs')
  }
}

async function rowsOf({ pool }: Run['store'], id: string): Promise<number> {
  const { rows } = await pool.query<{ count: number }>(
    'select count(*) as count from job_repo r join job on job.key = r.job where job.id = $1',
    [id],
  )
  return rows[0]!.count
}
