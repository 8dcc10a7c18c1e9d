import { setTimeout as sleep } from 'node:timers/promises'
import { jobView } from '../api/view.js'
import { type Config, readConfig } from '../config.js'
import type { Asker } from '../jobs/context.js'
import { createJob } from '../jobs/create.js'
import { assertScope, checkInput, inputHash, type JobInput } from '../jobs/input.js'
import { recordLine } from '../jobs/record-json.js'
import { pause } from '../pause.js'
import { type Service, startService } from '../service.js'
import { findJob, findRunningJob, type JobRow } from '../store/jobs.js'
import { readRecordPage } from '../store/record-pages.js'
import type { RecordPosition } from '../store/records.js'
import { listRepos } from '../store/repos.js'
import { isConnectionLost } from '../store/trouble.js'
import { CommandError, Interrupted } from './exit.js'
import { openOutput, type RecordOutput } from './output.js'
import { ProgressLine, progressOf } from './progress.js'
import { createRunLogger } from './run-log.js'
import { withSetupAdvice } from './setup.js'
import { aborted, untilInterrupted } from './signals.js'
import { StatusLine } from './status-line.js'
import { printJson } from './stdout.js'
import { exitCodeOf, summaryOf } from './summary.js'
import { count, plain } from './text.js'

export interface RunOptions {
  readonly collection?: string[]
  readonly repo?: string[]
  readonly host?: string[]
  readonly output?: string
  readonly level: string
  readonly method: string
  readonly json?: boolean
}

const LOOK_EVERY_MS = 200
const PAGE_RECORDS = 1_000
/** How long a database may be away: an embedded one that died is back in seconds, one that recovers later. */
const DATABASE_AWAY_MS_MAX = 120_000
const DATABASE_RETRY_MS = 500
/** How many failed repos are named at the end. */
const FAILED_SHOWN = 10

/**
 * A whole backfill without a server: the service acts for itself. What was interrupted goes on where it
 * stopped, as the same question asked again.
 */
export async function runBackfill(options: RunOptions): Promise<number> {
  const config = readConfig(process.env)
  const input: JobInput = {
    ...(options.collection && { collections: options.collection }),
    ...(options.repo && { repos: options.repo }),
    ...(options.host && { hosts: options.host }),
    level: options.level,
    method: options.method,
  }
  // What cannot work is told before anything is started.
  assertScope(checkInput(input, config.network), { admin: false })
  const output = await openOutput(options.output)
  const { signal, restore } = untilInterrupted()
  try {
    const job = await work(config, input, output, signal)
    if (options.json && output.path !== null) await printJson(jobView(job))
    return exitCodeOf(jobView(job))
  } catch (error) {
    await output.abandon()
    throw error
  } finally {
    restore()
  }
}

async function work(
  config: Config,
  input: JobInput,
  output: RecordOutput,
  signal: AbortSignal,
): Promise<JobRow> {
  const line = new ProgressLine(process.stderr)
  const service = await start(config, line)
  try {
    if (signal.aborted) throw new Interrupted('Interrupted before anything was done.')
    // Asked again, it finds the job that it made.
    const started = await patiently(() => takeUp(service, config, input), signal)
    const job = await follow(service, started, { output, line, signal })
    process.stderr.write(await conclusion(service, job, output, signal))
    return job
  } catch (error) {
    // Without its database a service does not stop in order; what went wrong first is what people should know.
    await service[Symbol.asyncDispose]().then(undefined, () => {})
    throw error
  } finally {
    await service[Symbol.asyncDispose]()
  }
}

/** A first start of the embedded Postgres takes some seconds: people should know what they wait for. */
async function start(config: Config, line: ProgressLine): Promise<Service> {
  const { url, dataDirectory } = config.database
  const starting = new StatusLine(process.stderr)
  const logger = createRunLogger(process.env.LOG_LEVEL ? config.logLevel : null, (text) => {
    starting.clear()
    line.clear()
    process.stderr.write(`${text}\n`)
  })
  starting.note(url === null ? `Starting a Postgres in ${dataDirectory} …` : 'Opening the database …')
  try {
    // The port for metrics belongs to a service that may run beside.
    const own = { ...config, server: { ...config.server, metricsPort: null } }
    return await withSetupAdvice(own, () => startService({ config: own, logger, api: false, engine: true }))
  } finally {
    starting.clear()
  }
}

