import { assertCountersEqualRows } from '../support/fixtures.js'
import { eventually } from '../support/wait.js'
import { checkJob } from './check-job.js'
import { checkNetwork } from './check-network.js'
import { checkPicture } from './check-picture.js'
import { checkStored } from './check-stored.js'
import type { Run } from './run.js'
import { takePicture } from './stored.js'

/** Tasks of a process that was killed count as under way for a while, ms. */
const FORGOTTEN_MS = { engines: 6_000, processes: 40_000 }

/** Every look at a run that has come to its end: each by itself, none takes another one's word. */
export async function check(run: Run): Promise<void> {
  const { differences, store } = run
  await checkLeftovers(run)
  const stored = await takePicture(run)
  for (const job of run.jobs.values()) {
    const { listed, found } = await checkJob(run, job, stored)
    differences.push(...found, ...checkPicture(job, listed, stored))
  }
  differences.push(...checkNetwork(run), ...checkStored(run, stored))
  await assertCountersEqualRows(store).catch((error: unknown) => differences.push(`counters: ${error}`))
}

const TASKS = `select name, state, singleton_key from pgboss.job
  where name in ('discover', 'resolve', 'drive') and state in ('created', 'retry', 'active')`
const ENGAGED = `select job.id, engagement.worker from engagement join job on job.key = engagement.job`
const KEYS = `select page.job, page.repo from reading_page page
  join job_repo r on r.job = page.job and r.repo = page.repo where r.status in ('completed', 'unavailable')`

/** All jobs have ended, so nobody has anything to do. */
async function checkLeftovers({ store, pace, differences, plan }: Run): Promise<void> {
  const look = async () => {
    const [tasks, engaged, keys] = await Promise.all(
      [TASKS, ENGAGED, KEYS].map((text) => store.pool.query(text)),
    )
    return { tasks: tasks!.rows, engaged: engaged!.rows, keys: keys!.rows }
  }
  const isEmpty = (left: object) => Object.values(left).every((rows) => rows.length === 0)
  await eventually(look, isEmpty, pace.atMost(FORGOTTEN_MS[plan.crew.kind])).catch((error: unknown) => {
    differences.push(`left behind by jobs that have ended: ${error}`)
  })
}

const WORKERS = `select id, alive_until from worker where alive_until > now()
  union all select worker, null from engagement`

/** Everybody has stopped as they were asked to, so nobody is left: those who were killed are forgotten by themselves. */
export async function checkStopped({ store, pace, differences, plan }: Run): Promise<void> {
  const look = async () => (await store.pool.query(WORKERS)).rows
  const waitsMs = plan.crew.kind === 'engines' ? 0 : pace.atMost(FORGOTTEN_MS.processes)
  await eventually(look, (rows) => rows.length === 0, waitsMs).catch((error: unknown) => {
    differences.push(`left behind by those who have stopped: ${error}`)
  })
}
