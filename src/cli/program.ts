import { Command } from 'commander'
import { VERSION } from '../version.js'
import { addCallers } from './commands/callers.js'
import { addCompletion } from './commands/completion.js'
import { addIdentity } from './commands/identity.js'
import { addJobs } from './commands/jobs.js'
import { addLexicons } from './commands/lexicons.js'
import { addManifest } from './commands/manifest.js'
import { addRecords } from './commands/records.js'
import { addRun } from './commands/run.js'
import { addServiceCommands } from './commands/service.js'
import type { SetExit } from './exit.js'
import { terminalWidth } from './stdout.js'

/** All commands with their options. What they do is loaded when it is used. */
export function createProgram(exit: SetExit): Command {
  const program = new Command('aquifer')
    .description(
      'Backfill for the AT Protocol: every record of the collections you name, with a verdict on every repo',
    )
    .version(VERSION)
    .exitOverride()
    .configureHelp({ minWidthToWrap: 20 })
    .configureOutput({ getOutHelpWidth: () => Math.min(110, terminalWidth()) })
  program.commandsGroup('One backfill, without a server:')
  addRun(program, exit)
  program.commandsGroup('On a running service:')
  addJobs(program, exit)
  addRecords(program, exit)
  addManifest(program, exit)
  addCallers(program, exit)
  program.commandsGroup('Running the service:')
  addServiceCommands(program, exit)
  addIdentity(program, exit)
  addLexicons(program, exit)
  program.commandsGroup('Others:')
  addCompletion(program, exit)
  program.helpCommand('help [command]', 'Show what a command does')
  for (const command of allCommands(program)) command.showHelpAfterError(`(more: ${nameOf(command)} --help)`)
  return program
}

/** A command and all below it. */
export function allCommands(command: Command): Command[] {
  return [command, ...command.commands.flatMap(allCommands)]
}

/** How a command is called, such as `aquifer jobs list`. */
function nameOf(command: Command): string {
  return command.parent ? `${nameOf(command.parent)} ${command.name()}` : command.name()
}
