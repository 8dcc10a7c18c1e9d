import { spawnSync } from 'node:child_process'
import {
  chmod,
  chown,
  copyFile,
  lstat,
  mkdir,
  readdir,
  readFile,
  rm,
  stat,
  writeFile,
} from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, describe, expect, it, onTestFinished } from 'vitest'
import { type App, buildApp, isListening, isRoot, NOBODY, query, Scratch } from './support.js'

const scratch = new Scratch()
/** Another user where this one may become somebody else, which only root may. */
const anotherUser = isRoot ? NOBODY : {}

afterAll(() => scratch.clean())

/** An installation in a directory that all may enter. */
async function openApp(binaries: 'linked' | 'copied'): Promise<App> {
  const directory = await scratch.directory()
  await chmod(directory, 0o755)
  const { status } = spawnSync(process.execPath, ['--version'], { ...anotherUser, cwd: '/' })
  if (status === 0) return buildApp(directory, binaries)
  // This repository lies where nobody else may enter.
  await copyFile(process.execPath, join(directory, 'node'))
  return buildApp(directory, 'copied', join(directory, 'node'))
}

/** A parent for a data directory of the other user's own. */
async function theirDirectory(): Promise<string> {
  const directory = await scratch.directory()
  if (isRoot) await chown(directory, NOBODY.uid, NOBODY.gid)
  return directory
}

async function listedLinks(app: App): Promise<string[]> {
  const list = await readFile(join(app.packageDirectory, 'native/pg-symlinks.json'), 'utf8')
  return JSON.parse(list).map(({ target }: { target: string }) => join(app.packageDirectory, target))
}

/** As `npm ci --ignore-scripts` leaves the package, and some archive tools. */
async function breakInstallation(app: App): Promise<string[]> {
  const links = await listedLinks(app)
  expect(links.length).toBeGreaterThan(0)
  for (const link of links) await rm(link)
  await chmod(join(app.packageDirectory, 'native/bin/postgres'), 0o644)
  return links
}

async function makeReadOnly(directory: string): Promise<void> {
  for (const entry of await readdir(directory, { recursive: true, withFileTypes: true })) {
    if (entry.isDirectory()) await chmod(join(entry.parentPath, entry.name), 0o555)
  }
}

async function makeWritable(directory: string): Promise<void> {
  for (const entry of await readdir(directory, { recursive: true, withFileTypes: true })) {
    if (entry.isDirectory()) await chmod(join(entry.parentPath, entry.name), 0o755)
  }
}

describe('the embedded Postgres of any installation', () => {
  it('runs for a user who is not root', async () => {
    const holder = scratch.hold(
      await openApp('linked'),
      join(await theirDirectory(), 'postgres'),
      anotherUser,
    )
    const { url } = await holder.started
    expect(await query(url, 'select current_database() as name')).toEqual([{ name: 'aquifer' }])
    await holder.release()
    expect(await isListening(url)).toBe(false)
  })

  it('runs for root out of a directory that only root may enter, and keeps its data in one', async () => {
    const home = await scratch.directory()
    await chmod(home, 0o700)
    const app = await buildApp(join(home, 'app'), 'copied')
    // A version of which no copy is there yet, and none is left behind.
    const manifest = join(app.packageDirectory, 'package.json')
    const version = { version: `test.${process.pid}` }
    await writeFile(manifest, JSON.stringify({ ...JSON.parse(await readFile(manifest, 'utf8')), ...version }))
    // As an installation under a strict umask is.
    await chmod(join(app.packageDirectory, 'native/bin'), 0o700)
    const dataDirectory = join(home, 'app/.aquifer/postgres')
    await mkdir(dataDirectory, { recursive: true, mode: 0o700 })
    const holder = scratch.hold(app, dataDirectory)
    onTestFinished(async () => {
      for (const copy of holder.copies()) await rm(copy, { recursive: true })
    })
    const { url } = await holder.started
    await query(url, 'create table kept as select generate_series(1, 100000) as n')
    // A worker process for a query, and a new configuration in all, reach the directory as well.
    const [parallel] = await query(
      url,
      'set debug_parallel_query = on',
      'select pg_reload_conf()',
      'select count(*)::int as count from kept',
    )
    expect(parallel).toEqual({ count: 100_000 })
    const { uid } = await stat(join(dataDirectory, 'cluster/PG_VERSION'))
    expect(uid).not.toBe(0)
    await holder.release()
    const again = scratch.hold(app, dataDirectory)
    const { url: urlAgain } = await again.started
    expect(await query(urlAgain, 'select count(*)::int as count from kept')).toEqual([parallel])
    await again.release()
    expect(holder.copies()).toHaveLength(isRoot ? 1 : 0)
  })

  it('makes the links and the permissions that the installation left out', async () => {
    const app = await openApp('copied')
    const links = await breakInstallation(app)
    const holder = scratch.hold(app, join(await scratch.directory(), 'postgres'))
    const { url } = await holder.started
    expect(await query(url, 'select 1 as one')).toEqual([{ one: 1 }])
    for (const link of links) expect((await lstat(link)).isSymbolicLink()).toBe(true)
    await holder.release()
  })

  it('repairs a copy of an installation that it may not change', async () => {
    const app = await openApp('copied')
    const links = await breakInstallation(app)
    await makeReadOnly(app.directory)
    const dataDirectory = join(await theirDirectory(), 'postgres')
    const holder = scratch.hold(app, dataDirectory, anotherUser)
    const { url } = await holder.started
    expect(await query(url, 'select 1 as one')).toEqual([{ one: 1 }])
    expect(holder.copies()).toHaveLength(1)
    await expect(lstat(links[0]!)).rejects.toThrow('ENOENT')
    await holder.release()
    await makeWritable(app.directory)
  })

  it('says what to do about a directory that it may not use', async () => {
    const app = await openApp('linked')
    const directory = await scratch.directory()
    await chmod(directory, isRoot ? 0o755 : 0o555)
    const start = (dataDirectory: string) => scratch.hold(app, dataDirectory, anotherUser).started
    await expect(start(join(directory, 'postgres'))).rejects.toThrow(
      /EmbeddedPostgresError: cannot make .*postgres \(EACCES.*: set DATA_DIR/,
    )
    await expect(start(directory)).rejects.toThrow(
      /EmbeddedPostgresError: .* belongs to another user \(EACCES.* set DATA_DIR .* DATABASE_URL/,
    )
    await chmod(directory, 0o700)
  })
})
