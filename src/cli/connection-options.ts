import { type Command, Option } from 'commander'
import { UsageError } from './exit.js'

/** How a command reaches the service, and as whom. */
export interface ConnectionOptions {
  readonly service?: string
  readonly did?: string
  readonly key?: string
  readonly login?: string
  readonly pds?: string
}

export const DEFAULT_SERVICE = 'http://localhost:3000'

const HEADING = 'Connection:'

/** Gives a command the options that all who call a service have. */
export function withConnection(command: Command): Command {
  const options = [
    new Option('--service <url>', `where it runs (default: ${DEFAULT_SERVICE})`).env('AQUIFER_SERVICE'),
    new Option('--did <did>', 'call as this service').env('AQUIFER_DID'),
    new Option('--key <file>', 'its private key: a file, or the key itself').env('AQUIFER_KEY'),
    new Option(
      '--login <handle>',
      'call as this account; the password comes from AQUIFER_PASSWORD or is asked for',
    ),
    new Option('--pds <url>', 'where the account logs in (default: found by its handle)'),
  ]
  for (const option of options) command.addOption(option.helpGroup(HEADING))
  return command.hook('preAction', (_, acting) => {
    const isTyped = (name: string) => acting.getOptionValueSource(name) === 'cli'
    if (isTyped('login') && (isTyped('did') || isTyped('key'))) {
      throw new UsageError('Call either as an account (--login) or as a service (--did and --key).')
    }
    if (isTyped('pds') && !isTyped('login'))
      throw new UsageError('--pds is for accounts: name one with --login.')
  })
}
