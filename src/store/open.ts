import type { Config } from '../config.js'
import { SetupError } from '../errors.js'
import type { Tell } from '../events.js'
import { pause } from '../pause.js'
import { type EmbeddedPostgres, EmbeddedPostgresError, startEmbeddedPostgres } from '../postgres/embedded.js'
import { AnySignal } from '../signals.js'
import { migrate, openStore, type Pool, type Store } from './database.js'
import { isConnectionLost } from './trouble.js'

/** How often an embedded server is looked at. */
const LOOK_EVERY_MS = 1_500
/** The longest that one look takes: a server that is slow to answer is left alone. */
const LOOK_MS_MAX = 10_000
/** What only looks after the database keeps no process from ending. */
const UNNOTICED = { ref: false }

/** The pauses between attempts to bring the server back double from the first to the longest. */
const REVIVE_PAUSE_MS = 1_000
const REVIVE_PAUSE_MS_MAX = 60_000

/**
 * Opens the database a configuration names, or the embedded Postgres, with the schema up to date. An embedded
 * server that dies is started again for as long as the store is open. Disposing of the store stops an embedded
 * server that nobody else uses.
 * @throws SetupError when there is no database to be had
 */
export async function openConfiguredStore(config: Config, tell: Tell): Promise<Store> {
  const { url, dataDirectory, connections } = config.database
  const embedded = url === null ? await startEmbedded(dataDirectory, tell) : null
  let closed: Promise<void> | undefined
  const store = openStore({
    url: url ?? embedded!.url,
    connections,
    applicationName: 'aquifer',
    onError: (error) => {
      // A connection that is just being closed may see the server go: no news to anybody.
      if (closed === undefined) tell('database.connection-lost', { err: error })
    },
  })
  const failed = async (error: unknown) => {
    await store[Symbol.asyncDispose]()
    await embedded?.release()
    throw new SetupError(`The database cannot be used: ${error instanceof Error ? error.message : error}`, {
      cause: error,
    })
  }
  await migrate(store).catch(failed)
  if (embedded === null) return store
  const keeper = keepAlive(embedded, store.pool, () => startEmbedded(dataDirectory, tell), tell)
  const close = async () => {
    // First, so that nobody starts the server again while it is let go.
    const current = await keeper.stop()
    await store[Symbol.asyncDispose]()
    await current.release()
  }
  return {
    ...store,
    [Symbol.asyncDispose]: () => {
      closed ??= close()
      return closed
    },
  }
}

async function startEmbedded(dataDirectory: string, tell: Tell): Promise<EmbeddedPostgres> {
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

interface Keeper {
  /** Ends the watch, with whatever start is under way, and gives the server that is to be released. */
  stop(): Promise<EmbeddedPostgres>
}

/** Looks at an embedded server time and again, and starts it when it cannot be reached. */
function keepAlive(
  first: EmbeddedPostgres,
  pool: Pool,
  start: () => Promise<EmbeddedPostgres>,
  tell: Tell,
): Keeper {
  const stopping = new AbortController()
  const { signal } = stopping
  let current = first
  const watch = async () => {
    let pauseMs = REVIVE_PAUSE_MS
    while (await pause(LOOK_EVERY_MS, signal, UNNOTICED)) {
      const lost = await lookAt(pool, signal)
      if (lost === null || signal.aborted) continue
      tell('database.embedded', { what: 'postgres.lost', reason: lost.message })
      try {
        current = await replace(current, start, pool, tell)
        pauseMs = REVIVE_PAUSE_MS
      } catch (error) {
        tell('database.connection-lost', { err: error, triedAgainInMs: pauseMs })
        await pause(pauseMs, signal, UNNOTICED)
        pauseMs = Math.min(2 * pauseMs, REVIVE_PAUSE_MS_MAX)
      }
    }
  }
  const watching = watch()
  return {
    async stop() {
      stopping.abort()
      await watching
      return current
    },
  }
}

/**
 * The server started again, or adopted where another process was faster, with this process registered once:
 * the new registration is there before the old one goes, so nobody takes the server for unused in between.
 */
async function replace(
  old: EmbeddedPostgres,
  start: () => Promise<EmbeddedPostgres>,
  pool: Pool,
  tell: Tell,
): Promise<EmbeddedPostgres> {
  const next = await start()
  // The port is another one when somebody took the old one meanwhile. New connections are made by these options.
  pool.options.connectionString = next.url
  await old.release().catch((error: unknown) => tell('database.connection-lost', { err: error }))
  return next
}

/** Why the server cannot be reached; null when it answers, or takes its time. */
async function lookAt(pool: Pool, signal: AbortSignal): Promise<Error | null> {
  const answer = pool.query('select 1').then(
    () => null,
    (error: Error) => (isConnectionLost(error) ? error : null),
  )
  const done = new AbortController()
  using either = new AnySignal(signal, done.signal)
  const late = pause(LOOK_MS_MAX, either.signal, UNNOTICED).then(() => null)
  try {
    return await Promise.race([answer, late])
  } finally {
    done.abort()
  }
}
