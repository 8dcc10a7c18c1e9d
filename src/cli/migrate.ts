import { readConfig } from '../config.js'
import { createLogger, createTell } from '../events.js'
import { openConfiguredStore } from '../store/open.js'
import { EXIT } from './exit.js'
import { withSetupAdvice } from './setup.js'
import { printJson, printLine } from './stdout.js'

/** Brings the schema up to date and ends. */
export async function migrateOnly({ json = false }: { json?: boolean }): Promise<number> {
  const config = readConfig(process.env)
  const tell = createTell(createLogger(config.logLevel, 'stderr'))
  const store = await withSetupAdvice(config, () => openConfiguredStore(config, tell))
  await store[Symbol.asyncDispose]()
  await (json ? printJson({ schema: 'up-to-date' }) : printLine('The schema is up to date.'))
  return EXIT.done
}
