import { join } from 'node:path'
import { runCommand } from './command.js'
import { EmbeddedPostgresError, lastLines } from './errors.js'
import type { ServerUser } from './server-user.js'

export interface PostgresVersion {
  /** Such as `18.4`. */
  readonly text: string
  /** Such as 18: data of one major version cannot be used by another. */
  readonly major: number
}

/** Reads what `postgres --version` prints, such as `postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)`. */
export function parseVersion(output: string): PostgresVersion | undefined {
  const [, text, major] = /\(PostgreSQL\) ((\d+)\S*)/.exec(output) ?? []
  return text === undefined ? undefined : { text, major: Number(major) }
}

/**
 * Asks the server program in `bin` for its version, which also shows that it runs at all.
 *
 * @param user who to run it as; undefined for the user of this process
 * @throws EmbeddedPostgresError when it does not run
 */
export async function probeVersion(bin: string, user: ServerUser | undefined): Promise<PostgresVersion> {
  const program = join(bin, 'postgres')
  const { output } = await runCommand(program, ['--version'], { user })
  const version = parseVersion(output)
  if (version === undefined) throw new EmbeddedPostgresError(`${program} does not run (${lastLines(output)})`)
  return version
}
