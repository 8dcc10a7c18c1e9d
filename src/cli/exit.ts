import { ConfigError } from '../config.js'
import { RequestError, SetupError } from '../errors.js'

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

/** Prints an error as a person wants it and gives the exit code for it. */
export function report(error: unknown, stderr: NodeJS.WritableStream): number {
  if (error instanceof ConfigError || error instanceof RequestError) {
    stderr.write(`${error.message}\n`)
    return EXIT.usage
  }
  if (error instanceof SetupError) {
    stderr.write(`${error.message}\n`)
    return EXIT.failed
  }
  stderr.write(`${error instanceof Error ? (error.stack ?? error.message) : String(error)}\n`)
  return EXIT.failed
}
