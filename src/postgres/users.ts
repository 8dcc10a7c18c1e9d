/**
 * Who uses the server: one empty file per handle, named by its process. A process that was killed leaves its
 * file behind; the start time in the name tells it from a later process with the same id.
 */
import { mkdir, readdir, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { systemErrorCode } from './errors.js'
import { isAlive, type ProcessIdentity } from './processes.js'

/**
 * Registers a user of the server.
 *
 * @param random tells this handle from the others of its process; without dots
 * @returns the registration, for {@link removeUser}
 */
export async function addUser(directory: string, user: ProcessIdentity, random: string): Promise<string> {
  await mkdir(directory, { recursive: true })
  const registration = join(directory, `${user.pid}.${user.startedAt}.${random}`)
  await writeFile(registration, '')
  return registration
}

/** Ends a registration; one that is gone already is no error. */
export async function removeUser(registration: string): Promise<void> {
  await rm(registration, { force: true })
}

/** How many handles of live processes are registered. Registrations of dead ones are removed. */
export async function countUsers(directory: string): Promise<number> {
  let count = 0
  for (const name of await listNames(directory)) {
    const user = parseRegistration(name)
    if (user !== undefined && (await isAlive(user))) count += 1
    else await rm(join(directory, name), { force: true, recursive: true })
  }
  return count
}

async function listNames(directory: string): Promise<string[]> {
  try {
    return await readdir(directory)
  } catch (error) {
    if (systemErrorCode(error) === 'ENOENT') return []
    throw error
  }
}

function parseRegistration(name: string): ProcessIdentity | undefined {
  const [pid, startedAt, random, ...rest] = name.split('.')
  if (startedAt === undefined || random === undefined || rest.length > 0) return undefined
  return { pid: Number(pid), startedAt }
}
