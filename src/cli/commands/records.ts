import { type Command, Option } from 'commander'
import { readCollection, readJobId, readLimit, readRepo } from '../arguments.js'
import { withConnection } from '../connection-options.js'
import type { SetExit } from '../exit.js'

/** `aquifer records` */
export function addRecords(program: Command, exit: SetExit): void {
  const command = program
    .command('records')
    .description('Get what a job has fetched, as JSON lines')
    .argument('<job>', 'its id', readJobId)
    .option('-c, --collection <nsid>', 'only records of this collection', readCollection)
    .option('-r, --repo <repo>', 'only records of this account: a DID, a handle or an at:// URI', readRepo)
    .option('-o, --output <file>', 'write them here instead of standard output')
    .option('--limit <number>', 'at most so many (default: all)', readLimit)
    .addOption(
      new Option('--manifest', 'get what the service has signed of the job instead').conflicts([
        ...['collection', 'repo', 'limit', 'json'],
      ]),
    )
    .option('--json', 'with -o: print what was written as JSON (the records are JSON lines anyway)')
  withConnection(command)
    .addHelpText('after', HELP)
    .action(async (job: string, options) => {
      const { streamManifest, streamRecords } = await import('../records.js')
      exit(await (options.manifest ? streamManifest(job, options) : streamRecords(job, options)))
    })
}

const HELP = `
Examples:
  aquifer records 3m65qz7wxyz2a -o records.jsonl
  aquifer records 3m65qz7wxyz2a --repo alice.example.com | jq .value
  aquifer records 3m65qz7wxyz2a --manifest | aquifer manifest verify -

A line is {"uri":…,"cid":…,"value":…}. An interrupted -o leaves no file.`
