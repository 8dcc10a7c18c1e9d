import { type SpawnOptions, spawn } from 'node:child_process'
import { messageOf } from './errors.js'

/** initdb, the slowest of the programs run here, takes half a second, and a minute on a very slow disk. */
const COMMAND_MILLISECONDS_MAX = 5 * 60_000
/** Of a longer output the end is kept: programs say last what stopped them. */
const OUTPUT_CHARACTERS_MAX = 16_384

/** What Postgres's programs get of our environment, which may hold secrets that are none of their business. */
const PASSED_ON = ['PATH', 'HOME', 'LD_LIBRARY_PATH', 'DYLD_LIBRARY_PATH', 'SystemRoot', 'TEMP', 'TMP']

export interface CommandResult {
  /** The exit code; undefined when the program could not be started, or was ended by a signal. */
  readonly code: number | undefined
  /** The end of what it wrote, standard output and error together, or why it could not be started. */
  readonly output: string
}

export interface CommandOptions {
  /** Who to run it as; only root may ask for somebody else. */
  readonly user?: { readonly uid: number; readonly gid: number } | undefined
  /** What it reads from its standard input. */
  readonly input?: string
  /** What it gets as its descriptors from 3 on. */
  readonly descriptors?: readonly number[]
}

/**
 * How every Postgres program is started. The environment has English messages, because some are looked for in
 * the log, and a time zone, because initdb without one compares the system's with each that it knows.
 */
export function commonSpawnOptions(user: CommandOptions['user']): SpawnOptions {
  const passedOn = PASSED_ON.flatMap((name) =>
    process.env[name] === undefined ? [] : [[name, process.env[name]]],
  )
  return {
    // In a directory that the user cannot enter, some versions of Postgres fail to find themselves.
    cwd: '/',
    env: { ...Object.fromEntries(passedOn), LC_ALL: 'C', TZ: 'UTC' },
    ...(user === undefined ? {} : { uid: user.uid, gid: user.gid }),
  }
}

/** Runs a program to its end, at most five minutes. Never throws: the result says what went wrong. */
export function runCommand(
  file: string,
  commandArguments: readonly string[],
  options: CommandOptions = {},
): Promise<CommandResult> {
  return new Promise<CommandResult>((resolve) => {
    const child = spawn(file, commandArguments, {
      ...commonSpawnOptions(options.user),
      stdio: ['pipe', 'pipe', 'pipe', ...(options.descriptors ?? [])],
    })
    const timer = setTimeout(() => child.kill('SIGKILL'), COMMAND_MILLISECONDS_MAX)
    const finish = (result: CommandResult) => {
      clearTimeout(timer)
      resolve(result)
    }
    let output = ''
    const keep = (chunk: string) => {
      output = (output + chunk).slice(-OUTPUT_CHARACTERS_MAX)
    }
    child.stdout?.setEncoding('utf8').on('data', keep)
    child.stderr?.setEncoding('utf8').on('data', keep)
    // A program that ends without reading its input is judged by its exit code.
    child.stdin?.on('error', () => {})
    child.stdin?.end(options.input ?? '')
    child.on('error', (error) => finish({ code: undefined, output: error.message }))
    child.on('close', (code) => finish({ code: code ?? undefined, output: output.trim() }))
    // Some reasons not to start, such as not being allowed to change the user, do not come as an event.
  }).catch((error: unknown) => ({ code: undefined, output: messageOf(error) }))
}
