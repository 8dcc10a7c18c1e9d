import { closeSync, openSync } from 'node:fs'
import { Readable, Writable } from 'node:stream'
import type { Ended, RunOptions } from './support.js'

/** Not by a name that the type check would follow: it comes before the build. */
const MAIN = new URL('../../dist/src/cli/main.js', import.meta.url).href

type Main = (argv: readonly string[]) => Promise<void>

/** What a process has one of, and a command line reads or writes. */
const OF_THE_PROCESS = ['stdin', 'stdout', 'stderr', 'env'] as const

let free: Promise<unknown> = Promise.resolve()

/**
 * Runs the built command line to its end in this process, as it is by itself in a pipe: its own environment and
 * folder, no input, both outputs, and the exit code. One at a time: a process has one of each.
 */
export function runInProcess(args: readonly string[], options: RunOptions, waitMs: number): Promise<Ended> {
  const ended = free.then(() => run(args, options, waitMs))
  free = ended.catch(() => {})
  return ended
}

async function run(args: readonly string[], options: RunOptions, waitMs: number): Promise<Ended> {
  const { main } = (await import(MAIN)) as { main: Main }
  const output = { stdout: '', stderr: '' }
  // Where an output leads can be asked of its descriptor: to no file, and to no terminal.
  const nowhere = openSync('/dev/null', 'w')
  const into = (name: keyof typeof output) => {
    const write = (chunk: Buffer, _: unknown, done: () => void) => {
      output[name] += chunk.toString()
      done()
    }
    return Object.assign(new Writable({ write, decodeStrings: true }), { fd: nowhere })
  }
  const own = {
    stdin: Readable.from([]),
    stdout: into('stdout'),
    stderr: into('stderr'),
    env: environmentOf(options),
  }
  const before = OF_THE_PROCESS.map(
    (name) => [name, Object.getOwnPropertyDescriptor(process, name)!] as const,
  )
  const folder = process.cwd()
  const late = Promise.withResolvers<never>()
  const timer = setTimeout(() => late.reject(new Error(`${args.join(' ')} has not ended`)), waitMs)
  try {
    for (const name of OF_THE_PROCESS) {
      Object.defineProperty(process, name, { value: own[name], configurable: true, writable: true })
    }
    if (options.cwd) process.chdir(options.cwd)
    await Promise.race([main([process.execPath, 'aquifer', ...args]), late.promise])
    return { code: Number(process.exitCode), ...output }
  } finally {
    clearTimeout(timer)
    for (const [name, descriptor] of before) Object.defineProperty(process, name, descriptor)
    process.chdir(folder)
    process.exitCode = undefined
    closeSync(nowhere)
  }
}

/** What a command finds in its environment: where programs are, and what a test says. */
export function environmentOf({ env = {} }: RunOptions): Record<string, string | undefined> {
  const { PATH, HOME } = process.env
  return { PATH, HOME, TERM: 'xterm', SHELL: '/bin/sh', ...env }
}
