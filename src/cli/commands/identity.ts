import { type Command, Option } from 'commander'
import type { SetExit } from '../exit.js'

const actions = () => import('../identity.js')

/** `aquifer identity` */
export function addIdentity(program: Command, exit: SetExit): void {
  const identity = program
    .command('identity')
    .description('Look after the DID of this service. Settings come from the environment, as for "serve"')
  addCreate(identity, exit)
  addUpdate(identity, exit)
  addShow(identity, exit)
  identity.addHelpText('after', IDENTITY_HELP)
}

function addCreate(identity: Command, exit: SetExit): void {
  identity
    .command('create')
    .description('Make a DID that stays the same when the service moves, and print it')
    .option('--plc', 'a did:plc (a did:web needs no making)')
    .addOption(rotationKey('the key that may change it: a file, which is made if it is not there'))
    .option('--recovery-key <did:key...>', 'public keys that can take back what that key does')
    .option('-y, --yes', 'do not ask first')
    .option('--json', 'print JSON')
    .addHelpText('after', CREATE_HELP)
    .action(async (options) => exit(await (await actions()).createIdentity(options)))
}

function addUpdate(identity: Command, exit: SetExit): void {
  identity
    .command('update')
    .description('Write the address and the key of the settings into the did:plc of the service')
    .addOption(rotationKey('the key that may change it: a file, or the key itself'))
    .option('--new-rotation-key <file>', 'from now on this one may, in its place; made if it is not there')
    .option('--dry-run', 'only show what would change')
    .option('-y, --yes', 'do not ask first')
    .option('--json', 'print what changes as JSON')
    .addHelpText('after', UPDATE_HELP)
    .action(async (options) => exit(await (await actions()).updateIdentity(options)))
}

function addShow(identity: Command, exit: SetExit): void {
  identity
    .command('show')
    .description('Show what others find under the DID of the service, and whether the settings agree')
    .option('--json', 'print JSON')
    .addHelpText('after', SHOW_HELP)
    .action(async (options) => exit(await (await actions()).showIdentity(options)))
}

function rotationKey(description: string): Option {
  return new Option('--rotation-key <file>', description).env('AQUIFER_ROTATION_KEY')
}

const IDENTITY_HELP = `
Examples:
  PUBLIC_URL=https://backfill.example.com aquifer identity create --plc --rotation-key rotation.key
  SERVICE_DID=did:plc:… PUBLIC_URL=https://new.example.com aquifer identity update --rotation-key rotation.key
  aquifer identity show`

const CREATE_HELP = `
Examples:
  PUBLIC_URL=https://backfill.example.com aquifer identity create --plc --rotation-key rotation.key
  PUBLIC_URL=https://backfill.example.com aquifer identity create --plc --rotation-key rotation.key \\
    --recovery-key did:key:zQ3sh… --yes

Its signing key is the service's own: SERVICE_KEY, or the one in DATA_DIR.`

const UPDATE_HELP = `
Examples:
  aquifer identity update --rotation-key rotation.key --dry-run
  PUBLIC_URL=https://new.example.com aquifer identity update --rotation-key rotation.key
  aquifer identity update --rotation-key rotation.key --new-rotation-key next.key --yes`

const SHOW_HELP = `
Examples:
  aquifer identity show
  aquifer identity show --json | jq .differences`
