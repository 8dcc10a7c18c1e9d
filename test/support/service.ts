import { AtpBaseClient } from '../../codegen/client/index.js'
import { readConfig } from '../../src/config.js'
import { createLogger } from '../../src/events.js'
import { type Overrides, type Service, startService } from '../../src/service.js'
import { createDatabase, type TestDatabase } from './database.js'
import type { Caller } from './network/caller.js'
import { findFreePort } from './network/loopback.js'
import type { Network } from './network/network.js'

/** More in a row are not taken by chance. */
const PORTS_TRIED = 3

/** A service's key that is nobody's: without one, each would leave a file. */
export const SERVICE_KEY = '5e'.repeat(32)

/** Quick enough for tests; what they mean is tested where they are decided. */
export const QUICK_RETRY: Overrides['retry'] = {
  repo: { attempts: 3, firstDelayMs: 20, maxDelayMs: 100 },
  listing: { attempts: 3, firstDelayMs: 20, maxDelayMs: 100 },
}

export interface TestServiceOptions {
  readonly network: Pick<Network, 'environment'>
  /** One of its own when absent. Pass one to start again on the same rows. */
  readonly database?: TestDatabase
  readonly environment?: Readonly<Record<string, string>>
  readonly api?: boolean
  readonly engine?: boolean
  readonly overrides?: Overrides
}

export interface TestService extends AsyncDisposable {
  readonly service: Service
  readonly url: string
  readonly did: string
  /** The generated client, calling as this service does. */
  as(caller: Caller): Backfill
}

export type Backfill = AtpBaseClient['network']['example']['backfill']

/** The real service on a free port of loopback, pointed at a network of the test's own. */
export async function startTestService(options: TestServiceOptions): Promise<TestService> {
  const database = options.database ?? (await createDatabase())
  return withFreePort(options.environment, (port) => startOnPort(port, database, options))
}

/** Somebody else may take a free port before it is used; then it is another, unless the test names one. */
export async function withFreePort<T>(
  environment: Readonly<Record<string, string>> = {},
  use: (port: number) => Promise<T>,
): Promise<T> {
  for (let attempts = 1; ; attempts += 1) {
    try {
      return await use(await findFreePort())
    } catch (error) {
      const isTaken = environment.PORT === undefined && String(error).includes('EADDRINUSE')
      if (!isTaken || attempts === PORTS_TRIED) throw error
    }
  }
}

async function startOnPort(
  port: number,
  database: TestDatabase,
  options: TestServiceOptions,
): Promise<TestService> {
  const { network, environment, api = true, engine = true, overrides } = options
  const config = readConfig({
    PORT: String(port),
    DATABASE_URL: database.url,
    BACKFILL_ACCESS: 'open',
    SERVICE_KEY,
    HOST_MAX_RPM: '100000',
    HOST_START_RPM: '100000',
    PLC_RPM: '100000',
    LOG_LEVEL: process.env.TEST_LOG_LEVEL ?? 'silent',
    ...network.environment,
    ...environment,
  })
  const service = await startService({
    config,
    logger: createLogger(config.logLevel),
    api,
    engine,
    overrides: { retry: QUICK_RETRY, ...overrides },
  })
  const url = config.server.publicUrl
  return {
    service,
    url,
    did: config.identity.did,
    as: (caller) => clientOf(url, config.identity.did, caller),
    async [Symbol.asyncDispose]() {
      await service[Symbol.asyncDispose]()
      if (!options.database) await database[Symbol.asyncDispose]()
    },
  }
}

/** A client that brings a fresh token to every call, as another service would. */
export function clientOf(url: string, serviceDid: string, caller: Caller): Backfill {
  const client = new AtpBaseClient(async (path, init) => {
    const lxm = new URL(path, url).pathname.slice('/xrpc/'.length)
    const headers = new Headers(init.headers)
    headers.set('authorization', `Bearer ${await caller.serviceJwt({ aud: serviceDid, lxm })}`)
    return fetch(new URL(path, url), { ...init, headers })
  })
  return client.network.example.backfill
}
