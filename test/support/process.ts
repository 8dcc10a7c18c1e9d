import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { readConfig } from '../../src/config.js'
import { faultOfBuild } from './built.js'
import type { TestDatabase } from './database.js'
import type { Caller } from './network/caller.js'
import { type Backfill, clientOf, SERVICE_KEY, withFreePort } from './service.js'
import { eventually } from './wait.js'

/** A line of a process's log. */
export interface LogLine {
  readonly event: string
  readonly [detail: string]: unknown
}

export interface ProcessOptions {
  readonly database: TestDatabase
  /** What points it at a network. */
  readonly environment: Readonly<Record<string, string>>
}

const ROOT = fileURLToPath(new URL('../..', import.meta.url))

/**
 * The command line as it is built, or else from its source, which takes twice as long to start. Its standard input
 * ends with the process that runs the tests, and it with that: none is left behind by a test that was broken off.
 */
const COMMAND_LINE =
  faultOfBuild() === null
    ? { flags: [], main: new URL('../../dist/src/cli/main.js', import.meta.url) }
    : { flags: ['--import', 'tsx'], main: new URL('../../src/cli/main.ts', import.meta.url) }

const MAIN = `process.stdin.on('end', () => process.kill(process.pid, 'SIGKILL')).resume().unref()
import('${COMMAND_LINE.main}').then(({ main }) => main(process.argv))`

/** The longest a process may take to be ready, ms. Two cores may be busy with other tests. */
const START_MS = 120_000

/** `aquifer serve` or `aquifer worker` as a process of its own, which can be killed. */
export class AquiferProcess implements AsyncDisposable {
  readonly url: string
  readonly did: string
  readonly log: LogLine[] = []
  readonly #child: ChildProcess
  readonly #exited: Promise<unknown>
  #stderr = ''

  private constructor(child: ChildProcess, url: string, did: string) {
    this.#child = child
    this.url = url
    this.did = did
    this.#exited = once(child, 'exit')
    createInterface({ input: child.stdout! }).on('line', (line) => {
      if (line.startsWith('{')) this.log.push(JSON.parse(line))
    })
    child.stderr!.on('data', (text) => {
      this.#stderr += text
    })
  }

  /** Starts it on a database; ready when it answers or works. */
  static start(command: 'serve' | 'worker', options: ProcessOptions): Promise<AquiferProcess> {
    return withFreePort(options.environment, (port) => AquiferProcess.#startOnPort(port, command, options))
  }

  static async #startOnPort(
    port: number,
    command: 'serve' | 'worker',
    options: ProcessOptions,
  ): Promise<AquiferProcess> {
    const environment = {
      PORT: String(port),
      DATABASE_URL: options.database.url,
      BACKFILL_ACCESS: 'open',
      SERVICE_KEY,
      HOST_MAX_RPM: '100000',
      HOST_START_RPM: '100000',
      PLC_RPM: '100000',
      LOG_LEVEL: 'debug',
      ...options.environment,
    }
    const { server, identity } = readConfig(environment)
    const child = spawn(
      process.execPath,
      [...COMMAND_LINE.flags, '--input-type=module', '--eval', MAIN, 'aquifer', command],
      { cwd: ROOT, env: { PATH: process.env.PATH, ...environment }, stdio: ['pipe', 'pipe', 'pipe'] },
    )
    const started = new AquiferProcess(child, server.publicUrl, identity.did)
    const ready = command === 'serve' ? 'service.listening' : 'engine.started'
    await eventually(
      () => started.isGone || started.log.some(({ event }) => event === ready),
      (is) => is,
      START_MS,
    )
    if (started.isGone) throw new Error(`aquifer ${command} did not start: ${started.#stderr}`)
    return started
  }

  get isGone(): boolean {
    return this.#child.exitCode !== null || this.#child.signalCode !== null
  }

  /** A client of the service, as another service would have it. */
  as(caller: Caller): Backfill {
    return clientOf(this.url, this.did, caller)
  }

  /** As `kill -9`: at once, whatever it is doing. */
  async kill(): Promise<void> {
    this.#child.kill('SIGKILL')
    await this.#exited
  }

  /** Asks it to stop, and waits for it. @returns its exit code */
  async stop(): Promise<number | null> {
    if (!this.isGone) this.#child.kill('SIGTERM')
    await this.#exited
    return this.#child.exitCode
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (!this.isGone) await this.kill()
  }
}
