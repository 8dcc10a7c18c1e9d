import { isIP } from 'node:net'
import { isValidDid } from '@atproto/syntax'
import { didWebFromUrl } from './auth/did-document.js'

/** Everything that can be set, read once from the environment. See the table in the README. */
export interface Config {
  readonly server: {
    readonly host: string
    readonly port: number
    /** Where other services reach this one; no trailing slash. */
    readonly publicUrl: string
    /** Proxies of our own in front, whose X-Forwarded-For is believed. */
    readonly trustedProxies: number
  }
  readonly identity: { readonly did: string; readonly contact: string | null }
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
    /** Requests a minute to any one host. */
    readonly hostRpm: number
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
  }
  readonly access: {
    readonly mode: 'open' | 'allowlist'
    readonly admins: readonly string[]
    readonly allowed: readonly string[]
  }
  readonly logLevel: LogLevel
}

const LOG_LEVELS = ['fatal', 'error', 'warn', 'info', 'debug', 'trace', 'silent'] as const
export type LogLevel = (typeof LOG_LEVELS)[number]

/** All problems of a configuration at once, one line each. */
export class ConfigError extends Error {
  override readonly name = 'ConfigError'
  constructor(readonly problems: readonly string[]) {
    super(
      `The configuration has ${problems.length === 1 ? 'a problem' : `${problems.length} problems`}:\n${problems.map((p) => `  - ${p}`).join('\n')}`,
    )
  }
}

export type Environment = Readonly<Record<string, string | undefined>>

/**
 * Reads the configuration.
 * @param env usually `process.env`; an unset or empty variable takes its default
 * @throws ConfigError naming every variable that cannot be used
 */
