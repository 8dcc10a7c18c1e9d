import type { BackfillClient } from '../client/index.js'
import { withConnectionTo } from './connection.js'
import type { ConnectionOptions } from './connection-options.js'
import { EXIT } from './exit.js'
import { jobCard, jobColumns, repoColumns } from './job-text.js'
import { portions, printJson, printLine, terminalWidth } from './stdout.js'
import { type Column, Table } from './table.js'
import { watch } from './watch.js'

export interface CommonOptions extends ConnectionOptions {
  readonly json?: boolean
}

export interface CreateOptions extends CommonOptions {
  readonly collection?: string[]
  readonly repo?: string[]
  readonly host?: string[]
  readonly name?: string
  readonly method?: string
  readonly level?: string
  readonly clientToken?: string
  readonly watch?: boolean
}

const say = (text: string) => process.stderr.write(`${text}\n`)

export function createJob(options: CreateOptions): Promise<number> {
  return withConnectionTo(options, async (connection) => {
    const { client, signal } = connection
    const input = {
      ...(options.collection && { collections: options.collection }),
      ...(options.repo && { repos: options.repo }),
      ...(options.host && { hosts: options.host }),
      ...(options.name !== undefined && { name: options.name }),
      ...(options.method !== undefined && { method: options.method }),
      ...(options.level !== undefined && { level: options.level }),
      ...(options.clientToken !== undefined && { clientToken: options.clientToken }),
    }
    const job = await client.createJob(input, { signal })
    if (options.watch) {
      // Told before anything else can go wrong: who loses the id cannot come back to the job.
      say(`Job ${job.id} is ${job.status}.`)
      return watch(connection, job.id, options)
    }
    if (options.json) await printJson(job)
    else await printLine(job.id)
    say(`The job is ${job.status}. See how it gets on: aquifer jobs watch ${job.id}`)
    return EXIT.done
  })
}

export function watchJob(job: string, options: CommonOptions): Promise<number> {
  return withConnectionTo(options, (connection) => watch(connection, job, options))
}

export function showStatus(id: string, options: CommonOptions): Promise<number> {
  return withConnectionTo(options, async ({ client, signal }) => {
    const job = await client.getJobStatus(id, { signal })
    await (options.json ? printJson(job) : printLine(jobCard(job, terminalWidth())))
    return EXIT.done
  })
}

export interface ListOptions extends CommonOptions {
  readonly status?: string
  readonly limit?: number
}

export interface JobsOptions extends ListOptions {
  readonly caller?: string
}

export function listJobs(options: JobsOptions): Promise<number> {
  return list(options, jobColumns(), 'No jobs. "aquifer jobs create" starts one.', (client, signal) => {
    const params = {
      ...pageSize(options),
      ...(options.status && { status: options.status }),
      ...(options.caller && { caller: options.caller }),
    }
    return client.allJobs(params, { signal })
  })
}

export interface RepoOptions extends ListOptions {
  readonly phase?: string
  readonly host?: string
}

export function listRepos(job: string, options: RepoOptions): Promise<number> {
  return list(options, repoColumns(), 'No repos.', (client, signal) => {
    const params = {
      ...pageSize(options),
      ...(options.phase && { phase: options.phase }),
      ...(options.status && { status: options.status }),
      ...(options.host && { pdsEndpoint: options.host }),
    }
    return client.allRepos(job, params, { signal })
  })
}

/** Pages are no longer than what is wanted, and no longer than the service gives. */
function pageSize({ limit }: ListOptions): { limit?: number } {
  return limit !== undefined && limit < 100 ? { limit } : {}
}

function list<Item>(
  options: ListOptions,
  columns: readonly Column<Item>[],
  nothing: string,
  items: (client: BackfillClient, signal: AbortSignal) => AsyncIterable<Item>,
): Promise<number> {
  return withConnectionTo(options, async ({ client, signal }) => {
    const table = new Table(columns, terminalWidth())
    let found = 0
    for await (const portion of portions(items(client, signal), options.limit ?? Number.POSITIVE_INFINITY)) {
      if (portion.length === 0) continue
      found += portion.length
      const lines = options.json ? portion.map((item) => JSON.stringify(item)) : table.lines(portion)
      await printLine(lines.join('\n'))
    }
    if (found === 0) say(nothing)
    return EXIT.done
  })
}
