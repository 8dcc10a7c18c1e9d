/**
 * Postgres refuses to run as root. Root therefore runs it as another user, who may not see all that root sees.
 */
import { open, readFile, stat } from 'node:fs/promises'
import { runCommand } from './command.js'
import { EmbeddedPostgresError, systemErrorCode } from './errors.js'

/** An unprivileged user and group. */
export interface ServerUser {
  readonly uid: number
  readonly gid: number
  readonly name: string
}

/** Who root runs the server as, in this order. */
const UNPRIVILEGED_USERS = ['postgres', 'nobody']

/**
 * Who the server has to run as.
 *
 * @param cluster Postgres's data directory: Postgres runs only as its owner, so once it exists that decides
 * @returns undefined for the user of this process
 * @throws EmbeddedPostgresError when this is root and the system has no unprivileged user
 */
export async function chooseServerUser(cluster: string): Promise<ServerUser | undefined> {
  if (process.geteuid?.() !== 0) return undefined
  const owner = await ownerOf(cluster)
  if (owner !== undefined && owner.uid !== 0) return { ...owner, name: `user ${owner.uid}` }
  const passwd = await readFile('/etc/passwd', 'utf8')
  for (const name of UNPRIVILEGED_USERS) {
    const user = findUser(passwd, name)
    if (user !== undefined) return user
  }
  throw new EmbeddedPostgresError(
    'PostgreSQL does not run as root, and there is no user "postgres" or "nobody" to run it as: create one ' +
      '(useradd --system postgres), run this as another user, or set DATABASE_URL',
  )
}

async function ownerOf(path: string): Promise<{ uid: number; gid: number } | undefined> {
  try {
    const { uid, gid } = await stat(path)
    return { uid, gid }
  } catch (error) {
    if (systemErrorCode(error) === 'ENOENT') return undefined
    throw error
  }
}

/** A user in the text of /etc/passwd; some systems give `nobody` a negative id. */
export function findUser(passwd: string, name: string): ServerUser | undefined {
  for (const line of passwd.split('\n')) {
    const [lineName, , uid, gid] = line.split(':')
    if (lineName !== name || Number(uid) === 0 || !Number.isInteger(Number(uid ?? NaN))) continue
    return { uid: Number(uid), gid: Number(gid), name }
  }
  return undefined
}

/** Whether the user can use a path inside `directory`, that is pass through it and all its parents. */
export async function canEnter(user: ServerUser | undefined, directory: string): Promise<boolean> {
  if (user === undefined) return true
  // Asking the kernel counts in what modes alone do not show, such as access control lists.
  const { code } = await runCommand('/bin/sh', ['-c', 'cd -P -- "$1"', 'sh', directory], { user })
  return code === 0
}

/** A directory as the processes of the server can name it. */
export interface OpenDirectory extends AsyncDisposable {
  readonly path: string
  /** What to hand to the process as its descriptors from 3 on. */
  readonly descriptors: number[]
}

/**
 * Gives the server a directory of its own which may lie below one that it cannot enter, such as /root. Such a
 * directory is opened here and inherited, and the kernel leads a process through its own descriptor without
 * looking at the parents. The directory itself must belong to the user.
 *
 * @throws EmbeddedPostgresError where that is needed and the system has no such descriptors
 */
export async function openForServer(user: ServerUser | undefined, directory: string): Promise<OpenDirectory> {
  if (await canEnter(user, directory)) {
    return { path: directory, descriptors: [], [Symbol.asyncDispose]: async () => {} }
  }
  if (process.platform !== 'linux') {
    throw new EmbeddedPostgresError(
      `PostgreSQL has to run as ${user?.name}, who cannot enter ${directory}: set DATA_DIR to a directory whose ` +
        'parents everybody may enter, run this as another user than root, or set DATABASE_URL',
    )
  }
  const handle = await open(directory, 'r')
  return {
    path: '/proc/self/fd/3',
    descriptors: [handle.fd],
    [Symbol.asyncDispose]: () => handle.close(),
  }
}
