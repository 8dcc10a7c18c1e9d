import { setTimeout as sleep } from 'node:timers/promises'
import type { BackfillClient, JobView } from '../client/index.js'
import { assertCanAsk, confirm } from './confirm.js'
import { type Connection, withConnectionTo } from './connection.js'
import { CommandError, EXIT, UsageError } from './exit.js'
import { hostColumns } from './job-text.js'
import type { CommonOptions } from './jobs.js'
import { printJson, printLine, terminalWidth } from './stdout.js'
import { Table } from './table.js'
import { counted, plain } from './text.js'
import { watch } from './watch.js'

export interface WaitOptions extends CommonOptions {
  readonly wait?: boolean
}

/** Between two looks at a job that is about to stop, ms. */
const LOOK_EVERY_MS = 300

const say = (text: string) => process.stderr.write(`${text}\n`)

export function pauseJob(id: string, options: WaitOptions): Promise<number> {
  return withConnectionTo(options, async (connection) => {
    const asked = await connection.client.pauseJob(id, { signal: connection.signal })
    const job = options.wait ? await untilNot('pausing', asked, connection) : asked
    await printStatus(job, options)
    if (options.wait && job.status !== 'paused') throw new CommandError(`The job is ${plain(job.status)}.`)
    if (job.status !== 'paused') say('What is in flight ends first.')
    say(`It goes on with: aquifer jobs resume ${id}`)
    return EXIT.done
  })
}

export function resumeJob(id: string, options: CommonOptions): Promise<number> {
  return withConnectionTo(options, async ({ client, signal }) => {
    await printStatus(await client.resumeJob(id, { signal }), options)
    say(`See how it gets on: aquifer jobs watch ${id}`)
    return EXIT.done
  })
}

export function cancelJob(id: string, options: WaitOptions): Promise<number> {
  return withConnectionTo(options, async (connection) => {
    const asked = await connection.client.cancelJob(id, { signal: connection.signal })
    const job = options.wait ? await untilNot('cancelling', asked, connection) : asked
    await printStatus(job, options)
    if (options.wait && job.status !== 'cancelled') throw new CommandError(`The job is ${plain(job.status)}.`)
    if (job.status !== 'cancelled') say('What is in flight ends first.')
    if (job.totalRecords > 0) say(`What was fetched stays: aquifer records ${id} -o records.jsonl`)
    return EXIT.done
  })
}

async function printStatus(job: JobView, { json }: CommonOptions): Promise<void> {
  await (json ? printJson(job) : printLine(plain(job.status)))
}

/** What a job has become when it has left a status in which it only waits for work in flight. */
async function untilNot(passing: string, asked: JobView, { client, signal }: Connection): Promise<JobView> {
  let job = asked
  while (job.status === passing) {
    await sleep(LOOK_EVERY_MS, undefined, { signal })
    job = await client.getJobStatus(job.id, { signal })
  }
  return job
}

export interface RetryOptions extends CommonOptions {
  readonly class?: string[]
  readonly watch?: boolean
}

export function retryJob(id: string, options: RetryOptions): Promise<number> {
  return withConnectionTo(options, async (connection) => {
    const { client, signal } = connection
    const classes = options.class
    const job = await client.retryJob(id, { ...(classes && { classes }) }, { signal })
    if (options.watch) {
      say(`Job ${id} is ${plain(job.status)}.`)
      return watch(connection, id, options)
    }
    await printStatus(job, options)
    say(`See how it gets on: aquifer jobs watch ${id}`)
    return EXIT.done
  })
}

export interface RefreshOptions extends CommonOptions {
  readonly name?: string
  readonly clientToken?: string
  readonly watch?: boolean
}

export function refreshJob(id: string, options: RefreshOptions): Promise<number> {
  return withConnectionTo(options, async (connection) => {
    const { client, signal } = connection
    const { name, clientToken } = options
    const labels = { ...(name !== undefined && { name }), ...(clientToken !== undefined && { clientToken }) }
    const job = await client.refreshJob(id, labels, { signal })
    if (options.watch) {
      say(`Job ${job.id} is ${plain(job.status)}.`)
      return watch(connection, job.id, options)
    }
    await (options.json ? printJson(job) : printLine(job.id))
    say(`See how it gets on: aquifer jobs watch ${job.id}`)
    return EXIT.done
  })
}

export interface PurgeOptions extends WaitOptions {
  readonly yes?: boolean
}

export async function purgeJob(id: string, options: PurgeOptions): Promise<number> {
  if (!options.yes) assertCanAsk()
  return withConnectionTo(options, async ({ client, signal }) => {
    if (!options.yes) {
      const what = `what job ${id} has fetched and no other job needs, and ${ofJob(id)}`
      await confirm(`Delete ${what}?`, 'Nothing was deleted.', signal)
    }
    let job = await client.purgeJob(id, { signal })
    while (options.wait && job.purge === 'purging') {
      await sleep(LOOK_EVERY_MS, undefined, { signal })
      job = await client.getJobStatus(id, { signal })
    }
    await (options.json ? printJson(job) : printLine(plain(job.purge ?? job.status)))
    if (job.purge === 'purging') say('It goes away in the background.')
    return EXIT.done
  })
}

export function showHosts(id: string, options: CommonOptions): Promise<number> {
  return withConnectionTo(options, async ({ client, signal }) => {
    const summary = await client.getPdsSummary(id, { signal })
    const { pdsEndpoints, others } = summary
    if (options.json) await printJson(summary)
    else if (pdsEndpoints.length > 0) {
      await printLine(new Table(hostColumns(null), terminalWidth()).lines(pdsEndpoints).join('\n'))
    }
    if (others) say(`… and ${counted(others.hosts, 'host')} with ${counted(others.totalRepos, 'repo')}`)
    if (pdsEndpoints.length === 0) say('No hosts are known yet.')
    return EXIT.done
  })
}

export interface DeleteOptions extends CommonOptions {
  readonly all?: boolean
  readonly yes?: boolean
}

export async function deleteDetails(id: string | undefined, options: DeleteOptions): Promise<number> {
  if ((options.all ?? false) === (id !== undefined)) {
    throw new UsageError('Name a job, or say --all for every one of yours that has ended.')
  }
  if (!options.yes) assertCanAsk()
  return withConnectionTo(options, async ({ client, signal }) => {
    const whose = id === undefined ? 'the lists of repos of all your jobs that have ended' : ofJob(id)
    if (!options.yes) {
      await confirm(
        `Delete ${whose}? Counters and records stay; "aquifer jobs purge" can no longer remove these.`,
        'Nothing was deleted.',
        signal,
      )
    }
    const deletion =
      id === undefined
        ? await client.deleteAllJobDetails({ signal })
        : await client.deleteJobDetails(id, { signal })
    if (options.json) await printJson(deletion)
    say(told(deletion))
    return EXIT.done
  })
}

const ofJob = (id: string) => `the list of repos of job ${id}`

type Deletion = Awaited<
  ReturnType<BackfillClient['deleteJobDetails'] | BackfillClient['deleteAllJobDetails']>
>

function told(deletion: Deletion): string {
  const repos = `${counted(deletion.deletedRepos, 'listed repo')} deleted`
  return 'jobs' in deletion ? `${repos}, of ${counted(deletion.jobs, 'job')}` : repos
}
