import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import { programPath } from './program.js'

const PROGRAM = programPath(import.meta.url, './metered-worker')

/** What a worker has done and taken so far. */
export interface Reading {
  /** Queries for due repos. */
  readonly claims: number
  readonly claimMs: number
  /** Moves of repos: to the host that was found, to an outcome. */
  readonly steps: number
  readonly checkpointMs: number
  readonly cpuSeconds: number
  readonly rssMb: number
  readonly peakRssMb: number
}

/** A worker in a process of its own, which can be read and killed. */
export class WorkerProcess implements AsyncDisposable {
  /** Resolves when the outcome of a repo is durable that it read. */
  readonly firstOutcome: Promise<void>
  readonly #child: ChildProcess
  readonly #gone: Promise<never>

  constructor(environment: Readonly<Record<string, string>>) {
    this.#child = fork(PROGRAM, { env: { PATH: process.env.PATH, ...environment } })
    this.#gone = once(this.#child, 'exit').then(() => {
      throw new Error('the worker has ended')
    })
    this.#gone.catch(() => {})
    this.firstOutcome = this.#told((message) => message === 'written').then(() => {})
    this.firstOutcome.catch(() => {})
  }

  async read(): Promise<Reading> {
    const told = this.#told((message) => typeof message === 'object')
    this.#child.send('read')
    return (await told) as Reading
  }

  async kill(): Promise<void> {
    this.#child.kill('SIGKILL')
    await this.#gone.catch(() => {})
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#child.exitCode === null && this.#child.signalCode === null) await this.kill()
  }

  async #told(isIt: (message: unknown) => boolean): Promise<unknown> {
    for (;;) {
      const [message] = await Promise.race([once(this.#child, 'message'), this.#gone])
      if (isIt(message)) return message
    }
  }
}
