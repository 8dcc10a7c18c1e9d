import { CommanderError } from 'commander'
import { EXIT, report } from './exit.js'
import { createProgram } from './program.js'
import { keepStreamErrorsQuiet } from './stdout.js'

/** Runs the command line and sets the process's exit code. */
export async function main(argv: readonly string[]): Promise<void> {
  keepStreamErrorsQuiet()
  let code: number = EXIT.done
  const program = createProgram((exitCode) => {
    code = exitCode
  })
  try {
    await program.parseAsync([...argv])
  } catch (error) {
    code = error instanceof CommanderError ? commanderCode(error) : report(error, process.stderr)
  }
  process.exitCode = code
}

/** Help and version are no errors; everything else commander refuses is wrong usage. */
function commanderCode(error: CommanderError): number {
  return error.exitCode === 0 ? EXIT.done : EXIT.usage
}