export function readConfig(env: Environment): Config {
  const read = new Reader(env)
  const port = read.integer('PORT', 3000, 1, 65_535)
  const allowPrivateNetwork = read.flag('ALLOW_PRIVATE_NETWORK', false)
  const publicUrl = read.origin('PUBLIC_URL', true) ?? `http://localhost:${port}`
  const config: Config = {
    server: {
      host: read.text('HOST', '127.0.0.1'),
      port,
      publicUrl,
      trustedProxies: read.integer('TRUST_PROXY', 0, 0, 10),
    },
    identity: {
      did: read.did('SERVICE_DID') ?? read.didOf('PUBLIC_URL', publicUrl),
      contact: read.headerText('CONTACT') || null,
    },
    database: {
      url: read.databaseUrl('DATABASE_URL'),
      dataDirectory: read.text('DATA_DIR', '.aquifer'),
      connections: read.integer('DATABASE_CONNECTIONS', 10, 4, 100),
    },
    network: {
      relays: read.origins('RELAYS', ['https://bsky.network'], allowPrivateNetwork),
      directoryUrl: read.origin('PLC_URL', allowPrivateNetwork) ?? 'https://plc.directory',
      handleResolverUrl: read.origin('HANDLE_RESOLVER_URL', allowPrivateNetwork),
      allowPrivateNetwork,
      blockedHosts: read.hostnames('BLOCKED_HOSTS'),
      hostRpm: read.integer('HOST_MAX_RPM', 100, 1, 1_000_000),
      directoryRpm: read.integer('PLC_RPM', 1_500, 1, 1_000_000),
      hostConcurrency: read.integer('HOST_CONCURRENCY', 4, 1, 64),
    },
    engine: {
      hosts: read.integer('ENGINE_HOSTS', 64, 1, 1_000),
      queuedRepos: read.integer('ENGINE_QUEUED_REPOS', 50_000, 100, 10_000_000),
    },
    access: {
      mode: read.choice('BACKFILL_ACCESS', ['allowlist', 'open'] as const, 'allowlist'),
      admins: read.dids('BACKFILL_ADMINS'),
      allowed: read.dids('BACKFILL_ALLOW'),
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
    PUBLIC_URL: config.server.publicUrl,
    TRUST_PROXY: String(config.server.trustedProxies),
    SERVICE_DID: config.identity.did,
    CONTACT: config.identity.contact ?? '',
    DATABASE_URL: config.database.url ? withoutPassword(config.database.url) : '(embedded)',
    DATA_DIR: config.database.dataDirectory,
    DATABASE_CONNECTIONS: String(config.database.connections),
    RELAYS: config.network.relays.join(','),
    PLC_URL: config.network.directoryUrl,
    HANDLE_RESOLVER_URL: config.network.handleResolverUrl ?? '(DNS and https)',
    ALLOW_PRIVATE_NETWORK: String(config.network.allowPrivateNetwork),
    BLOCKED_HOSTS: config.network.blockedHosts.join(','),
    HOST_MAX_RPM: String(config.network.hostRpm),
    HOST_CONCURRENCY: String(config.network.hostConcurrency),
    PLC_RPM: String(config.network.directoryRpm),
    ENGINE_HOSTS: String(config.engine.hosts),
    ENGINE_QUEUED_REPOS: String(config.engine.queuedRepos),
    BACKFILL_ACCESS: config.access.mode,
    BACKFILL_ADMINS: config.access.admins.join(','),
    BACKFILL_ALLOW: config.access.allowed.join(','),
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

/** Reads variables one by one and keeps every problem for the end. */
class Reader {
  readonly #env: Environment
  readonly #problems: string[] = []

  constructor(env: Environment) {
    this.#env = env
  }

  finish(): void {
    if (this.#problems.length > 0) throw new ConfigError(this.#problems)
  }

  text(name: string, fallback: string): string {
    return this.#env[name]?.trim() || fallback
  }

  list(name: string): string[] {
    return this.text(name, '')
      .split(',')
      .map((part) => part.trim())
      .filter((part) => part !== '')
  }

  /** Text that goes into a request header. */
  headerText(name: string): string {
    const text = this.text(name, '')
    return /^[\x20-\x7e]*$/.test(text) ? text : this.#refuse(name, text, 'plain ASCII text on one line', '')
  }

  /** Names of hosts in lower case, perhaps with a wildcard in front. */
  hostnames(name: string): string[] {
    return this.list(name).map((text) => {
      const hostname = text.toLowerCase().replace(/^\*\./, '')
      const isName = /^[^\s/\\@?#:*]+$/.test(hostname) && URL.canParse(`https://${hostname}`)
      if (isName || isIP(hostname.replace(/^\[|\]$/g, '')) !== 0) return text.toLowerCase()
      return this.#refuse(
        name,
        text,
        'a host name such as pds.example or *.example (no scheme, port or path)',
        '',
      )
    })
  }

  integer(name: string, fallback: number, min: number, max: number): number {
    const text = this.text(name, String(fallback))
    const value = Number(text)
    if (/^\d+$/.test(text) && value >= min && value <= max) return value
    return this.#refuse(name, text, `a whole number from ${min} to ${max}`, fallback)
  }

  flag(name: string, fallback: boolean): boolean {
    const text = this.text(name, String(fallback)).toLowerCase()
    if (['true', '1', 'yes'].includes(text)) return true
    if (['false', '0', 'no'].includes(text)) return false
    return this.#refuse(name, text, '"true" or "false"', fallback)
  }

  choice<const T extends readonly string[]>(name: string, choices: T, fallback: T[number]): T[number] {
    const text = this.text(name, fallback)
    if (choices.includes(text)) return text
    return this.#refuse(name, text, `one of ${choices.join(', ')}`, fallback)
  }

  dids(name: string): string[] {
    const dids = this.list(name)
    for (const did of dids) {
      if (!isValidDid(did)) this.#refuse(name, did, 'a DID such as did:plc:… or did:web:…', null)
    }
    return dids
  }

  did(name: string): string | null {
    const [did, ...more] = this.dids(name)
    return more.length > 0 ? this.#refuse(name, this.text(name, ''), 'a single DID', null) : (did ?? null)
  }

  /** The did:web of our own address. */
  didOf(name: string, url: string): string {
    // An unusable URL has its problem already.
    if (url === '') return ''
    try {
      return didWebFromUrl(url)
    } catch {
      return this.#refuse(
        name,
        url,
        'a URL with a host name (did:web has none for an address), or set SERVICE_DID',
        '',
      )
    }
  }

  origin(name: string, allowHttp: boolean): string | null {
    const [origin, ...more] = this.origins(name, [], allowHttp)
    return more.length > 0 ? this.#refuse(name, this.text(name, ''), 'a single origin', '') : (origin ?? null)
  }

  origins(name: string, fallback: readonly string[], allowHttp: boolean): string[] {
    const given = this.list(name)
    const origins = given.map((text) => {
      const url = URL.canParse(text) ? new URL(text) : null
      const schemes = allowHttp ? ['https:', 'http:'] : ['https:']
      const bare = url && url.href === `${url.origin}/`
      if (bare && schemes.includes(url.protocol)) return url.origin
      const wanted = `an ${allowHttp ? 'http(s)' : 'https'} origin such as https://relay.example (no path)`
      return this.#refuse(name, text, wanted, '')
    })
    return given.length > 0 ? [...new Set(origins)] : [...fallback]
  }

  databaseUrl(name: string): string | null {
    const text = this.text(name, '')
    if (text === '') return null
    // What stands in no place of its own might be part of a password, and would be printed.
    if (/^postgres(ql)?:\/\/[^#]*$/i.test(text) && URL.canParse(text)) return text
    // The value is not repeated: it may hold a password.
    this.#problems.push(
      `${name} is not a connection string of the form postgres://user:password@host:port/database`,
    )
    return null
  }

  #refuse<T>(name: string, value: string, wanted: string, fallback: T): T {
    const shown = JSON.stringify(value.replace(/\/\/.*@/s, '//***@'))
    this.#problems.push(`${name} is ${shown}, but must be ${wanted}`)
    return fallback
  }
}
