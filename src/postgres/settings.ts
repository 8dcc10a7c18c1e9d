export type ServerSettings = Readonly<Record<string, string | number>>

/**
 * For many writes on a machine that has other things to do as well. `fsync` and `synchronous_commit` keep
 * Postgres's default, which is on: a row that was committed is on the disk.
 */
export const DEFAULT_SETTINGS: ServerSettings = {
  max_connections: 100,
  shared_buffers: '256MB',
  // Checkpoints that come seldom write each changed page once into the log, not once for every few rows. The
  // price is up to 8 GB of disk and a minute of recovery after a crash in the middle of a large backfill.
  max_wal_size: '8GB',
  checkpoint_timeout: '15min',
  // Nothing replicates from this server, so the log need not hold what only a replica would need.
  wal_level: 'minimal',
  max_wal_senders: 0,
  // The log is a file that only a start of the server rotates.
  log_checkpoints: 'off',
  log_timezone: 'UTC',
  timezone: 'UTC',
}

/** What must hold for every embedded server: it listens on loopback only, and nowhere on the file system. */
const FIXED_SETTINGS: ServerSettings = {
  listen_addresses: '127.0.0.1',
  unix_socket_directories: '',
  password_encryption: 'scram-sha-256',
}

/**
 * The arguments of `postgres`.
 *
 * @param dataPath Postgres's data directory
 * @param clusterName appears in the arguments and in the titles of the server's processes
 * @param settings win over the defaults
 */
export function serverArguments(options: {
  dataPath: string
  port: number
  clusterName: string
  settings: ServerSettings
}): string[] {
  const settings = {
    ...DEFAULT_SETTINGS,
    ...options.settings,
    ...FIXED_SETTINGS,
    port: options.port,
    cluster_name: options.clusterName,
  }
  return [
    '-D',
    options.dataPath,
    ...Object.entries(settings).flatMap(([name, value]) => ['-c', `${name}=${value}`]),
  ]
}
