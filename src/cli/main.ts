import { Command, CommanderError } from 'commander'
import { describeConfig, readConfig } from '../config.js'
import { VERSION } from '../version.js'
import { EXIT, report } from './exit.js'

/** Runs the command line and sets the process's exit code. Commands are loaded when they are used. */
export async function main(argv: readonly string[]): Promise<void> {
  try {
    process.exitCode = await run(argv)
  } catch (error) {
    process.exitCode = error instanceof CommanderError ? commanderCode(error) : report(error, process.stderr)
  }
}

async function run(argv: readonly string[]): Promise<number> {
  let code: number = EXIT.done
  const program = new Command('aquifer')
    .description(
      'Backfill for the AT Protocol: every record of the collections you name, with a verdict on every repo',
    )
    .version(VERSION)
    .exitOverride()
    .showHelpAfterError('(see --help)')
  program
    .command('serve')
    .description('Answer requests and do the work. Settings come from the environment: see "aquifer config"')
    .option('--no-engine', 'only answer requests; workers elsewhere do the work')
    .action(async (options: { engine: boolean }) => {
      const { serve } = await import('./serve.js')
      code = await serve({ api: true, engine: options.engine })
    })
  program
    .command('worker')
    .description('Do the work of jobs that another process answers for')
    .action(async () => {
      const { serve } = await import('./serve.js')
      code = await serve({ api: false, engine: true })
    })
  program
    .command('run')
    .description('Do one whole backfill without a server: JSON lines to a file or to standard output')
    .requiredOption(
      '-c, --collection <nsid...>',
      'the collections, or prefixes such as com.example.* (with --repo)',
    )
    .option('-r, --repo <did-or-handle...>', 'only these accounts (default: ask the relays who has records)')
    .option('-o, --output <file>', 'write the records here instead of standard output')
    .option('--level <level>', 'the least a repo must be proven: content or none', 'content')
    .addHelpText('after', RUN_HELP)
    .action(async (options) => {
      const { runBackfill } = await import('./run.js')
      code = await runBackfill(options)
    })
  program
    .command('migrate')
    .description('Bring the database schema up to date; the other commands do it too')
    .action(async () => {
      const { migrateOnly } = await import('./migrate.js')
      await migrateOnly()
    })
  program
    .command('config')
    .description('Print the settings in force, without secrets')
    .action(() => {
      const settings = Object.entries(describeConfig(readConfig(process.env)))
      process.stdout.write(`${settings.map(([name, value]) => `${name}=${value}`).join('\n')}\n`)
    })
  await program.parseAsync([...argv])
  return code
}

/** Help and version are no errors; everything else commander refuses is wrong usage. */
function commanderCode(error: CommanderError): number {
  return error.exitCode === 0 ? EXIT.done : EXIT.usage
}

const RUN_HELP = `
Examples:
  aquifer run -c xyz.statusphere.status -o statuses.jsonl
  aquifer run -c 'app.bsky.graph.*' -r alice.example.com did:plc:… > graph.jsonl

Interrupt it whenever you like: the same command again goes on where it stopped.
Exit codes: 0 done, 1 failed, 2 wrong usage, 3 finished with failed repos, 130 interrupted.`
