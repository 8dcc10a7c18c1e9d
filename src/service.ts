import type { Server } from 'node:http'
import type { LookupFunction } from 'node:net'
import { createHttpClient, type HttpClient, type HttpTuning } from './atproto/http.js'
import { Identities } from './atproto/identity.js'
import { Closers } from './closers.js'
import type { Config } from './config.js'
import { Engine, type EngineOptions } from './engine/engine.js'
import { createTell, type Logger, type Tell } from './events.js'
import { startServer } from './server.js'
import type { Store } from './store/database.js'
import { PostgresDidCache } from './store/did-cache.js'
import { openConfiguredStore } from './store/open.js'
import { VERSION } from './version.js'

/** What tests put in the place of the world. */
export interface Overrides {
  readonly now?: () => number
  readonly random?: () => number
  readonly lookup?: LookupFunction
  /** Shorter limits: the real ones take half a minute to show. */
  readonly http?: Partial<HttpTuning>
  readonly retry?: EngineOptions['retry']
}

export interface ServiceOptions {
  readonly config: Config
  readonly logger: Logger
  /** Answer requests. */
  readonly api: boolean
  /** Do the work. */
  readonly engine: boolean
  readonly overrides?: Overrides
}

/** The parts that are there whether a process answers requests, does the work, or both. */
export interface Service extends AsyncDisposable {
  readonly config: Config
  readonly store: Store
  readonly http: HttpClient
  readonly identities: Identities
  readonly engine: Engine | null
  readonly server: Server | null
  readonly tell: Tell
  readonly now: () => number
}

/**
 * Starts a service: database, then engine, then server. Disposing of it stops them the other way round, and
 * returns when nothing is under way any more.
 */
export async function startService(options: ServiceOptions): Promise<Service> {
  const opened = new Closers()
  try {
    return await open(options, opened)
  } catch (error) {
    await opened.close()
    throw error
  }
}

async function open(
  { config, logger, api, engine: works, overrides = {} }: ServiceOptions,
  opened: Closers,
): Promise<Service> {
  const { now = Date.now, random = Math.random } = overrides
  const tell = createTell(logger)
  const store = opened.use(await openConfiguredStore(config, tell))
  const http = createHttpClient(
    {
      userAgent: userAgent(config),
      allowPrivateNetwork: config.network.allowPrivateNetwork,
      blockedHosts: new Set(config.network.blockedHosts),
      ...(overrides.lookup && { lookup: overrides.lookup }),
    },
    overrides.http,
  )
  opened.add(() => http.close())
  const cache = new PostgresDidCache(store.db, now)
  const identitiesWith = (beforeRequest?: () => Promise<void>) =>
    new Identities({ ...config.network, http, cache, now, random, ...(beforeRequest && { beforeRequest }) })
  const identities = identitiesWith()
  const engine = works
    ? opened.use(
        await Engine.start({
          config,
          store,
          http,
          identities: identitiesWith,
          tell,
          now,
          random,
          ...pick(overrides),
        }),
      )
    : null
  const parts = { config, store, http, identities, engine, tell, now }
  const listening = api ? opened.use(await startServer(parts)) : null
  return { ...parts, server: listening?.server ?? null, [Symbol.asyncDispose]: () => opened.close() }
}

const pick = ({ retry }: Overrides) => (retry ? { retry } : {})

/** Tells a host's operator who asks and where to turn. */
function userAgent(config: Config): string {
  const contact = config.identity.contact ? `; ${config.identity.contact}` : ''
  return `aquifer/${VERSION} (+${config.server.publicUrl}; ${config.identity.did}${contact})`
}
