import { RequestError, SetupError } from '../errors.js'
import { clearInterrupted } from './status-line.js'
import { ReaderGone } from './stdout.js'

/** What a script learns from the exit code. */
export const EXIT = {
  done: 0,
  failed: 1,
  usage: 2,
  /** Finished, but some repos failed. */
  incomplete: 3,
  /** Stopped by a signal; 128 + SIGINT, as shells have it. */
  interrupted: 130,
} as const

/** Takes a command's exit code. */
export type SetExit = (code: number) => void

/** Something about how the command was called. The message says what would be right. */
export class UsageError extends Error {
  override readonly name = 'UsageError'
}

/** The command did what it could. The message says what to do next. */
export class CommandError extends Error {
  override readonly name = 'CommandError'
}

/** The user has had enough. The message says what became of the work. */
export class Interrupted extends Error {
  override readonly name = 'Interrupted'
}

/** Prints an error as a person wants it and gives the exit code for it. */
export function report(error: unknown, stderr: NodeJS.WriteStream): number {
  if (error instanceof ReaderGone) return EXIT.done
  if (error instanceof Interrupted) {
    clearInterrupted(stderr)
    stderr.write(`${error.message}\n`)
    return EXIT.interrupted
  }
  if (error instanceof RequestError || error instanceof UsageError || isConfigError(error)) {
    stderr.write(`${error.message}\n`)
    return EXIT.usage
  }
  if (error instanceof SetupError || error instanceof CommandError) {
    stderr.write(`${error.message}\n`)
    return EXIT.failed
  }
  stderr.write(`${error instanceof Error ? (error.stack ?? error.message) : String(error)}\n`)
  stderr.write('This is a bug in aquifer: please report it with the lines above.\n')
  return EXIT.failed
}

/** By its name: the class would load the configuration, and half of the service with it, for `--help`. */
function isConfigError(error: unknown): error is Error {
  return error instanceof Error && error.name === 'ConfigError'
}
