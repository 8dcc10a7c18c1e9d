import type { Config } from '../config.js'
import { SetupError } from '../errors.js'

/**
 * Starts something that needs the database or a port; when they are not to be had, the error says what to do.
 * @throws SetupError
 */
export async function withSetupAdvice<T>(config: Config, start: () => Promise<T>): Promise<T> {
  try {
    return await start()
  } catch (error) {
    const advice = error instanceof SetupError ? adviceFor(error, config) : null
    if (advice === null) throw error
    throw new SetupError(`${(error as SetupError).message}\n${advice}`, { cause: error })
  }
}

function adviceFor(error: SetupError, config: Config): string | null {
  const { syscall } = (error.cause ?? {}) as NodeJS.ErrnoException
  if (syscall === 'listen') return 'Set another HOST or PORT, or stop what listens there.'
  // The embedded Postgres says itself what it lacks.
  if (config.database.url === null) return null
  return 'Is DATABASE_URL right ("aquifer config" shows it), and is the server up? Without it a Postgres is started here.'
}
