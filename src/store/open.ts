import type { Config } from '../config.js'
import { SetupError } from '../errors.js'
import type { Tell } from '../events.js'
import { EmbeddedPostgresError, startEmbeddedPostgres } from '../postgres/embedded.js'
import { migrate, openStore, type Store } from './database.js'

/**
 * Opens the database a configuration names, or the embedded Postgres, with the schema up to date. Disposing of
 * the store stops an embedded server that nobody else uses.
 * @throws SetupError when there is no database to be had
 */
export async function openConfiguredStore(config: Config, tell: Tell): Promise<Store> {
  const { url, dataDirectory, connections } = config.database
  const embedded = url === null ? await startEmbedded(dataDirectory, tell) : null
  const store = openStore({
    url: url ?? embedded!.url,
    connections,
    applicationName: 'aquifer',
    onError: (error) => tell('database.connection-lost', { err: error }),
  })
  const close = async () => {
    await store[Symbol.asyncDispose]()
    await embedded?.release()
  }
  try {
    await migrate(store)
  } catch (error) {
    await close()
    throw new SetupError(`The database cannot be used: ${error instanceof Error ? error.message : error}`, {
      cause: error,
    })
  }
  return { ...store, [Symbol.asyncDispose]: close }
}

async function startEmbedded(dataDirectory: string, tell: Tell) {
  try {
    return await startEmbeddedPostgres({
      dataDirectory: `${dataDirectory}/postgres`,
      log: (event, detail) => tell('database.embedded', { what: event, ...detail }),
    })
  } catch (error) {
    if (error instanceof EmbeddedPostgresError) throw new SetupError(error.message, { cause: error })
    throw error
  }
}
