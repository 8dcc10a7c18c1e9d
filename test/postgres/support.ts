/** What the tests of the embedded Postgres share: scratch directories, queries, and other processes that use it. */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { cp, mkdir, mkdtemp, readdir, readFile, rm, symlink, writeFile } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { createInterface } from 'node:readline'
import pg from 'pg'
import ts from 'typescript'
import { embeddedPackageName } from '../../src/postgres/binaries.js'
import { parsePostmasterFile } from '../../src/postgres/postmaster.js'
import { findProcess } from '../../src/postgres/processes.js'

/** The user that stands for anybody but root. */
export const NOBODY = { uid: 65534, gid: 65534 }
export const isRoot = process.geteuid?.() === 0

const repository = join(import.meta.dirname, '../..')

/** Runs statements, each in a connection of its own; gives the rows of the last one. */
export async function query(url: string, ...statements: string[]): Promise<Record<string, unknown>[]> {
  const client = new pg.Client(url)
  client.on('error', () => {})
  await client.connect()
  try {
    let rows: Record<string, unknown>[] = []
    for (const statement of statements) rows = (await client.query(statement)).rows
    return rows
  } finally {
    await client.end().catch(() => {})
  }
}

/** Whether something listens on the port of a database URL. */
export async function isListening(url: string): Promise<boolean> {
  const socket = connect({ host: '127.0.0.1', port: Number(new URL(url).port) })
  try {
    await once(socket, 'connect')
    return true
  } catch {
    return false
  } finally {
    socket.destroy()
  }
}

/** The process id of the server on a data directory, from the file that the server writes. */
export async function serverPid(dataDirectory: string): Promise<number> {
  const text = await readFile(join(dataDirectory, 'cluster', 'postmaster.pid'), 'utf8')
  return parsePostmasterFile(text)!.pid
}

/** Kills without a warning, and waits until the process is gone. */
export async function killHard(pid: number): Promise<void> {
  process.kill(pid, 'SIGKILL')
  while ((await findProcess(pid)) !== undefined) await new Promise((resolve) => setTimeout(resolve, 5))
}

/**
 * Directories for tests, with whatever servers and processes they end up with.
 * {@link Scratch.clean} ends and removes all.
 */
export class Scratch {
  readonly #directories: string[] = []
  readonly #children: ChildProcess[] = []

  /** A new empty directory, which only this user may enter. */
  async directory(): Promise<string> {
    const directory = await mkdtemp(join(tmpdir(), 'aquifer-postgres-test-'))
    this.#directories.push(directory)
    return directory
  }

  /** Starts a process that uses the server of `dataDirectory`; does not wait for it to have one. */
  hold(app: App, dataDirectory: string, options: { uid?: number; gid?: number } = {}): Holder {
    const child = spawn(app.node, [join(app.directory, 'hold-server.mjs'), dataDirectory], {
      ...options,
      cwd: '/',
      // Its own process group, as a shell gives every command.
      detached: true,
      stdio: ['pipe', 'pipe', 'inherit'],
    })
    this.#children.push(child)
    return new Holder(child)
  }

  async clean(): Promise<void> {
    for (const child of this.#children) child.kill('SIGKILL')
    for (const directory of this.#directories) {
      for (const name of [directory, ...(await readdir(directory)).map((entry) => join(directory, entry))]) {
        const pid = await serverPid(name).catch(() => undefined)
        if (pid !== undefined && (await findProcess(pid)) !== undefined) await killHard(pid)
      }
      await rm(directory, { recursive: true, force: true, maxRetries: 10 })
    }
  }
}

/** Another process that uses a server. */
export class Holder {
  readonly child: ChildProcess
  /** What it got from startEmbeddedPostgres; rejects with the error that it got instead. */
  readonly started: Promise<{ url: string; adopted: boolean }>
  readonly events: { event: string; detail: Record<string, unknown> }[] = []

  constructor(child: ChildProcess) {
    this.child = child
    const { promise, resolve, reject } = withResolvers<{ url: string; adopted: boolean }>()
    this.started = promise
    promise.catch(() => {})
    createInterface({ input: child.stdout! }).on('line', (line) => {
      const message = JSON.parse(line)
      if (message.event === 'postgres.system-binaries') {
        reject(new Error(`it fell back to other binaries than those under test: ${line}`))
      }
      if (message.event !== undefined) this.events.push(message)
      else if (message.error !== undefined) reject(new Error(message.error))
      else if (message.url !== undefined) resolve(message)
    })
    child.on('error', reject)
    child.on('exit', () => reject(new Error('the process ended before it had a server')))
  }

  /** Where it copied the binaries to. */
  copies(): string[] {
    return this.events
      .filter(({ event }) => event === 'postgres.binaries-copied')
      .map(({ detail }) => String(detail.to))
  }

  /** Has it release the server, and waits for its end. */
  async release(): Promise<void> {
    const ended = once(this.child, 'exit')
    this.child.stdin!.write('\n')
    const [code] = await ended
    if (code !== 0) throw new Error(`the process ended with code ${code}`)
  }

  /** Sends it, or with it its whole process group, a signal, and waits for its end. */
  async kill(signal: NodeJS.Signals, target: 'process' | 'group' = 'process'): Promise<void> {
    const ended = once(this.child, 'exit')
    process.kill(target === 'group' ? -this.child.pid! : this.child.pid!, signal)
    await ended
  }
}

/** A copy of the program that other processes run: plain JavaScript, which needs nothing but Node. */
export interface App {
  readonly directory: string
  readonly node: string
  /** The npm package of the binaries as the app finds it. */
  readonly packageDirectory: string
}

/**
 * Builds the supervisor for other processes.
 *
 * @param binaries `linked` to the package in this repository; `copied`, to be tampered with
 * @param node the program to run it with
 */
export async function buildApp(
  directory: string,
  binaries: 'linked' | 'copied',
  node: string = process.execPath,
): Promise<App> {
  const source = join(repository, 'src/postgres')
  await mkdir(join(directory, 'postgres'), { recursive: true })
  for (const name of await readdir(source)) {
    const { outputText } = ts.transpileModule(await readFile(join(source, name), 'utf8'), {
      compilerOptions: { target: ts.ScriptTarget.ES2022, module: ts.ModuleKind.ESNext },
    })
    await writeFile(join(directory, 'postgres', name.replace(/\.ts$/, '.js')), outputText)
  }
  await writeFile(join(directory, 'package.json'), '{"type": "module"}')
  await cp(join(import.meta.dirname, 'hold-server.mjs'), join(directory, 'hold-server.mjs'))
  const packageName = embeddedPackageName(process.platform, process.arch)
  const packageDirectory = join(directory, 'node_modules', packageName)
  const installed = dirname(dirname(createRequire(import.meta.url).resolve(packageName)))
  await mkdir(dirname(packageDirectory), { recursive: true })
  if (binaries === 'linked') await symlink(installed, packageDirectory)
  else await cp(installed, packageDirectory, { recursive: true, verbatimSymlinks: true })
  return { directory, node, packageDirectory }
}

function withResolvers<T>() {
  let resolve!: (value: T) => void
  let reject!: (reason: Error) => void
  const promise = new Promise<T>((onResolve, onReject) => {
    resolve = onResolve
    reject = onReject
  })
  return { promise, resolve, reject }
}
