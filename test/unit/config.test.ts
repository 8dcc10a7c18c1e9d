import { readFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import { ConfigError, describeConfig, type Environment, readConfig } from '../../src/config.js'

function problemsOf(env: Environment): readonly string[] {
  try {
    readConfig(env)
  } catch (error) {
    if (error instanceof ConfigError) return error.problems
    throw error
  }
  return []
}

/** Every variable that is looked at. */
function variables(): string[] {
  const seen = new Set<string>()
  const env = new Proxy({}, { get: (_, name) => void seen.add(String(name)) })
  readConfig(env)
  return [...seen].sort()
}

const ALICE = 'did:plc:aaaaaaaaaaaaaaaaaaaaaaaa'
const WEB = 'did:web:appview.example'

/** A value that is not the default, for each variable. */
const ALL_SET = {
  HOST: '0.0.0.0',
  PORT: '8080',
  METRICS_PORT: '9464',
  PUBLIC_URL: 'https://backfill.example',
  TRUST_PROXY: '1',
  SERVICE_DID: 'did:plc:bbbbbbbbbbbbbbbbbbbbbbbb',
  CONTACT: 'ops@backfill.example',
  SERVICE_KEY: '5e'.repeat(32),
  DATABASE_URL: 'postgres://user@db.example:5433/aquifer?sslmode=require',
  DATA_DIR: '/var/lib/aquifer',
  DATABASE_CONNECTIONS: '20',
  RELAYS: 'https://relay-1.example,https://relay-2.example',
  PLC_URL: 'https://plc.example',
  HANDLE_RESOLVER_URL: 'https://resolver.example',
  ALLOW_PRIVATE_NETWORK: 'true',
  BLOCKED_HOSTS: 'bad.example,*.evil.example',
  HOST_MAX_RPM: '500',
  HOST_START_RPM: '50',
  HOST_GIVE_UP_HOURS: '48',
  HOST_CONCURRENCY: '8',
  PLC_RPM: '500',
  ENGINE_HOSTS: '10',
  ENGINE_QUEUED_REPOS: '1000',
  ENGINE_BODY_MIB: '256',
  SPOOL_DIR: '/tmp/aquifer-spool',
  DETAILS_RETENTION_DAYS: '7',
  EXPIRED_RECORDS: 'purge',
  BACKFILL_ACCESS: 'open',
  BACKFILL_ADMINS: `${ALICE},${WEB}`,
  BACKFILL_ALLOW: WEB,
  QUOTA_RUNNING_JOBS: '3',
  QUOTA_REPOS_PER_JOB: '100000',
  QUOTA_REQUESTS_PER_MINUTE: '0',
  QUOTA_STREAMS: '5',
  LOG_LEVEL: 'debug',
}

describe('the configuration', () => {
  it('has a default for everything, which reaches nobody but the public network', () => {
    expect(readConfig({})).toEqual({
      server: {
        host: '127.0.0.1',
        port: 3000,
        metricsPort: null,
        publicUrl: 'http://localhost:3000',
        trustedProxies: 0,
      },
      identity: { did: 'did:web:localhost%3A3000', contact: null, key: null },
      database: { url: null, dataDirectory: '.aquifer', connections: 10 },
      network: {
        relays: ['https://bsky.network'],
        directoryUrl: 'https://plc.directory',
        handleResolverUrl: null,
        allowPrivateNetwork: false,
        blockedHosts: [],
        hostRpm: 600,
        hostStartRpm: 100,
        hostGiveUpHours: 24,
        directoryRpm: 1_500,
        hostConcurrency: 4,
      },
      engine: {
        hosts: 64,
        queuedRepos: 50_000,
        bodyBytes: 128 * 1024 * 1024,
        spoolDirectory: '.aquifer/spool',
        detailsRetentionDays: 28,
        expiredRecords: 'keep',
      },
      access: { mode: 'allowlist', admins: [], allowed: [] },
      quotas: { runningJobs: 20, reposPerJob: null, requestsPerMinute: 3_000, streams: 40 },
      logLevel: 'info',
    })
  })

  it('takes an empty variable, or one of spaces, for unset', () => {
    const empty = Object.fromEntries(variables().map((name, index) => [name, index % 2 ? '' : '  ']))
    expect(readConfig(empty)).toEqual(readConfig({}))
  })

  it('is described by the names and values it was read from', () => {
    expect(describeConfig(readConfig(ALL_SET))).toEqual({ ...ALL_SET, SERVICE_KEY: '(set)' })
    expect(Object.keys(describeConfig(readConfig({}))).sort()).toEqual(variables())
    expect(Object.keys(ALL_SET).sort()).toEqual(variables())
  })

  it('is what .env.example says: every variable, with its default', () => {
    const text = readFileSync(new URL('../../.env.example', import.meta.url), 'utf8')
    const example = Object.fromEntries(
      [...text.matchAll(/^([A-Z_]+)=(.*)$/gm)].map(([, name, value]) => [name, value]),
    )
    expect(Object.keys(example).sort()).toEqual(variables())
    expect(readConfig(example)).toEqual(readConfig({}))
  })

  it('names itself after the address it is reached at', () => {
    expect(readConfig({ PORT: '8080' }).identity.did).toBe('did:web:localhost%3A8080')
    expect(readConfig({ PUBLIC_URL: 'https://backfill.example' }).identity.did).toBe(
      'did:web:backfill.example',
    )
    expect(readConfig({ PUBLIC_URL: 'https://a.example:8443/' }).identity.did).toBe(
      'did:web:a.example%3A8443',
    )
    const own = readConfig({ PUBLIC_URL: 'https://backfill.example', SERVICE_DID: ALICE })
    expect(own.identity.did).toBe(ALICE)
  })

  it.each(['http://192.0.2.1:3000', 'https://[2001:db8::1]'])(
    'needs a SERVICE_DID where did:web has no name for the address: %s',
    (url) => {
      expect(problemsOf({ PUBLIC_URL: url })).toEqual([expect.stringMatching(/^PUBLIC_URL .*SERVICE_DID/)])
      expect(readConfig({ PUBLIC_URL: url, SERVICE_DID: WEB })).toMatchObject({
        server: { publicUrl: url },
        identity: { did: WEB },
      })
    },
  )

  it('takes origins as one spelling, and each once', () => {
    const relays = ' https://Relay.example/ ,, https://relay.example:443,https://other.example '
    expect(readConfig({ RELAYS: relays }).network.relays).toEqual([
      'https://relay.example',
      'https://other.example',
    ])
    expect(
      readConfig({ BLOCKED_HOSTS: 'Bad.Example, 192.0.2.1,[2001:DB8::1]' }).network.blockedHosts,
    ).toEqual(['bad.example', '192.0.2.1', '[2001:db8::1]'])
  })

  it('has no limit where a quota is 0', () => {
    const names = ['QUOTA_RUNNING_JOBS', 'QUOTA_REPOS_PER_JOB', 'QUOTA_REQUESTS_PER_MINUTE', 'QUOTA_STREAMS']
    const none = Object.fromEntries(names.map((name) => [name, '0']))
    const unlimited = { runningJobs: null, reposPerJob: null, requestsPerMinute: null, streams: null }
    expect(readConfig(none).quotas).toEqual(unlimited)
    const some = Object.fromEntries(names.map((name, index) => [name, String(index + 1)]))
    expect(readConfig(some).quotas).toEqual({
      runningJobs: 1,
      reposPerJob: 2,
      requestsPerMinute: 3,
      streams: 4,
    })
  })

  it('lets plain http through for tests and demos only', () => {
    const env = {
      RELAYS: 'http://localhost:1',
      PLC_URL: 'http://localhost:2',
      HANDLE_RESOLVER_URL: 'http://[::1]:3',
    }
    expect(problemsOf(env)).toHaveLength(3)
    expect(problemsOf({ ...env, ALLOW_PRIVATE_NETWORK: 'yes' })).toEqual([])
  })
})

describe('what is wrong with it', () => {
  it.each<[string, string]>([
    ['PORT', '0'],
    ['PORT', '65536'],
    ['PORT', '80.5'],
    ['PORT', '0x50'],
    ['PORT', '-1'],
    ['PORT', '1e3'],
    ['METRICS_PORT', '65536'],
    ['TRUST_PROXY', '11'],
    ['TRUST_PROXY', 'true'],
    ['DATABASE_CONNECTIONS', '3'],
    ['HOST_MAX_RPM', '0'],
    ['HOST_MAX_RPM', '1000001'],
    ['HOST_START_RPM', '0'],
    ['HOST_GIVE_UP_HOURS', '0'],
    ['PLC_RPM', 'many'],
    ['HOST_CONCURRENCY', '65'],
    ['ENGINE_HOSTS', '0'],
    ['ENGINE_QUEUED_REPOS', '99'],
    ['ENGINE_BODY_MIB', '15'],
    ['DETAILS_RETENTION_DAYS', 'long'],
    ['EXPIRED_RECORDS', 'sell'],
    ['QUOTA_RUNNING_JOBS', '-1'],
    ['QUOTA_REPOS_PER_JOB', 'none'],
    ['QUOTA_REQUESTS_PER_MINUTE', '1.5'],
    ['QUOTA_STREAMS', '-1'],
    ['ALLOW_PRIVATE_NETWORK', 'maybe'],
    ['BACKFILL_ACCESS', 'everybody'],
    ['LOG_LEVEL', 'INFO'],
    ['SERVICE_DID', 'backfill.example'],
    ['SERVICE_DID', `${ALICE},${WEB}`],
    ['BACKFILL_ADMINS', 'alice.example'],
    ['BACKFILL_ALLOW', `${ALICE},did:plc`],
    ['PUBLIC_URL', 'backfill.example'],
    ['PUBLIC_URL', 'https://backfill.example/xrpc'],
    ['PUBLIC_URL', 'https://a.example,https://b.example'],
    ['PLC_URL', 'https://a.example,https://b.example'],
    ['PLC_URL', 'http://plc.example'],
    ['RELAYS', 'https://relay.example?x=y'],
    ['RELAYS', 'https://relay.example/#x'],
    ['RELAYS', 'wss://relay.example'],
    ['RELAYS', 'relay.example'],
    ['HANDLE_RESOLVER_URL', 'ftp://resolver.example'],
    // Would block nothing, and nobody would know.
    ['BLOCKED_HOSTS', 'https://bad.example'],
    ['BLOCKED_HOSTS', 'bad.example:443'],
    ['BLOCKED_HOSTS', 'bad.example/path'],
    ['BLOCKED_HOSTS', 'bad.*.example'],
    // Would make every request fail.
    ['CONTACT', '問い合わせ'],
    ['CONTACT', 'a\nb'],
    ['DATABASE_URL', 'mysql://localhost/aquifer'],
    ['DATABASE_URL', 'localhost'],
    ['SERVICE_KEY', 'zQ3sh'],
    ['SERVICE_KEY', '5e'.repeat(31)],
  ])('is told: %s=%s', (name, value) => {
    expect(problemsOf({ [name]: value })).toEqual([expect.stringContaining(name)])
  })

  it('is told all at once, a line each, and of every entry of a list', () => {
    const problems = problemsOf({
      PORT: 'x',
      RELAYS: 'a,https://fine.example,b',
      BACKFILL_ADMINS: 'c,d',
      DATABASE_URL: 'e',
      LOG_LEVEL: 'f',
    })
    expect(problems.map((problem) => problem.split(' ')[0])).toEqual([
      ...['PORT', 'DATABASE_URL', 'RELAYS', 'RELAYS', 'BACKFILL_ADMINS', 'BACKFILL_ADMINS', 'LOG_LEVEL'],
    ])
    expect(new ConfigError(problems).message.split('\n')).toHaveLength(problems.length + 1)
    expect(new ConfigError(['one']).message).toContain('has a problem')
  })

  it('is told once where one variable follows from another', () => {
    expect(problemsOf({ PUBLIC_URL: 'nonsense' })).toHaveLength(1)
    expect(problemsOf({ PORT: 'nonsense' })).toHaveLength(1)
  })
})

describe('a secret', () => {
  it.each([
    'postgres://user:hunter2@db.example/aquifer',
    'postgresql://:hunter2@db.example/aquifer',
    'POSTGRES://user:hunter2@db.example/aquifer',
    'postgres://user:x%40hunter2@db.example/aquifer',
    'postgres://user:hunter2@%2Fvar%2Frun%2Fpostgresql/aquifer',
    'postgres://db.example/aquifer?user=user&password=hunter2',
    'postgres://db.example/aquifer?password=x&password=hunter2',
    'postgres://db.example/aquifer?sslpassword=hunter2',
    'postgres:///aquifer?host=/var/run/postgresql&password=hunter2',
  ])('is used, and not shown: %s', (url) => {
    const config = readConfig({ DATABASE_URL: url })
    expect(config.database.url).toBe(url)
    const described = describeConfig(config)
    expect(JSON.stringify(described)).not.toContain('hunter2')
    expect(described.DATABASE_URL).toContain('***')
    expect(described.DATABASE_URL).toContain('aquifer')
  })

  it('is used for signing, and not shown', () => {
    const config = readConfig({ SERVICE_KEY: '5E'.repeat(32) })
    expect(config.identity.key).toBe('5e'.repeat(32))
    expect(JSON.stringify(describeConfig(config)).toLowerCase()).not.toContain('5e5e')
  })

  it.each([
    // What the URL parser puts elsewhere than the one who wrote it meant.
    ['DATABASE_URL', 'postgres:user:hunter2@db.example/aquifer'],
    ['DATABASE_URL', 'postgres:/user:hunter2@db.example/aquifer'],
    ['DATABASE_URL', 'postgres://user:12#hunter2@db.example/aquifer'],
    ['DATABASE_URL', 'postgres://user:hunter2#@db.example/aquifer'],
    ['DATABASE_URL', 'mysql://user:hunter2@db.example/aquifer'],
    ['DATABASE_URL', 'user:hunter2@db.example'],
    ['SERVICE_KEY', `hunter2${'5e'.repeat(32)}`],
    ['RELAYS', 'https://user:hunter2@relay.example'],
    ['RELAYS', 'https://:hunter2@relay.example'],
    ['RELAYS', 'https://user:x@hunter2@relay.example'],
    ['PUBLIC_URL', 'https://user:hunter2@backfill.example'],
    ['PLC_URL', 'http://user:hunter2@plc.example,https://user:hunter2@plc.example'],
    ['HANDLE_RESOLVER_URL', 'https://user:hunter2@resolver.example/path'],
  ])('in the wrong place is refused, and not shown: %s=%s', (name, value) => {
    const problems = problemsOf({ [name]: value })
    expect(problems).not.toEqual([])
    expect(problems.join()).not.toContain('hunter2')
  })
})
