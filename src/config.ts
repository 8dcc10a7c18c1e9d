import { join } from 'node:path'
import { ConfigReader, type Environment } from './config-reader.js'

export { ConfigError, type Environment } from './config-reader.js'

/** Everything that can be set, read once from the environment. See the table in the README. */
export interface Config {
  readonly server: {
    readonly host: string
    readonly port: number
    /** A port for `/metrics` and the health check alone; null: `/metrics` is on `port`. */
    readonly metricsPort: number | null
    /** Where other services reach this one; no trailing slash. */
    readonly publicUrl: string
    /** Proxies of our own in front, whose X-Forwarded-For is believed. */
    readonly trustedProxies: number
  }
  readonly identity: {
    readonly did: string
    readonly contact: string | null
    /** The private key in hexadecimal; null: one in `dataDirectory`. Secret. */
    readonly key: string | null
  }
  readonly database: {
    /** Null: an embedded Postgres in `dataDirectory`. Secret: it may hold a password. */
    readonly url: string | null
    readonly dataDirectory: string
    readonly connections: number
  }
  readonly network: {
    readonly relays: readonly string[]
    readonly directoryUrl: string
    readonly handleResolverUrl: string | null
    readonly allowPrivateNetwork: boolean
    readonly blockedHosts: readonly string[]
    /** Requests a minute to any one host, whatever it allows. */
    readonly hostRpm: number
    /** Requests a minute to a host or a relay that has said nothing of its limit yet. */
    readonly hostStartRpm: number
    /** Hours without one good answer after which the repos of a host fail. */
    readonly hostGiveUpHours: number
    /** Requests a minute to the directory. */
    readonly directoryRpm: number
    /** Requests in flight to any one host. */
    readonly hostConcurrency: number
  }
  readonly engine: {
    /** Hosts driven at the same time by one process. */
    readonly hosts: number
    /** Repos that may wait before discovery pauses. */
    readonly queuedRepos: number
    /** Bytes of answers that one process may have in memory at the same time. */
    readonly bodyBytes: number
    /** Where whole repos are kept while they are read. */
    readonly spoolDirectory: string
    /** Days for which the list of a finished job's repos is kept; 0 for ever. */
    readonly detailsRetentionDays: number
    /** What becomes of a job's records when that list goes: without it nobody knows which ones are its own. */
    readonly expiredRecords: 'keep' | 'purge'
  }
  readonly access: {
    readonly mode: 'open' | 'allowlist'
    readonly admins: readonly string[]
    readonly allowed: readonly string[]
  }
  /** What a caller may use that has no quotas of its own; null is no limit. */
  readonly quotas: {
    /** Jobs that have not ended, at the same time. */
    readonly runningJobs: number | null
    /** Repos of one job, named or discovered. */
    readonly reposPerJob: number | null
    readonly requestsPerMinute: number | null
    /** Streams of records that a process hands over to it at the same time. */
    readonly streams: number | null
  }
  readonly logLevel: LogLevel
}

const MiB = 1024 * 1024

const LOG_LEVELS = ['fatal', 'error', 'warn', 'info', 'debug', 'trace', 'silent'] as const
export type LogLevel = (typeof LOG_LEVELS)[number]

/**
 * Reads the configuration.
 * @param env usually `process.env`; an unset or empty variable takes its default
 * @throws ConfigError naming every variable that cannot be used
 */
