import { setTimeout as sleep } from 'node:timers/promises'
import { type Config, readConfig } from '../config.js'
import { createLogger } from '../events.js'
import type { Asker } from '../jobs/context.js'
import { createJob } from '../jobs/create.js'
import { checkInput, inputHash, type JobInput } from '../jobs/input.js'
import { type Service, startService } from '../service.js'
import { findJob, findRunningJob, type JobRow } from '../store/jobs.js'
import { listRecords, type RecordPosition } from '../store/records.js'
import { EXIT } from './exit.js'
import { openOutput, type RecordOutput } from './output.js'
import { ProgressLine, progressOf } from './progress.js'
import { aborted, untilInterrupted } from './signals.js'

export interface RunOptions {
  readonly collection: string[]
  readonly repo?: string[]
  readonly output?: string
  readonly level: string
}

const LOOK_EVERY_MS = 200
const PAGE_RECORDS = 1_000

/**
 * A whole backfill without a server: the service acts for itself. What was interrupted goes on where it
 * stopped, as the same question asked again.
 */
export async function runBackfill(options: RunOptions): Promise<number> {
  const config = readConfig({ LOG_LEVEL: 'error', ...process.env })
  const input: JobInput = {
    collections: options.collection,
    ...(options.repo && { repos: options.repo }),
    level: options.level,
  }
  // Wrong input is told before anything is started.
  checkInput(input)
  const { signal, restore } = untilInterrupted()
  const service = await startService({
    config,
    logger: createLogger(config.logLevel, 'stderr'),
    api: false,
    engine: true,
  })
  try {
    const job = await takeUp(service, config, input)
    const output = await openOutput(options.output)
    return await follow(service, job, output, signal)
  } finally {
    await service[Symbol.asyncDispose]()
    restore()
  }
}

/** The job of an earlier run that was interrupted, or a new one. */
async function takeUp(service: Service, config: Config, input: JobInput): Promise<JobRow> {
  const asker: Asker = { did: config.identity.did, admin: true }
  const earlier = await findRunningJob(service.store.db, asker.did, inputHash(checkInput(input)))
  if (earlier) {
    process.stderr.write(`Going on with job ${earlier.id}, begun ${earlier.created_at.toISOString()}.\n`)
    return earlier
  }
  return createJob({ ...service, db: service.store.db }, asker, input)
}

/** Writes records as repos are completed, shows progress, and ends with the job. */
async function follow(
  service: Service,
  started: JobRow,
  output: RecordOutput,
  signal: AbortSignal,
): Promise<number> {
  const { db } = service.store
  const line = new ProgressLine(process.stderr)
  const stopped = aborted(signal)
  let position: RecordPosition | null = null
  let job = started
  while (!signal.aborted) {
    // Looked at before the records: when it has ended, what follows is all there will be.
    job = (await findJob(db, job.id))!
    line.show(progressOf(job), service.now())
    position = await writeNew(db, job, position, output, signal)
    if (job.status !== 'running') break
    await Promise.race([sleep(LOOK_EVERY_MS), stopped])
  }
  line.clear()
  if (signal.aborted) {
    await output.abandon()
    process.stderr.write('Interrupted. Nothing is lost: run the same command again to go on.\n')
    return EXIT.interrupted
  }
  await output.finish()
  process.stderr.write(summary(job, output.path))
  if (job.status === 'failed') return EXIT.failed
  return job.failed > 0 ? EXIT.incomplete : EXIT.done
}

async function writeNew(
  db: Service['store']['db'],
  job: JobRow,
  after: RecordPosition | null,
  output: RecordOutput,
  signal: AbortSignal,
): Promise<RecordPosition | null> {
  const query = { job: job.key, scope: job.scope, collection: null, did: null, limit: PAGE_RECORDS }
  let position = after
  while (!signal.aborted) {
    const records = await listRecords(db, query, position)
    await output.write(records)
    position = records.at(-1) ?? position
    if (records.length < PAGE_RECORDS) return position
  }
  return position
}

/** What came of a job, for people. */
export function summary(job: JobRow, path: string | null): string {
  const lines = [
    `${job.status === 'failed' ? `Failed: ${job.error}` : 'Done.'}`,
    `  ${job.completed} of ${job.total} repos completed, ${job.records} records${path ? ` in ${path}` : ''}`,
  ]
  if (job.unavailable > 0) lines.push(`  ${job.unavailable} unavailable (deactivated, taken down or deleted)`)
  for (const { class: failure, count } of job.failures ?? []) lines.push(`  ${count} failed: ${failure}`)
  return `${lines.join('\n')}\n`
}
