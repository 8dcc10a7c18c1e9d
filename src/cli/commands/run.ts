import { type Command, Option } from 'commander'
import { LEVELS, REQUESTABLE_METHODS } from '../../verdict.js'
import { readHostnames, readRepos } from '../arguments.js'
import type { SetExit } from '../exit.js'

/** `aquifer run` */
export function addRun(program: Command, exit: SetExit): void {
  program
    .command('run')
    .description('Do one whole backfill without a server: JSON lines to a file or to standard output')
    .option(
      '-c, --collection <nsid...>',
      'the collections, or prefixes such as com.example.* (with --repo or --host)',
    )
    .option(
      '-r, --repo <repo...>',
      'only these accounts: DIDs, handles or at:// URIs (default: ask the relays)',
      readRepos,
    )
    .option('--host <hostname...>', 'every account on these PDSs', readHostnames)
    .option('-o, --output <file>', 'write the records here instead of standard output')
    .addOption(
      new Option('--level <level>', 'the least a repo must be proven').choices(LEVELS).default('content'),
    )
    .addOption(new Option('--method <method>', 'how to fetch').choices(REQUESTABLE_METHODS).default('auto'))
    .option('--json', 'with -o: print what came of it as JSON')
    .addHelpText('after', HELP)
    .action(async (options) => {
      const { runBackfill } = await import('../run.js')
      exit(await runBackfill(options))
    })
}

const HELP = `
Examples:
  aquifer run -c xyz.statusphere.status -o statuses.jsonl
  aquifer run -c 'app.bsky.graph.*' -r alice.example.com did:plc:… > graph.jsonl
  aquifer run --host pds.example.com -o everything.jsonl
  aquifer run -r alice.example.com | head            every collection of one account

Settings come from the environment: see "aquifer config".
Interrupt it whenever you like: the same command again goes on where it stopped.
Exit codes: 0 done, 1 failed, 2 wrong usage, 3 finished with failed repos, 130 interrupted.`