export function readConfig(env: Environment): Config {
  const read = new ConfigReader(env)
  const port = read.integer('PORT', 3000, 1, 65_535)
  const allowPrivateNetwork = read.flag('ALLOW_PRIVATE_NETWORK', false)
  const dataDirectory = read.text('DATA_DIR', '.aquifer')
  const publicUrl = read.origin('PUBLIC_URL', true) ?? `http://localhost:${port}`
  const config: Config = {
    server: {
      host: read.text('HOST', '127.0.0.1'),
      port,
      metricsPort: read.limit('METRICS_PORT', 0, 65_535),
      publicUrl,
      trustedProxies: read.integer('TRUST_PROXY', 0, 0, 10),
    },
    identity: {
      did: read.did('SERVICE_DID') ?? read.didOf('PUBLIC_URL', publicUrl),
      contact: read.headerText('CONTACT') || null,
      key: read.privateKey('SERVICE_KEY'),
    },
    database: {
      url: read.databaseUrl('DATABASE_URL'),
      dataDirectory,
      connections: read.integer('DATABASE_CONNECTIONS', 10, 4, 100),
    },
    network: {
      relays: read.origins('RELAYS', ['https://bsky.network'], allowPrivateNetwork),
      directoryUrl: read.origin('PLC_URL', allowPrivateNetwork) ?? 'https://plc.directory',
      handleResolverUrl: read.origin('HANDLE_RESOLVER_URL', allowPrivateNetwork),
      allowPrivateNetwork,
      blockedHosts: read.hostnames('BLOCKED_HOSTS'),
      hostRpm: read.integer('HOST_MAX_RPM', 600, 1, 1_000_000),
      hostStartRpm: read.integer('HOST_START_RPM', 100, 1, 1_000_000),
      hostGiveUpHours: read.integer('HOST_GIVE_UP_HOURS', 24, 1, 8_760),
      directoryRpm: read.integer('PLC_RPM', 1_500, 1, 1_000_000),
      hostConcurrency: read.integer('HOST_CONCURRENCY', 4, 1, 64),
    },
    engine: {
      hosts: read.integer('ENGINE_HOSTS', 64, 1, 1_000),
      queuedRepos: read.integer('ENGINE_QUEUED_REPOS', 50_000, 100, 10_000_000),
      bodyBytes: MiB * read.integer('ENGINE_BODY_MIB', 128, 16, 65_536),
      spoolDirectory: read.text('SPOOL_DIR', join(dataDirectory, 'spool')),
      detailsRetentionDays: read.integer('DETAILS_RETENTION_DAYS', 28, 0, 36_500),
      expiredRecords: read.choice('EXPIRED_RECORDS', ['keep', 'purge'] as const, 'keep'),
    },
    access: {
      mode: read.choice('BACKFILL_ACCESS', ['allowlist', 'open'] as const, 'allowlist'),
      admins: read.dids('BACKFILL_ADMINS'),
      allowed: read.dids('BACKFILL_ALLOW'),
    },
    quotas: {
      runningJobs: read.limit('QUOTA_RUNNING_JOBS', 20, 1_000_000),
      reposPerJob: read.limit('QUOTA_REPOS_PER_JOB', 0, 1_000_000_000),
      requestsPerMinute: read.limit('QUOTA_REQUESTS_PER_MINUTE', 3_000, 1_000_000),
      streams: read.limit('QUOTA_STREAMS', 40, 1_000_000),
    },
    logLevel: read.choice('LOG_LEVEL', LOG_LEVELS, 'info'),
  }
  read.finish()
  return config
}

/** The configuration in force, by variable name and without secrets: what `aquifer config` prints. */
export function describeConfig(config: Config): Record<string, string> {
  return {
    HOST: config.server.host,
    PORT: String(config.server.port),
    METRICS_PORT: String(config.server.metricsPort ?? 0),
    PUBLIC_URL: config.server.publicUrl,
    TRUST_PROXY: String(config.server.trustedProxies),
    SERVICE_DID: config.identity.did,
    CONTACT: config.identity.contact ?? '',
    SERVICE_KEY: config.identity.key ? '(set)' : '(in DATA_DIR)',
    DATABASE_URL: config.database.url ? withoutPassword(config.database.url) : '(embedded)',
    DATA_DIR: config.database.dataDirectory,
    DATABASE_CONNECTIONS: String(config.database.connections),
    RELAYS: config.network.relays.join(','),
    PLC_URL: config.network.directoryUrl,
    HANDLE_RESOLVER_URL: config.network.handleResolverUrl ?? '(DNS and https)',
    ALLOW_PRIVATE_NETWORK: String(config.network.allowPrivateNetwork),
    BLOCKED_HOSTS: config.network.blockedHosts.join(','),
    HOST_MAX_RPM: String(config.network.hostRpm),
    HOST_START_RPM: String(config.network.hostStartRpm),
    HOST_GIVE_UP_HOURS: String(config.network.hostGiveUpHours),
    HOST_CONCURRENCY: String(config.network.hostConcurrency),
    PLC_RPM: String(config.network.directoryRpm),
    ENGINE_HOSTS: String(config.engine.hosts),
    ENGINE_QUEUED_REPOS: String(config.engine.queuedRepos),
    ENGINE_BODY_MIB: String(config.engine.bodyBytes / MiB),
    SPOOL_DIR: config.engine.spoolDirectory,
    DETAILS_RETENTION_DAYS: String(config.engine.detailsRetentionDays),
    EXPIRED_RECORDS: config.engine.expiredRecords,
    BACKFILL_ACCESS: config.access.mode,
    BACKFILL_ADMINS: config.access.admins.join(','),
    BACKFILL_ALLOW: config.access.allowed.join(','),
    QUOTA_RUNNING_JOBS: String(config.quotas.runningJobs ?? 0),
    QUOTA_REPOS_PER_JOB: String(config.quotas.reposPerJob ?? 0),
    QUOTA_REQUESTS_PER_MINUTE: String(config.quotas.requestsPerMinute ?? 0),
    QUOTA_STREAMS: String(config.quotas.streams ?? 0),
    LOG_LEVEL: config.logLevel,
  }
}

/** A connection string without its password, wherever the password stands in it. */
function withoutPassword(connection: string): string {
  const url = new URL(connection)
  if (url.password) url.password = '***'
  for (const name of new Set(url.searchParams.keys())) {
    if (/pass/i.test(name)) url.searchParams.set(name, '***')
  }
  return url.href
}
