import { type Command, InvalidArgumentError, Option } from 'commander'
import { PERMISSIONS } from '../../auth/permissions.js'
import { readDid, readLimit } from '../arguments.js'
import { withConnection } from '../connection-options.js'
import type { SetExit } from '../exit.js'

const actions = () => import('../known-callers.js')

/** `aquifer callers` */
export function addCallers(program: Command, exit: SetExit): void {
  const callers = program
    .command('callers')
    .description('Set up a service so that it can call Aquifer, and say what it may do')
  addNew(callers, exit)
  addPut(callers, exit)
  addList(callers, exit)
  addDelete(callers, exit)
  callers.addHelpText('after', CALLERS_HELP)
}

function addNew(callers: Command, exit: SetExit): void {
  callers
    .command('new')
    .description('Make a private key, and the DID document that makes it known')
    .requiredOption('--did-web <host>', 'the host name of the service that will call')
    .option('--key-file <file>', 'write the key here, for its owner only, instead of standard output')
    .option('--json', 'print JSON')
    .addHelpText('after', NEW_HELP)
    .action(async (options) => {
      const { newCaller } = await import('../callers.js')
      exit(await newCaller(options))
    })
}

function addPut(callers: Command, exit: SetExit): void {
  const command = callers
    .command('put')
    .description('Say what a caller may do, in the place of what was said before (for admins)')
    .argument('<did>', 'who it is', readDid)
    .addOption(new Option('--permission <permission...>', 'what it may do').choices(PERMISSIONS))
    .addOption(new Option('--bar', 'let it do nothing, though others may').conflicts('permission'))
    .option('--running-jobs <number>', "jobs that have not ended (default: the service's)", readQuota)
    .option('--repos-per-job <number>', "repos of one job (default: the service's)", readQuota)
    .option('--requests-per-minute <number>', "requests in a minute (default: the service's)", readQuota)
    .option('--streams <number>', "streams open at one process (default: the service's)", readQuota)
    .option('--jobs-of <did...>', 'others whose jobs it may read', readDids)
    .option('--json', 'print the caller as JSON')
  withConnection(command)
    .addHelpText('after', PUT_HELP)
    .action(async (did: string, options) => exit(await (await actions()).putCaller(did, options)))
}

function addList(callers: Command, exit: SetExit): void {
  const command = callers
    .command('list')
    .description('List who may call, by DID (for admins)')
    .option('--limit <number>', 'at most so many (default: all)', readLimit)
    .option('--json', 'print JSON lines')
  withConnection(command)
    .addHelpText('after', LIST_HELP)
    .action(async (options) => exit(await (await actions()).listCallers(options)))
}

function addDelete(callers: Command, exit: SetExit): void {
  const command = callers
    .command('delete')
    .description('Forget what was said of a caller: it is one like any other then (for admins)')
    .argument('<did>', 'who it is', readDid)
    .option('--json', 'print JSON')
  withConnection(command)
    .addHelpText('after', DELETE_HELP)
    .action(async (did: string, options) => exit(await (await actions()).deleteCaller(did, options)))
}

function readDids(text: string, before: readonly string[] = []): string[] {
  return [...before, readDid(text)]
}

function readQuota(text: string): number {
  if (/^\d{1,15}$/.test(text)) return Number(text)
  throw new InvalidArgumentError(
    `${JSON.stringify(text.slice(0, 100))} is not a whole number: 0 allows none, and left out it is the service's own.`,
  )
}

const CALLERS_HELP = `
Examples:
  aquifer callers new --did-web app.example.com --key-file app.key > did.json
  aquifer callers put did:web:app.example.com --permission read create
  aquifer callers list`

const NEW_HELP = `
Examples:
  aquifer callers new --did-web app.example.com
  aquifer callers new --did-web app.example.com --key-file app.key > did.json`

const PUT_HELP = `
Examples:
  aquifer callers put did:web:app.example.com --permission read create --running-jobs 5
  aquifer callers put did:web:stats.example.com --permission read --jobs-of did:web:app.example.com
  aquifer callers put did:web:rude.example.com --bar`

const LIST_HELP = `
Examples:
  aquifer callers list
  aquifer callers list --json | jq -r .did`

const DELETE_HELP = `
Examples:
  aquifer callers delete did:web:app.example.com`
