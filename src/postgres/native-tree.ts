/**
 * Makes the Postgres binaries of an npm package usable. As they come they may lack symbolic links, which only
 * the package's install script makes, or lie where the user whom the server runs as may not read.
 */
import { randomUUID } from 'node:crypto'
import { chmod, readdir, rename, stat, symlink } from 'node:fs/promises'
import { dirname, join, relative } from 'node:path'
import { EmbeddedPostgresError, isPermissionError, messageOf, systemErrorCode } from './errors.js'
import { readIfExists } from './files.js'
import { copyPackage } from './native-copy.js'
import type { ServerUser } from './server-user.js'
import { probeVersion } from './version.js'

export interface NativeTreeOptions {
  /** The unpacked npm package. */
  readonly packageDirectory: string
  /** Who the server runs as; undefined for the user of this process. */
  readonly user: ServerUser | undefined
  /** Where in the data directory a copy may be kept. */
  readonly copies: string
  readonly log: (event: string, detail: object) => void
}

/**
 * Repairs the package's binaries where they are, or else makes a copy of them which the server's user can use.
 *
 * @returns the directory of the programs
 * @throws EmbeddedPostgresError when neither can be done, or they do not run on this system
 */
export async function usableBinDirectory(options: NativeTreeOptions): Promise<string> {
  const { packageDirectory, user } = options
  const problem = await repairWherePossible(packageDirectory)
  if (problem === undefined) {
    // What this process cannot run does not run here at all, and a copy would not either.
    await probeVersion(binOf(packageDirectory), undefined)
    if (user === undefined || (await canRun(binOf(packageDirectory), user))) return binOf(packageDirectory)
  }
  const reason = problem ?? `${user?.name}, who the server runs as, cannot use ${packageDirectory}`
  try {
    const copy = await copyPackage({ ...options, repair: repairPackage })
    await probeVersion(binOf(copy), user)
    return binOf(copy)
  } catch (error) {
    throw new EmbeddedPostgresError(
      `${reason}, and a copy cannot be made (${messageOf(error)}): run \`npm rebuild\` as a user who may write ` +
        'to node_modules, or install where everybody may read',
      { cause: error },
    )
  }
}

function binOf(packageDirectory: string): string {
  return join(packageDirectory, 'native', 'bin')
}

async function canRun(bin: string, user: ServerUser): Promise<boolean> {
  return probeVersion(bin, user).then(
    () => true,
    () => false,
  )
}

/** Repairs the package; says why that is not possible when it needs repair and may not be changed. */
async function repairWherePossible(packageDirectory: string): Promise<string | undefined> {
  try {
    await repairPackage(packageDirectory)
    return undefined
  } catch (error) {
    if (isPermissionError(error)) return `${packageDirectory} is incomplete and may not be changed`
    throw error
  }
}

/** Makes the links which are missing, and the programs executable. */
export async function repairPackage(packageDirectory: string): Promise<void> {
  for (const { source, target } of await listedLinks(packageDirectory)) {
    await ensureLink(join(packageDirectory, source), join(packageDirectory, target))
  }
  for (const name of await readdir(binOf(packageDirectory))) {
    const program = join(binOf(packageDirectory), name)
    const { mode } = await stat(program)
    if ((mode & 0o100) === 0) await chmod(program, 0o755)
  }
}

/** The links which the package lists for its install script, as paths relative to the package. */
async function listedLinks(packageDirectory: string): Promise<{ source: string; target: string }[]> {
  const list = await readIfExists(join(packageDirectory, 'native', 'pg-symlinks.json'))
  return list === undefined ? [] : JSON.parse(list)
}

async function ensureLink(source: string, target: string): Promise<void> {
  try {
    await stat(target)
    return
  } catch (error) {
    if (systemErrorCode(error) !== 'ENOENT') throw error
  }
  // Renaming also replaces a link that leads nowhere, and does not mind another process doing the same.
  const draft = `${target}.${randomUUID()}`
  await symlink(relative(dirname(target), source), draft)
  await rename(draft, target)
}