/** The job of an earlier run that was interrupted, or a new one. */
async function takeUp(service: Service, config: Config, input: JobInput): Promise<JobRow> {
  const asker: Asker = { did: config.identity.did, admin: true, jobsOf: [] }
  const earlier = await findRunningJob(
    service.store.db,
    asker.did,
    inputHash(checkInput(input, config.network)),
  )
  if (earlier) {
    process.stderr.write(`Going on with job ${earlier.id}, begun ${earlier.created_at.toISOString()}.\n`)
    return earlier
  }
  return createJob({ ...service, db: service.store.db }, asker, input)
}

/** Writes records as repos are completed and shows progress, until the job ends. */
async function follow(
  service: Service,
  started: JobRow,
  { output, line, signal }: { output: RecordOutput; line: ProgressLine; signal: AbortSignal },
): Promise<JobRow> {
  const { db } = service.store
  const stopped = aborted(signal)
  let position: RecordPosition | null = null
  let job = started
  try {
    while (!signal.aborted) {
      // Looked at before the records: when it has ended, what follows is all there will be.
      job = (await patiently(() => findJob(db, job.id), signal))!
      line.show(progressOf(jobView(job)), service.now())
      // Records on the same terminal begin a line of their own.
      const write = async (lines: string) => {
        if (output.path === null && process.stdout.isTTY) line.clear()
        await output.write(lines)
      }
      position = await writeNew(db, job, position, write, signal)
      if (job.status !== 'running') break
      await Promise.race([sleep(LOOK_EVERY_MS), stopped])
    }
  } finally {
    line.clear()
  }
  if (signal.aborted) throw new Interrupted(INTERRUPTED)
  return job
}

const INTERRUPTED = 'Interrupted. Nothing is lost: the same command again goes on where this one stopped.'

/**
 * Asks the database, again and again while it cannot be reached.
 * @param limits how long it may be away, and the pause between attempts, both in milliseconds
 * @throws CommandError when it stays away; Interrupted when the signal ends the waiting
 */
export async function patiently<T>(
  ask: () => Promise<T>,
  signal: AbortSignal,
  limits = { awayMs: DATABASE_AWAY_MS_MAX, retryMs: DATABASE_RETRY_MS },
): Promise<T> {
  let lostAt: number | null = null
  for (;;) {
    try {
      return await ask()
    } catch (error) {
      if (!isConnectionLost(error)) throw error
      if (signal.aborted) throw new Interrupted(INTERRUPTED)
      lostAt ??= performance.now()
      if (performance.now() - lostAt > limits.awayMs) throw new CommandError(DATABASE_GONE, { cause: error })
      await pause(limits.retryMs, signal)
    }
  }
}

const DATABASE_GONE =
  'The database is gone. Nothing that was fetched is lost: when it is back, the same command goes on.'

async function writeNew(
  db: Service['store']['db'],
  job: JobRow,
  written: RecordPosition | null,
  write: (lines: string) => Promise<void>,
  signal: AbortSignal,
): Promise<RecordPosition | null> {
  const query = { job: job.key, scope: job.scope, collection: null, did: null, limit: PAGE_RECORDS }
  let position = written
  while (!signal.aborted) {
    // Only the reading is tried again: what was written is behind the position already.
    const after = position
    const { rows, more } = await patiently(() => readRecordPage(db, query, after), signal)
    if (rows.length > 0) await write(rows.map((record) => `${recordLine(record)}\n`).join(''))
    position = rows.at(-1) ?? position
    if (!more) return position
  }
  return position
}

/** What came of it, once its records have their place. */
async function conclusion(
  service: Service,
  job: JobRow,
  output: RecordOutput,
  signal: AbortSignal,
): Promise<string> {
  if (job.status === 'completed') {
    await output.finish()
    return (
      summaryOf(jobView(job), output.path) +
      (job.failed > 0 ? await patiently(() => failedRepos(service, job), signal) : '')
    )
  }
  const partial = await output.leave()
  const kept = partial === null ? '' : `  These are not all records: ${partial}\n`
  return `${summaryOf(jobView(job))}${kept}Look at RELAYS ("aquifer config" shows it), and give the command again.\n`
}

/** Which repos failed, the first of them: nobody else can be asked once the command has ended. */
async function failedRepos({ store }: Service, job: JobRow): Promise<string> {
  const query = {
    job: job.key,
    scope: job.scope,
    statuses: ['failed' as const],
    resolvedOnly: false,
    origin: null,
  }
  const repos = await listRepos(store.db, { ...query, after: '', limit: FAILED_SHOWN })
  const lines = repos.map((repo) => `    ${repo.did}  ${repo.failure}: ${plain(repo.message ?? '')}`)
  const more = job.failed - repos.length
  if (more > 0) lines.push(`    … and ${count(more)} more`)
  return `${lines.join('\n')}\n`
}
