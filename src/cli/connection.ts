import { BackfillClient, BackfillError } from '../client/index.js'
import { explain } from './advice.js'
import { type ConnectionOptions, DEFAULT_SERVICE } from './connection-options.js'
import { openIdentity } from './credentials.js'
import { Interrupted, UsageError } from './exit.js'
import { untilInterrupted } from './signals.js'

export interface Connection {
  readonly client: BackfillClient
  /** Aborts when the user interrupts. */
  readonly signal: AbortSignal
}

/** Fewer than a program would make: somebody is waiting. */
const RETRY = { attempts: 3, maxDelayMs: 2_000 }

/**
 * Lets a command call the service, as whom the options say. Errors come out as what a person can act on.
 * @param use gives the exit code
 */
export async function withConnectionTo(
  options: ConnectionOptions,
  use: (connection: Connection) => Promise<number>,
): Promise<number> {
  const { signal, restore } = untilInterrupted()
  const service = options.service || DEFAULT_SERVICE
  let did: string | undefined = options.did
  try {
    const identity = await openIdentity(options, signal)
    did = identity.did
    const client = createClient({ service, userAgent: 'aquifer-cli', retry: RETRY, ...identity.credentials })
    return await use({ client, signal })
  } catch (error) {
    if (signal.aborted && !(error instanceof Interrupted)) throw new Interrupted('Interrupted.')
    throw error instanceof BackfillError
      ? explain(error, { service, did, isAccount: options.login !== undefined })
      : error
  } finally {
    restore()
  }
}

function createClient(options: ConstructorParameters<typeof BackfillClient>[0]): BackfillClient {
  try {
    return new BackfillClient(options)
  } catch (error) {
    if (!(error instanceof TypeError)) throw error
    throw new UsageError(
      `--service (or AQUIFER_SERVICE) is ${JSON.stringify(options.service)}: ${error.message}.`,
    )
  }
}
