import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import { setTimeout as sleep } from 'node:timers/promises'
import type { BackfillClient } from '../src/client/index.js'
import type { Pool, Store } from '../src/store/database.js'
import { documentOf } from '../test/support/network/stand-in-directory.js'
import type { Benchmark } from './main.js'
import { startBenchApi } from './support/bench-api.js'
import { cpuSeconds } from './support/cpu.js'
import { COLLECTION, tidOf } from './support/posts.js'
import { programPath } from './support/program.js'
import { makeJob } from './support/timed-job.js'
import { didOfNumber } from './support/tiny-dids.js'
import { type Reading, WorkerProcess } from './support/worker-process.js'

const REPOS = 1_000_000
const REPOS_SHORT = 50_000

const NETWORK = programPath(import.meta.url, './support/tiny-pds')
const ORIGINS = 20

/** The job is cut into so many equal parts. */
const PARTS = 10
/** After so many of them the worker is killed. */
const KILLED_AFTER = 5

/**
 * Repos that may be queued at a time, at least, and by the share of all. That many come before the first part, and as
 * many after the last: so the same is found, resolved and read in each part.
 */
const QUEUED_MIN = 5_000
const QUEUED_SHARE = 0.02

/** Accounts whose documents are put in at once. */
const PORTION = 20_000

const POLL_MS = 100
const ASK_EVERY_MS = 250
const PAGE_REPOS = 100

/**
 * A job of a million repos: what each costs at the end against the beginning, what the process takes, how long
 * callers wait meanwhile, and how soon the work goes on after a kill. The worker is a process of its own, and the
 * API another; a relay and twenty PDSs are played by a third, and the accounts' documents are at hand.
 */
export const scale: Benchmark = {
  about: 'a job of a million repos, or --repos N, or --short: its last tenth against its first',
  async run(store, say, url, short, repos = short ? REPOS_SHORT : REPOS) {
    const queued = Math.max(QUEUED_MIN, Math.ceil(repos * QUEUED_SHARE))
    const accounts = repos + 2 * queued
    await using network = await startNetwork(accounts)
    await using api = await startBenchApi(store.pool, url)
    await putDocuments(store.pool, network.origins, accounts)
    const id = tidOf(Date.now())
    await makeJob(store, { id, collections: [COLLECTION], from: { relays: [network.origins[0]!] } })
    const run = new Run(store, api.client, { id, repos, queued, url }, say)
    return await run.measure()
  },
}

interface TinyNetwork extends AsyncDisposable {
  readonly origins: readonly string[]
}

async function startNetwork(repos: number): Promise<TinyNetwork> {
  const child: ChildProcess = fork(NETWORK, [String(ORIGINS), String(repos)])
  const [origins] = await once(child, 'message')
  return {
    origins: origins as string[],
    async [Symbol.asyncDispose]() {
      const exited = once(child, 'exit')
      child.disconnect()
      await exited
    },
  }
}

async function putDocuments(pool: Pool, origins: readonly string[], repos: number): Promise<void> {
  for (let from = 0; from < repos; from += PORTION) {
    const dids = Array.from({ length: Math.min(PORTION, repos - from) }, (_, index) =>
      didOfNumber(from + index),
    )
    const documents = dids.map((did, index) => JSON.stringify(documentOf(did, origins[index % ORIGINS])))
    await pool.query(
      `insert into identity (did, document, updated_at)
       select did, document::json, now() from unnest($1::text[], $2::text[]) as t (did, document)`,
      [dids, documents],
    )
  }
  await pool.query('vacuum analyze identity')
  await pool.query('checkpoint')
}

/** What has been used up so far. */
interface Moment {
  readonly at: number
  readonly completed: number
  readonly worker: Reading
  readonly postgresSeconds: number | null
}

/** What a part of the job took, for each repo. */
interface Cost {
  readonly statementMs: number
  readonly postgresMs: number | null
  readonly nodeMs: number
  readonly perSecond: number
  readonly rssMb: number
}

interface Task {
  readonly id: string
  readonly repos: number
  readonly queued: number
  readonly url: string
}

class Run {
  readonly #pool: Pool
  readonly #client: BackfillClient
  readonly #task: Task
  readonly #say: (line: string) => void
  readonly #environment: Record<string, string>
  readonly #statusMs: number[] = []
  readonly #pageMs: number[] = []
  #peakRssMb = 0

