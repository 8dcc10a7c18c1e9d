import { readConfig } from '../config.js'
import { createLogger } from '../events.js'
import { startService } from '../service.js'
import { EXIT } from './exit.js'
import { withSetupAdvice } from './setup.js'
import { aborted, untilInterrupted } from './signals.js'

/** Runs a server, a worker or both until it is told to stop. */
export async function serve(parts: { api: boolean; engine: boolean }): Promise<number> {
  const config = readConfig(process.env)
  const { signal } = untilInterrupted()
  const logger = createLogger(config.logLevel)
  const service = await withSetupAdvice(config, () => startService({ config, logger, ...parts }))
  await aborted(signal)
  service.tell('service.stopping')
  await service[Symbol.asyncDispose]()
  service.tell('service.stopped')
  return EXIT.done
}
