import { Resolver } from 'node:dns'
import { type Command, InvalidArgumentError } from 'commander'
import { readDid } from '../arguments.js'
import type { SetExit } from '../exit.js'

const actions = () => import('../lexicons.js')

/** `aquifer lexicons` */
export function addLexicons(program: Command, exit: SetExit): void {
  const lexicons = program
    .command('lexicons')
    .description('Publish the lexicons of this service, so that others can look them up')
  addPublish(lexicons, exit)
  addCheck(lexicons, exit)
  lexicons.addHelpText('after', LEXICONS_HELP)
}

function addPublish(lexicons: Command, exit: SetExit): void {
  withFiles(lexicons.command('publish'))
    .description(
      'Write those that are new or changed into the repo of an account, after showing what differs',
    )
    .option('--login <handle>', 'the account; its password comes from AQUIFER_PASSWORD or is asked for')
    .option('--oauth <handle>', 'the account, which signs in with a browser on this machine')
    .option('--pds <url>', 'where the account of --login logs in (default: found by its handle)')
    .option('--dry-run', 'only show what differs')
    .option('-y, --yes', 'do not ask first')
    .option('--json', 'print what was found and done as JSON')
    .addHelpText('after', PUBLISH_HELP)
    .action(async (options) => exit(await (await actions()).publishLexicons(options)))
}

function addCheck(lexicons: Command, exit: SetExit): void {
  withFiles(lexicons.command('check'))
    .description('Compare what is published, and the DNS records that lead to it, with the files')
    .option('--did <did>', 'the account that publishes them (default: the one that DNS names)', readDid)
    .option('--json', 'print JSON')
    .addHelpText('after', CHECK_HELP)
    .action(async (options) => exit(await (await actions()).checkLexicons(options)))
}

function withFiles(command: Command): Command {
  return command
    .option('--dir <folder>', 'where the lexicons are (default: those that this Aquifer speaks)')
    .option('--dns <address>', "the DNS server to ask (default: the system's)", readDnsServer)
}

function readDnsServer(text: string): string {
  try {
    new Resolver().setServers([text])
    return text
  } catch {
    throw new InvalidArgumentError(
      `${JSON.stringify(text.slice(0, 100))} is not the address of a server such as 1.1.1.1 or 127.0.0.1:5353.`,
    )
  }
}

const LEXICONS_HELP = `
Examples:
  aquifer lexicons publish --login lexicons.example.com --dry-run
  aquifer lexicons check`

const PUBLISH_HELP = `
Examples:
  aquifer lexicons publish --login lexicons.example.com --dry-run
  AQUIFER_PASSWORD=… aquifer lexicons publish --login lexicons.example.com --yes
  aquifer lexicons publish --oauth lexicons.example.com --dir ./lexicons --dns 1.1.1.1

With --oauth the address to sign in at is printed once there is something to publish. What is asked for is to write
lexicons and nothing else, the session ends with the command, and nothing of it is stored.

What is published and has no file any more is shown, and left alone.`

const CHECK_HELP = `
Examples:
  aquifer lexicons check
  aquifer lexicons check --did did:plc:… --dns 1.1.1.1 --json | jq .dns

Exit codes: 0 everything is published as in the files and is found, 1 something is not, 2 wrong usage.`