  constructor(store: Store, client: BackfillClient, task: Task, say: (line: string) => void) {
    this.#pool = store.pool
    this.#client = client
    this.#task = task
    this.#say = say
    this.#environment = {
      DATABASE_URL: task.url,
      ALLOW_PRIVATE_NETWORK: 'true',
      // No budget of a host or of a relay stands in the way.
      HOST_MAX_RPM: '1000000',
      HOST_START_RPM: '1000000',
      HOST_CONCURRENCY: '8',
      ENGINE_QUEUED_REPOS: String(task.queued),
      LOG_LEVEL: 'warn',
    }
  }

  async measure(): Promise<Record<string, number>> {
    const over = new AbortController()
    const asking = this.#askUntil(over.signal)
    try {
      const before: Cost[] = []
      {
        await using worker = new WorkerProcess(this.#environment)
        await this.#part(worker, 0)
        for (let part = 1; part <= KILLED_AFTER; part += 1) before.push(await this.#part(worker, part))
        await worker.kill()
      }
      const killedAt = performance.now()
      await using worker = new WorkerProcess(this.#environment)
      await worker.firstOutcome
      const resumeSeconds = (performance.now() - killedAt) / 1000
      this.#say(`killed, and the next worker's first outcome is durable after ${resumeSeconds.toFixed(1)} s`)
      const after: Cost[] = []
      for (let part = KILLED_AFTER + 1; part <= PARTS; part += 1) after.push(await this.#part(worker, part))
      return this.#figures(before[0]!, after.at(-1)!, resumeSeconds)
    } finally {
      over.abort()
      await asking
    }
  }

  #figures(first: Cost, last: Cost, resumeSeconds: number): Record<string, number> {
    return {
      lastVsFirst: hundredths(last.statementMs / first.statementMs),
      ...(last.postgresMs !== null &&
        first.postgresMs !== null && { postgresLastVsFirst: hundredths(last.postgresMs / first.postgresMs) }),
      peakRssMb: Math.round(this.#peakRssMb),
      rssLastVsFirst: hundredths(last.rssMb / first.rssMb),
      statusMs: hundredths(median(this.#statusMs)),
      reposPageMs: hundredths(median(this.#pageMs)),
      resumeSeconds: hundredths(resumeSeconds),
      reposPerSecond: Math.round((first.perSecond + last.perSecond) / 2),
    }
  }

  /** Waits for a part of the job to be done. @returns what it took */
  async #part(worker: WorkerProcess, part: number): Promise<Cost> {
    const before = await this.#moment(worker)
    const rss: number[] = []
    const until = this.#task.queued + Math.floor((this.#task.repos * part) / PARTS)
    while ((await this.#completed()) < until) {
      await sleep(POLL_MS)
      rss.push((await worker.read()).rssMb)
    }
    const after = await this.#moment(worker)
    this.#peakRssMb = Math.max(this.#peakRssMb, after.worker.peakRssMb)
    const cost = costBetween(before, after, median(rss))
    const shown = [
      `claims and checkpoints ${cost.statementMs.toFixed(3)} ms`,
      `CPU of node ${cost.nodeMs.toFixed(3)} ms`,
      ...(cost.postgresMs === null ? [] : [`of postgres ${cost.postgresMs.toFixed(3)} ms`]),
    ]
    this.#say(
      `${part === 0 ? 'before' : `part ${part} of ${PARTS}`}: a repo takes ${shown.join(', ')}; ${Math.round(cost.perSecond)} repos/s, ${Math.round(cost.rssMb)} MB; so far a status takes ${median(this.#statusMs).toFixed(1)} ms and a page ${median(this.#pageMs).toFixed(1)} ms`,
    )
    return cost
  }

  async #completed(): Promise<number> {
    const { rows } = await this.#pool.query<{ completed: number }>(
      'select completed from job_progress join job on key = job where id = $1',
      [this.#task.id],
    )
    return rows[0]!.completed
  }

  async #moment(worker: WorkerProcess): Promise<Moment> {
    const completed = await this.#completed()
    const reading = await worker.read()
    const { postgres } = await cpuSeconds(this.#pool)
    return {
      at: performance.now(),
      completed,
      worker: reading,
      postgresSeconds: postgres,
    }
  }

  /** Asks as a caller does, all the time: how far the job is, and for a page of its repos from anywhere. */
  async #askUntil(signal: AbortSignal): Promise<void> {
    const { id } = this.#task
    let after: string | undefined
    while (!signal.aborted) {
      this.#statusMs.push(await msOf(() => this.#client.getJobStatus(id)))
      this.#pageMs.push(
        await msOf(async () => {
          const page = await this.#client.listJobRepos(id, {
            limit: PAGE_REPOS,
            ...(after !== undefined && { cursor: after }),
          })
          after = page.cursor
        }),
      )
      await sleep(ASK_EVERY_MS, undefined, { signal }).catch(() => {})
    }
  }
}

function costBetween(before: Moment, after: Moment, rssMb: number): Cost {
  const repos = after.completed - before.completed
  const { worker: b } = before
  const { worker: a } = after
  const postgresSeconds =
    before.postgresSeconds === null || after.postgresSeconds === null
      ? null
      : after.postgresSeconds - before.postgresSeconds
  return {
    statementMs: (a.claimMs + a.checkpointMs - b.claimMs - b.checkpointMs) / repos,
    postgresMs: postgresSeconds === null ? null : (postgresSeconds * 1000) / repos,
    nodeMs: ((a.cpuSeconds - b.cpuSeconds) * 1000) / repos,
    perSecond: (repos * 1000) / (after.at - before.at),
    rssMb,
  }
}

async function msOf(ask: () => Promise<unknown>): Promise<number> {
  const began = performance.now()
  await ask()
  return performance.now() - began
}

function median(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)] ?? Number.NaN
}

function hundredths(value: number): number {
  return Math.round(value * 100) / 100
}
