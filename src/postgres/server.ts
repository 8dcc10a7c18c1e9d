/** Starts the server. */
import { type ChildProcess, spawn } from 'node:child_process'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import type { ClusterContext } from './cluster.js'
import { commonSpawnOptions } from './command.js'
import { EmbeddedPostgresError, messageOf } from './errors.js'
import { choosePort, rememberPort } from './port.js'
import { findPostmaster, type Postmaster, postmasterFileTime } from './postmaster.js'
import { openServerLog, readLogTail } from './server-log.js'
import { openForServer } from './server-user.js'
import { type ServerSettings, serverArguments } from './settings.js'

export interface ServerContext extends ClusterContext {
  readonly settings: ServerSettings
  readonly clusterName: string
}

/** After a crash the server replays up to max_wal_size of its log, which on a slow disk takes minutes. */
export const READY_MILLISECONDS_MAX = 10 * 60_000
const POLL_MILLISECONDS = 10
/** How long a server that ends at once, for a reason that passes, is started again. */
const RETRY_MILLISECONDS_MAX = 15_000
const RETRY_PAUSE_MILLISECONDS = 200

/** What a server writes that ends before it is ready, for a reason that passes. */
const PASSING_REASONS = [
  // The processes of a server that was killed are still ending.
  'pre-existing shared memory block',
  // Somebody started one by hand at this moment.
  'lock file "postmaster.pid" already exists',
  'lock file "postmaster.pid" is empty',
  // Somebody took the port after it was found free.
  'could not create any TCP/IP sockets',
]

/** Whether to start a server again that ended before it was ready, by what it wrote. */
export function isWorthRetrying(said: string): boolean {
  return PASSING_REASONS.some((reason) => said.includes(reason))
}

/**
 * Starts a server on a cluster that has none. It ends neither with this process nor with its terminal.
 *
 * @returns the server when it is ready, or undefined when somebody else started one meanwhile
 * @throws EmbeddedPostgresError with the end of the server's log when it does not start
 */
export async function startServer(context: ServerContext): Promise<Postmaster | undefined> {
  const { layout, clusterName, log } = context
  const deadline = performance.now() + RETRY_MILLISECONDS_MAX
  for (let attempt = 1; ; attempt += 1) {
    const result = await startOnce(context)
    if (typeof result !== 'string') return result
    if (!isWorthRetrying(result) || performance.now() > deadline) {
      throw new EmbeddedPostgresError(`the PostgreSQL server in ${layout.root} does not start:\n${result}`)
    }
    if (attempt === 1) log('postgres.start-retried', { because: result })
    await sleep(RETRY_PAUSE_MILLISECONDS)
    if ((await findPostmaster(layout.cluster, clusterName)) !== undefined) return undefined
  }
}

/** One attempt: the server when it is ready, or what it said before it ended. */
async function startOnce(context: ServerContext): Promise<Postmaster | string> {
  const { layout, user, binaries, log } = context
  const startedAt = performance.now()
  const port = await choosePort(layout.port)
  await using cluster = await openForServer(user, layout.cluster)
  await using serverLog = await openServerLog(layout.serverLog, user)
  const { size: logStart } = await serverLog.stat()
  const said = async (problem: string) =>
    [problem, await readLogTail(layout.serverLog, logStart)].join('\n').trim()
  const left = await postmasterFileTime(layout.cluster)
  let child: ChildProcess
  try {
    child = spawn(
      join(binaries.bin, 'postgres'),
      serverArguments({ ...context, dataPath: cluster.path, port }),
      {
        ...commonSpawnOptions(user),
        // A session of its own: a Ctrl-C in the terminal is not for it.
        detached: true,
        stdio: ['ignore', serverLog.fd, serverLog.fd, ...cluster.descriptors],
      },
    )
  } catch (error) {
    return messageOf(error)
  }
  const result = await waitUntilReady(context, child, left)
  child.unref()
  if (typeof result === 'string') return said(result)
  await rememberPort(layout.port, port)
  const milliseconds = Math.round(performance.now() - startedAt)
  log('postgres.started', { pid: result.pid, port, version: binaries.version, milliseconds })
  return result
}

/**
 * The server when it is ready, or, when it ended before, why it could not even be run, or nothing.
 *
 * @param left when the file that an earlier server left was written: in a container that is started again the
 *   new server often has the old one's process id, and the old file says that it is ready
 */
async function waitUntilReady(
  context: ServerContext,
  child: ChildProcess,
  left: number | undefined,
): Promise<Postmaster | string> {
  let ended: string | undefined
  child.once('exit', () => {
    ended ??= ''
  })
  child.once('error', (error) => {
    ended = error.message
  })
  const deadline = performance.now() + READY_MILLISECONDS_MAX
  while (performance.now() < deadline) {
    // Looked at first, so that the end of this very server is not taken for the readiness of an older one.
    const end = ended
    const found = await findPostmaster(context.layout.cluster, context.clusterName)
    const isOwn = found?.pid === child.pid && found?.writtenAt !== left
    if (found?.status === 'ready' && isOwn) return found
    if (end !== undefined) return end
    await sleep(POLL_MILLISECONDS)
  }
  return stillRecovering(context.layout.root)
}

/** The server is left to go on: the next start finds it, ready or further on. */
export function stillRecovering(root: string): never {
  throw new EmbeddedPostgresError(
    `the PostgreSQL server in ${root} has not become ready in ${READY_MILLISECONDS_MAX / 60_000} minutes; ` +
      'it is still at work (see server.log there): start again later',
  )
}
