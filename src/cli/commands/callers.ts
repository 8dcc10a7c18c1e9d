import type { Command } from 'commander'
import type { SetExit } from '../exit.js'

/** `aquifer callers` */
export function addCallers(program: Command, exit: SetExit): void {
  const callers = program.command('callers').description('Set up a service so that it can call Aquifer')
  callers
    .command('new')
    .description('Make a private key, and the DID document that makes it known')
    .requiredOption('--did-web <host>', 'the host name of the service that will call')
    .option('--key-file <file>', 'write the key here, for its owner only, instead of standard output')
    .option('--json', 'print JSON')
    .addHelpText('after', HELP)
    .action(async (options) => {
      const { newCaller } = await import('../callers.js')
      exit(await newCaller(options))
    })
  callers.addHelpText('after', HELP)
}

const HELP = `
Examples:
  aquifer callers new --did-web app.example.com
  aquifer callers new --did-web app.example.com --key-file app.key > did.json`
