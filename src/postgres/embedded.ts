/**
 * The Postgres that Aquifer brings along.
 *
 * The server belongs to its data directory rather than to a process: whoever comes first starts it, whoever
 * comes later adopts it, and the last to leave stops it. A process that is killed leaves the server up for the
 * next one to adopt. Starting and stopping happen under one lock, so a server is never stopped under somebody
 * who has just adopted it.
 */
import { createHash, randomUUID } from 'node:crypto'
import { stat } from 'node:fs/promises'
import { setTimeout as sleep } from 'node:timers/promises'
import { answers } from './answers.js'
import { type FindBinaries, findBinaries } from './binaries.js'
import { DATABASE_NAME, ensureCluster, readPassword } from './cluster.js'
import { EmbeddedPostgresError, isDiskFull, isPermissionError, messageOf, systemErrorCode } from './errors.js'
import { type Layout, prepareLayout } from './layout.js'
import { withLock } from './lock.js'
import { findPostmaster, type Postmaster, stopPostmaster } from './postmaster.js'
import { thisProcess } from './processes.js'
import { READY_MILLISECONDS_MAX, startServer, stillRecovering } from './server.js'
import { chooseServerUser } from './server-user.js'
import type { ServerSettings } from './settings.js'
import { addUser, countUsers, removeUser } from './users.js'

export { EmbeddedPostgresError } from './errors.js'

const POLL_MILLISECONDS = 20

export interface EmbeddedPostgres {
  /** `postgres://aquifer:<password>@127.0.0.1:<port>/aquifer` */
  readonly url: string
  /** The absolute path of the data directory, without symbolic links. */
  readonly dataDirectory: string
  /** Whether the server ran already. */
  readonly adopted: boolean
  /**
   * Ends the use of the server. It is stopped, and has ended when this returns, if no other live process and no
   * other handle of this process uses it. A server that is dead already is no error, nor is a second call.
   *
   * @throws EmbeddedPostgresError when the server has to stop and does not
   */
  release(): Promise<void>
}

export interface EmbeddedPostgresOptions {
  /** Where everything of this server lies, such as `.aquifer/postgres`; made when missing. */
  readonly dataDirectory: string
  /** Postgres settings (postgresql.conf) over the defaults; without effect on a server that runs already. */
  readonly settings?: ServerSettings
  /** Is told what happens: an event such as `postgres.started`, and its details. Never gets the password. */
  readonly log?: (event: string, detail: object) => void
}

/**
 * Adopts the server that runs on a data directory, or starts one; with a database when there is none yet.
 *
 * @throws EmbeddedPostgresError when there is no Postgres to run, it does not start, the data is of another
 *   major version, or this user may not use the directory; the message says what to do
 */
export function startEmbeddedPostgres(options: EmbeddedPostgresOptions): Promise<EmbeddedPostgres> {
  return startEmbeddedPostgresWith(findBinaries, options)
}

/** The same with a chosen way of finding the programs. */
export async function startEmbeddedPostgresWith(
  find: FindBinaries,
  { dataDirectory, settings = {}, log = () => {} }: EmbeddedPostgresOptions,
): Promise<EmbeddedPostgres> {
  const layout = await prepareLayout(dataDirectory)
  const supervisor: Supervisor = { layout, clusterName: clusterNameOf(layout), settings, find, log }
  return withLayout(layout, async () => {
    const { postmaster, adopted } = await adoptOrStart(supervisor)
    const password = await readPassword(layout)
    if (password === undefined) throw passwordMissing(layout, postmaster)
    const registration = await addUser(layout.users, await thisProcess(), randomUUID())
    let released: Promise<void> | undefined
    return {
      url: `postgres://${DATABASE_NAME}:${encodeURIComponent(password)}@127.0.0.1:${postmaster.port}/${DATABASE_NAME}`,
      dataDirectory: layout.root,
      adopted,
      release: () => {
        released ??= releaseServer(supervisor, registration, postmaster)
        return released
      },
    }
  })
}

interface Supervisor {
  readonly layout: Layout
  readonly clusterName: string
  readonly settings: ServerSettings
  readonly find: FindBinaries
  readonly log: (event: string, detail: object) => void
}

/** Tells the processes of this server from those of others, wherever the directory lies. */
function clusterNameOf(layout: Layout): string {
  return `aquifer-${createHash('sha256').update(layout.root).digest('hex').slice(0, 12)}`
}

async function adoptOrStart(supervisor: Supervisor): Promise<{ postmaster: Postmaster; adopted: boolean }> {
  const { layout, find, log } = supervisor
  for (;;) {
    const live = await waitForLiveServer(supervisor)
    if (live !== undefined) {
      log('postgres.adopted', { pid: live.pid, port: live.port })
      return { postmaster: live, adopted: true }
    }
    const user = await chooseServerUser(layout.cluster)
    const binaries = await find({ user, copies: layout.binaries, log })
    const context = { ...supervisor, user, binaries }
    await ensureCluster(context)
    const postmaster = await startServer(context)
    if (postmaster !== undefined) return { postmaster, adopted: false }
  }
}

/** The server that runs, once it is ready; undefined when there is none, or it was ending and is gone. */
async function waitForLiveServer({ layout, clusterName }: Supervisor): Promise<Postmaster | undefined> {
  const deadline = performance.now() + READY_MILLISECONDS_MAX
  while (performance.now() < deadline) {
    const live = await findPostmaster(layout.cluster, clusterName)
    if (live === undefined || (live.status === 'ready' && (await answers(live.port)))) return live
    await sleep(POLL_MILLISECONDS)
  }
  return stillRecovering(layout.root)
}

async function releaseServer(
  supervisor: Supervisor,
  registration: string,
  started: Postmaster,
): Promise<void> {
  const { layout, clusterName, log } = supervisor
  if (await isGone(layout.root)) return stopPostmaster(started.identity)
  await withLayout(layout, async () => {
    await removeUser(registration)
    const users = await countUsers(layout.users)
    // Another one may have been started since, on the same data.
    const live = await findPostmaster(layout.cluster, clusterName)
    if (users > 0 || live === undefined) {
      log('postgres.released', { users, running: live !== undefined })
      return
    }
    await stopPostmaster(live.identity)
    log('postgres.stopped', { pid: live.pid })
  })
}

/** Works on the data directory alone, and says what to do when the system does not let it. */
async function withLayout<Result>(layout: Layout, work: () => Promise<Result>): Promise<Result> {
  try {
    return await withLock(layout.lock, work)
  } catch (error) {
    if (isPermissionError(error)) throw notPermitted(layout, error)
    if (!isDiskFull(error)) throw error
    throw new EmbeddedPostgresError(`the disk with ${layout.root} is full: make room there`, { cause: error })
  }
}

/** Whether somebody deleted the directory, in which case nobody else can use its server any more. */
async function isGone(path: string): Promise<boolean> {
  return stat(path).then(
    () => false,
    (error: unknown) => systemErrorCode(error) === 'ENOENT',
  )
}

function passwordMissing(layout: Layout, { pid }: Postmaster): EmbeddedPostgresError {
  return new EmbeddedPostgresError(
    `the PostgreSQL server in ${layout.root} runs, but ${layout.password} is missing: end the server ` +
      `(kill -INT ${pid}) and start again, which makes a new password`,
  )
}

function notPermitted(layout: Layout, error: unknown): EmbeddedPostgresError {
  return new EmbeddedPostgresError(
    `${layout.root} belongs to another user (${messageOf(error)}): run this as that user, or set DATA_DIR to a ` +
      'directory of your own, or DATABASE_URL to a PostgreSQL server',
    { cause: error },
  )
}
