import { readConfig } from '../config.js'
import { createLogger, createTell } from '../events.js'
import { openConfiguredStore } from '../store/open.js'

/** Brings the schema up to date and ends. */
export async function migrateOnly(): Promise<void> {
  const config = readConfig(process.env)
  const store = await openConfiguredStore(config, createTell(createLogger(config.logLevel)))
  await store[Symbol.asyncDispose]()
  process.stdout.write('The schema is up to date.\n')
}
