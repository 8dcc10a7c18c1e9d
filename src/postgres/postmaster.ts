/**
 * The running server: its main process, which Postgres calls the postmaster, and which says in
 * `postmaster.pid` who it is, what port it listens on and whether it is ready.
 */
import { rm, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { EmbeddedPostgresError, systemErrorCode } from './errors.js'
import { readIfExists } from './files.js'
import { findProcess, isAlive, type ProcessIdentity } from './processes.js'

export interface PostmasterFile {
  readonly pid: number
  readonly port: number
  readonly status: 'starting' | 'ready' | 'stopping'
}

export interface Postmaster extends PostmasterFile {
  readonly identity: ProcessIdentity
  /** When its file was written last, see {@link postmasterFileTime}. */
  readonly writtenAt: number | undefined
}

const POLL_MILLISECONDS = 10
/** Closing sessions and writing what is only in memory takes seconds, on a slow disk much more. */
const FAST_SHUTDOWN_MILLISECONDS_MAX = 120_000
const IMMEDIATE_SHUTDOWN_MILLISECONDS_MAX = 15_000

/** Reads the lines of `postmaster.pid` (in Postgres: utils/pidfile.h); undefined when they name no process. */
export function parsePostmasterFile(text: string): PostmasterFile | undefined {
  const lines = text.split('\n')
  const pid = Number(lines[0])
  if (!Number.isSafeInteger(pid) || pid <= 0) return undefined
  const status = (lines[7] ?? '').trim()
  return {
    pid,
    port: Number(lines[3] ?? 0),
    status: status === 'ready' || status === 'stopping' ? status : 'starting',
  }
}

/**
 * Whether a process can be the postmaster of a cluster, to tell it from another one that got the same id after
 * a crash. When in doubt it is: to overlook a live server would be worse than to wait for a stranger.
 *
 * @param command what the process was called with, the program first; undefined where the system does not tell
 */
export function isPostmasterOf(
  command: readonly string[] | undefined,
  cluster: string,
  clusterName: string,
): boolean {
  if (command === undefined || command.includes(`cluster_name=${clusterName}`)) return true
  // Its children have titles such as "postgres: checkpointer".
  if (!/^(.*\/)?(postgres|postmaster)$/.test(command[0] ?? '')) return false
  const option = command.indexOf('-D')
  const directory = option < 0 ? undefined : command[option + 1]
  // A relative path, or none, is what somebody used who started it by hand: it may be ours.
  return directory === undefined || directory === cluster || !directory.startsWith('/')
}

/**
 * The live postmaster of a cluster. A `postmaster.pid` whose process is none, but whose id is in use, by another
 * process or by a zombie, is removed: Postgres, who sees only the id, would refuse to start. What keeps two
 * servers apart then is the shared memory, which Postgres finds by the cluster's inode.
 */
export async function findPostmaster(cluster: string, clusterName: string): Promise<Postmaster | undefined> {
  const path = join(cluster, 'postmaster.pid')
  const writtenAt = await postmasterFileTime(cluster)
  const file = parsePostmasterFile((await readIfExists(path)) ?? '')
  if (file === undefined) return undefined
  const found = await findProcess(file.pid)
  if (found !== undefined && isPostmasterOf(found.arguments, cluster, clusterName)) {
    return { ...file, identity: found, writtenAt }
  }
  if (isIdInUse(file.pid)) await rm(path, { force: true })
  return undefined
}

/** When `postmaster.pid` was written last, in milliseconds since 1970; undefined when there is none. */
export async function postmasterFileTime(cluster: string): Promise<number | undefined> {
  try {
    return (await stat(join(cluster, 'postmaster.pid'))).mtimeMs
  } catch (error) {
    if (systemErrorCode(error) === 'ENOENT') return undefined
    throw error
  }
}

function isIdInUse(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return true
  } catch (error) {
    return systemErrorCode(error) !== 'ESRCH'
  }
}

/**
 * Stops a server: fast, which rolls back what is open and writes everything down; if that takes more than two
 * minutes, at once, which leaves recovery to the next start. Returns when it is gone; one that was dead
 * already is no error.
 *
 * @throws EmbeddedPostgresError when it does not go
 */
export async function stopPostmaster(identity: ProcessIdentity): Promise<void> {
  if (await endsAfter(identity, 'SIGINT', FAST_SHUTDOWN_MILLISECONDS_MAX)) return
  if (await endsAfter(identity, 'SIGQUIT', IMMEDIATE_SHUTDOWN_MILLISECONDS_MAX)) return
  throw new EmbeddedPostgresError(`the PostgreSQL server does not stop: end process ${identity.pid} by hand`)
}

async function endsAfter(
  identity: ProcessIdentity,
  signal: NodeJS.Signals,
  millisecondsMax: number,
): Promise<boolean> {
  if (!(await isAlive(identity))) return true
  try {
    process.kill(identity.pid, signal)
  } catch (error) {
    if (systemErrorCode(error) !== 'ESRCH') throw error
  }
  const deadline = performance.now() + millisecondsMax
  while (performance.now() < deadline) {
    if (!(await isAlive(identity))) return true
    await sleep(POLL_MILLISECONDS)
  }
  return false
}
