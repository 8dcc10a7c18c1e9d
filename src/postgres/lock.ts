/**
 * A lock between processes, in a directory, which a killed owner does not keep.
 *
 * Each owner has a generation: a file named by a number, which holds the owner's process while it owns the lock
 * and nothing afterwards. The highest one counts. Who finds it free, or its owner dead, creates the next number;
 * the file system lets one of them do so. Taking a dead owner's lock therefore deletes nothing, and so cannot
 * delete the lock of somebody who was quicker. A process that was held up between looking and creating may
 * create a number below the highest: it sees that when it looks again, and gives up. The highest file is never
 * removed, and the ones before it only after some more, so that no reader of the directory can miss both an old
 * and a new one.
 */
import { randomUUID } from 'node:crypto'
import { link, mkdir, readdir, readFile, rm, truncate, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { EmbeddedPostgresError, systemErrorCode } from './errors.js'
import { isAlive, thisProcess } from './processes.js'

/** Longer than anything that is done under the lock, of which recovering a database takes the longest. */
const WAIT_MILLISECONDS_MAX = 15 * 60_000
const POLL_MILLISECONDS = 20
/** Old generations that stay, see above. */
const GENERATIONS_KEPT = 8

/**
 * Runs `work` while no other process, and no other call in this one, runs work under the same lock.
 *
 * @param directory is created when missing, and belongs to the lock
 * @returns what `work` returns
 * @throws EmbeddedPostgresError when the lock was not to be had within 15 minutes; whatever `work` throws
 */
export async function withLock<Result>(directory: string, work: () => Promise<Result>): Promise<Result> {
  await mkdir(directory, { recursive: true })
  const generation = await acquire(directory)
  try {
    return await work()
  } finally {
    await free(directory, generation)
  }
}

async function acquire(directory: string): Promise<number> {
  const { pid, startedAt } = await thisProcess()
  const deadline = performance.now() + WAIT_MILLISECONDS_MAX
  while (performance.now() < deadline) {
    const highest = await highestGeneration(directory)
    if (highest > 0 && (await isHeld(directory, highest))) {
      await sleep(POLL_MILLISECONDS)
      continue
    }
    const mine = highest + 1
    if (!(await claim(directory, mine, `${pid} ${startedAt}`))) continue
    if ((await highestGeneration(directory)) === mine) {
      await removeOld(directory, mine)
      return mine
    }
    await rm(join(directory, String(mine)), { force: true })
  }
  const owner = await readFile(join(directory, String(await highestGeneration(directory))), 'utf8')
  throw new EmbeddedPostgresError(
    `process ${owner.split(' ')[0]} holds ${directory} for too long: end it and try again`,
  )
}

async function highestGeneration(directory: string): Promise<number> {
  const generations = (await readdir(directory)).map(Number).filter(Number.isSafeInteger)
  return Math.max(0, ...generations)
}

async function isHeld(directory: string, generation: number): Promise<boolean> {
  let owner: string
  try {
    owner = await readFile(join(directory, String(generation)), 'utf8')
  } catch (error) {
    // Gone since we looked: there are higher ones now.
    if (systemErrorCode(error) === 'ENOENT') return true
    throw error
  }
  if (owner === '') return false
  const [pid = '', startedAt = ''] = owner.split(' ')
  return isAlive({ pid: Number(pid), startedAt })
}

/** Creates the generation together with its content, in one step; false when somebody else was quicker. */
async function claim(directory: string, generation: number, owner: string): Promise<boolean> {
  const draft = join(directory, `draft-${randomUUID()}`)
  try {
    await writeFile(draft, owner)
    await link(draft, join(directory, String(generation)))
    return true
  } catch (error) {
    // ENOENT: an owner that cleaned up took the draft for one of a killed process.
    if (['EEXIST', 'ENOENT'].includes(systemErrorCode(error) ?? '')) return false
    throw error
  } finally {
    await rm(draft, { force: true })
  }
}

async function removeOld(directory: string, mine: number): Promise<void> {
  for (const name of await readdir(directory)) {
    if (name.startsWith('draft-') || Number(name) < mine - GENERATIONS_KEPT)
      await rm(join(directory, name), { force: true })
  }
}

/** Leaves the generation empty, which also a full disk allows. */
async function free(directory: string, generation: number): Promise<void> {
  try {
    await truncate(join(directory, String(generation)))
  } catch (error) {
    // The whole directory was deleted while we held the lock: nobody can wait for it any more.
    if (systemErrorCode(error) !== 'ENOENT') throw error
  }
}
