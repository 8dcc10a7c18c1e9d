import { callerCard, callerColumns } from './caller-text.js'
import { withConnectionTo } from './connection.js'
import type { ConnectionOptions } from './connection-options.js'
import { EXIT, UsageError } from './exit.js'
import { portions, printJson, printLine, terminalWidth } from './stdout.js'
import { Table } from './table.js'
import { plain } from './text.js'

export interface CommonOptions extends ConnectionOptions {
  readonly json?: boolean
}

export interface PutOptions extends CommonOptions {
  readonly permission?: string[]
  readonly bar?: boolean
  readonly runningJobs?: number
  readonly reposPerJob?: number
  readonly requestsPerMinute?: number
  readonly streams?: number
  readonly jobsOf?: string[]
}

const say = (text: string) => process.stderr.write(`${text}\n`)

export async function putCaller(did: string, options: PutOptions): Promise<number> {
  const { permission, bar, runningJobs, reposPerJob, requestsPerMinute, streams, jobsOf } = options
  if ((permission === undefined) === (bar === undefined)) {
    throw new UsageError('Say what the caller may do with --permission, or --bar for nothing at all.')
  }
  return withConnectionTo(options, async ({ client, signal }) => {
    const quotas = {
      ...(runningJobs !== undefined && { runningJobs }),
      ...(reposPerJob !== undefined && { reposPerJob }),
      ...(requestsPerMinute !== undefined && { requestsPerMinute }),
      ...(streams !== undefined && { streams }),
    }
    const input = { did, permissions: permission ?? [], quotas, ...(jobsOf && { jobsOf }) }
    const caller = await client.putCaller(input, { signal })
    await (options.json ? printJson(caller) : printLine(callerCard(caller, terminalWidth())))
    if (bar && caller.permissions.length > 0) {
      say('The settings of the service name this caller as an admin, and count for more.')
    }
    return EXIT.done
  })
}

export function deleteCaller(did: string, options: CommonOptions): Promise<number> {
  return withConnectionTo(options, async ({ client, signal }) => {
    await client.deleteCaller(did, { signal })
    if (options.json) await printJson({ did })
    say(`${plain(did)} is a caller like any other now. Its jobs stay.`)
    return EXIT.done
  })
}

export interface ListOptions extends CommonOptions {
  readonly limit?: number
}

export function listCallers(options: ListOptions): Promise<number> {
  const { limit = Number.POSITIVE_INFINITY } = options
  return withConnectionTo(options, async ({ client, signal }) => {
    const table = new Table(callerColumns(), terminalWidth())
    const callers = client.allCallers(limit < 100 ? { limit } : {}, { signal })
    let found = 0
    for await (const portion of portions(callers, limit)) {
      if (portion.length === 0) continue
      found += portion.length
      const lines = options.json ? portion.map((caller) => JSON.stringify(caller)) : table.lines(portion)
      await printLine(lines.join('\n'))
    }
    if (found === 0) say('No callers are named.')
    return EXIT.done
  })
}
