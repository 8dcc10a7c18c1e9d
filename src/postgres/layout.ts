import { chmod, mkdir, realpath } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import { EmbeddedPostgresError, messageOf } from './errors.js'

/** What lies where in the directory of an embedded Postgres; absolute paths without symbolic links. */
export interface Layout {
  readonly root: string
  /** Postgres's own data directory; belongs to the user whom the server runs as. */
  readonly cluster: string
  readonly serverLog: string
  readonly password: string
  /** The port that was used last: a number, as text. */
  readonly port: string
  /** One file for each handle in use, see users.ts. */
  readonly users: string
  /** See lock.ts. */
  readonly lock: string
  /** A copy of the Postgres binaries, where those in node_modules cannot be used. */
  readonly binaries: string
}

/** The layout below `root`. */
export function layoutOf(root: string): Layout {
  return {
    root,
    cluster: join(root, 'cluster'),
    serverLog: join(root, 'server.log'),
    password: join(root, 'password'),
    port: join(root, 'port'),
    users: join(root, 'users'),
    lock: join(root, 'lock'),
    binaries: join(root, 'binaries'),
  }
}

/**
 * Makes sure that the data directory exists.
 *
 * @returns its layout; two names of one directory give the same layout
 * @throws EmbeddedPostgresError when it cannot be made
 */
export async function prepareLayout(dataDirectory: string): Promise<Layout> {
  const path = resolve(dataDirectory)
  try {
    const created = await mkdir(path, { recursive: true })
    // As root the server runs as somebody else, who has to pass through; the files inside protect themselves.
    if (created !== undefined) await chmod(path, process.geteuid?.() === 0 ? 0o711 : 0o700)
    return layoutOf(await realpath(path))
  } catch (error) {
    throw new EmbeddedPostgresError(
      `cannot make the database's directory ${path} (${messageOf(error)}): set DATA_DIR to a directory this user ` +
        'may write to, or DATABASE_URL to a PostgreSQL server',
      { cause: error },
    )
  }
}
