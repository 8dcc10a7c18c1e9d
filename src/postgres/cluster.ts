/** The cluster: Postgres's own name for a data directory with all its databases. */
import { randomBytes, randomUUID } from 'node:crypto'
import { chmod, chown, mkdir, readdir, rename, rm, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { Binaries } from './binaries.js'
import { runCommand } from './command.js'
import { EmbeddedPostgresError, lastLines } from './errors.js'
import { readIfExists, syncDirectory, writeDurably } from './files.js'
import type { Layout } from './layout.js'
import { openForServer, type ServerUser } from './server-user.js'

/** The name of both the user, who may do everything in this server, and its database. */
export const DATABASE_NAME = 'aquifer'
const PASSWORD_BYTES = 24
/** A cluster that is still being made lies beside the finished one under a name that begins so. */
const UNFINISHED_PREFIX = 'unfinished-'

/** Who may connect (pg_hba.conf): with a password, from this machine. */
const CLIENT_AUTHENTICATION = 'host all all 127.0.0.1/32 scram-sha-256\n'

/** What the first version with a builtin locale needs for the same results on every system; before, plain C. */
const FIRST_MAJOR_WITH_BUILTIN_LOCALE = 17
const BUILTIN_LOCALE = ['--locale-provider=builtin', '--builtin-locale=C.UTF-8']

export interface ClusterContext {
  readonly layout: Layout
  readonly binaries: Binaries
  /** Who the server runs as; undefined for the user of this process. */
  readonly user: ServerUser | undefined
  readonly log: (event: string, detail: object) => void
}

/**
 * Makes sure that there is a cluster for a server of this version, with a user and a database `aquifer` and a
 * password that is in the password file. No server may run on it meanwhile.
 *
 * @throws EmbeddedPostgresError when another major version made the cluster, or making one fails
 */
export async function ensureCluster(context: ClusterContext): Promise<void> {
  const { layout, binaries } = context
  const made = (await readIfExists(join(layout.cluster, 'PG_VERSION')))?.trim()
  if (made === undefined) return createCluster(context)
  if (made !== String(binaries.major)) {
    throw new EmbeddedPostgresError(
      `the data in ${layout.cluster} was made by PostgreSQL ${made}, which PostgreSQL ${binaries.version} ` +
        `(${binaries.bin}) cannot use: dump it with version ${made} and load it into a new DATA_DIR, or set ` +
        `DATABASE_URL to a server of version ${made} that runs on it`,
    )
  }
  if ((await readPassword(layout)) === undefined) await replacePassword(context)
}

/**
 * The password of the user `aquifer`; undefined when its file is missing or empty. The file is for its owner
 * only, also when somebody copied it about.
 */
export async function readPassword(layout: Layout): Promise<string | undefined> {
  const password = await readIfExists(layout.password)
  if (password === undefined) return undefined
  if (((await stat(layout.password)).mode & 0o077) !== 0) await chmod(layout.password, 0o600)
  return password.trim() || undefined
}

/** The cluster appears under its name when it is complete and on the disk, so a killed attempt leaves none. */
async function createCluster(context: ClusterContext): Promise<void> {
  const { layout, binaries, user, log } = context
  const startedAt = performance.now()
  await removeUnfinished(layout)
  if ((await readdir(layout.cluster).catch(() => [])).length > 0) {
    throw new EmbeddedPostgresError(
      `${layout.cluster} holds something else than a PostgreSQL cluster: move it away`,
    )
  }
  const unfinished = join(layout.root, `${UNFINISHED_PREFIX}${randomUUID()}`)
  await mkdir(unfinished, { mode: 0o700 })
  try {
    if (user !== undefined) await chown(unfinished, user.uid, user.gid)
    await initialise(context, unfinished)
    await rename(join(unfinished, 'cluster'), layout.cluster)
    await syncDirectory(layout.root)
  } finally {
    await rm(unfinished, { recursive: true, force: true })
  }
  const milliseconds = Math.round(performance.now() - startedAt)
  log('postgres.initialised', { cluster: layout.cluster, version: binaries.version, milliseconds })
}

async function initialise(context: ClusterContext, unfinished: string): Promise<void> {
  const { binaries, layout, user } = context
  await using directory = await openForServer(user, unfinished)
  const cluster = join(directory.path, 'cluster')
  const { descriptors } = directory
  const locale = binaries.major < FIRST_MAJOR_WITH_BUILTIN_LOCALE ? [] : BUILTIN_LOCALE
  const initdb = async (...options: string[]) => {
    const { code, output } = await runCommand(join(binaries.bin, 'initdb'), ['-D', cluster, ...options], {
      user,
      descriptors,
    })
    if (code !== 0) throw initialisingFailed(layout, lastLines(output))
  }
  // Synced once, when all is in it.
  await initdb('-U', DATABASE_NAME, '-E', 'UTF8', '--no-locale', ...locale, '--auth=reject', '--no-sync')
  await writeFile(join(unfinished, 'cluster', 'pg_hba.conf'), CLIENT_AUTHENTICATION)
  const password = (await readPassword(layout)) ?? newPassword()
  const statements = [passwordStatement(password), `CREATE DATABASE ${DATABASE_NAME} OWNER ${DATABASE_NAME}`]
  await runStatements(context, { path: cluster, descriptors }, statements)
  await initdb('--sync-only')
  await writeDurably(layout.password, `${password}\n`, 0o600)
}

function initialisingFailed(layout: Layout, said: string): EmbeddedPostgresError {
  // Such as a container that runs under a number.
  const hint = /could not look up effective user/.test(said)
    ? '\nGive this user a name in /etc/passwd, or set DATABASE_URL to a PostgreSQL server'
    : ''
  return new EmbeddedPostgresError(`cannot make a PostgreSQL cluster in ${layout.root}:\n${said}${hint}`)
}

/** The data outlives the loss of the password file. */
async function replacePassword(context: ClusterContext): Promise<void> {
  const password = newPassword()
  await using cluster = await openForServer(context.user, context.layout.cluster)
  await runStatements(context, cluster, [passwordStatement(password)])
  await writeDurably(context.layout.password, `${password}\n`, 0o600)
  context.log('postgres.password-replaced', { file: context.layout.password })
}

/** Runs statements without a server, in Postgres's single-user mode, which asks for no password. */
async function runStatements(
  { binaries, user }: ClusterContext,
  cluster: { path: string; descriptors: number[] },
  statements: string[],
): Promise<void> {
  const { code, output } = await runCommand(
    join(binaries.bin, 'postgres'),
    // A statement that fails ends it, and does not come up in the output: there is a password in one.
    ['--single', '-D', cluster.path, '--exit_on_error=on', '--log_min_error_statement=panic', 'template1'],
    {
      user,
      descriptors: cluster.descriptors,
      input: statements.map((statement) => `${statement}\n`).join(''),
    },
  )
  if (code !== 0) {
    throw new EmbeddedPostgresError(`cannot set up the PostgreSQL cluster:\n${lastLines(output)}`)
  }
}

function newPassword(): string {
  return randomBytes(PASSWORD_BYTES).toString('base64url')
}

function passwordStatement(password: string): string {
  return `ALTER ROLE ${DATABASE_NAME} PASSWORD '${password.replaceAll("'", "''")}'`
}

async function removeUnfinished(layout: Layout): Promise<void> {
  for (const name of await readdir(layout.root)) {
    if (!name.startsWith(UNFINISHED_PREFIX)) continue
    // An initdb whose parent was killed may still be at work in there: then the next start removes it.
    await rm(join(layout.root, name), { recursive: true, force: true }).catch(() => {})
  }
}
