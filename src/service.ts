import type { Server } from 'node:http'
import type { LookupFunction } from 'node:net'
import { createHttpClient, type HttpClient, type HttpTuning } from './atproto/http.js'
import { Identities } from './atproto/identity.js'
import { Failure } from './atproto/outcome.js'
import { Closers } from './closers.js'
import type { Config } from './config.js'
import { openDirectoryGate } from './engine/directory.js'
import { Engine, type EngineTuning } from './engine/engine.js'
import type { Gate } from './engine/gate.js'
import { createTell, type Logger, type Tell } from './events.js'
import { listenForScrapes } from './metrics/listener.js'
import { Metrics } from './metrics.js'
import { startServer } from './server.js'
import { openServiceKey, type ServiceKey } from './service-key.js'
import type { Store } from './store/database.js'
import { PostgresDidCache } from './store/did-cache.js'
import { JobNotices } from './store/notices.js'
import { openConfiguredStore } from './store/open.js'
import { VERSION } from './version.js'

/** The longest that a request waits for its turn at the directory. The look-up with its wait has 10 s. */
const DIRECTORY_WAIT_MS = 8_000

/** What tests put in the place of the world. */
export interface Overrides extends EngineTuning {
  readonly now?: () => number
  readonly random?: () => number
  readonly lookup?: LookupFunction
  /** Shorter limits: the real ones take half a minute to show. */
  readonly http?: Partial<HttpTuning>
  /** Between two looks at whether the other end of a stream is still there. */
  readonly pingEveryMs?: number
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
  readonly serviceKey: ServiceKey
  readonly store: Store
  readonly notices: JobNotices
  readonly http: HttpClient
  readonly identities: Identities
  readonly engine: Engine | null
  readonly server: Server | null
  readonly metrics: Metrics
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
  const metrics = new Metrics(config.network)
  const tell = createTell(logger, (event) => metrics.happened(event))
  const store = opened.use(await openConfiguredStore(config, tell))
  const serviceKey = await openServiceKey(config)
  const notices = opened.use(new JobNotices(store.pool))
  const http = createHttpClient(
    {
      userAgent: userAgent(config),
      allowPrivateNetwork: config.network.allowPrivateNetwork,
      blockedHosts: new Set(config.network.blockedHosts),
      ...(overrides.lookup && { lookup: overrides.lookup }),
      onExchanged: (exchanged) => metrics.exchanged(exchanged),
      onReceived: (url, bytes) => metrics.received(url, bytes),
      bodyBytes: config.engine.bodyBytes,
    },
    overrides.http,
  )
  opened.add(() => http.close())
  const cache = new PostgresDidCache(store.db, now)
  const { directoryUrl, directoryRpm } = config.network
  const directoryGate = await openDirectoryGate(directoryUrl, {
    db: store.db,
    rpm: () => directoryRpm,
    now,
    random,
  })
  const identitiesWith = (beforeRequest: () => Promise<void>) =>
    new Identities({ ...config.network, http, cache, now, random, beforeRequest })
  const identities = identitiesWith(() => passSoon(directoryGate, now))
  const engine = works
    ? opened.use(
        await Engine.start({
          config,
          serviceKey,
          store,
          notices,
          http,
          identities: identitiesWith,
          directoryGate,
          metrics,
          tell,
          now,
          random,
          tuning: overrides,
        }),
      )
    : null
  const parts = { config, serviceKey, store, notices, http, identities, engine, metrics, tell, now }
  const { metricsPort } = config.server
  if (metricsPort !== null) opened.use(await listenForScrapes(parts, metricsPort))
  const listening = api ? opened.use(await startServer(parts, overrides.pingEveryMs)) : null
  return { ...parts, server: listening?.server ?? null, [Symbol.asyncDispose]: () => opened.close() }
}

/**
 * Waits for a turn that comes soon enough for somebody who waits for an answer. Takes none otherwise: turns that
 * nobody uses would hold back the work.
 * @throws Failure `directory-unavailable`
 */
async function passSoon(gate: Gate, now: () => number): Promise<void> {
  if (gate.nextAt - now() > DIRECTORY_WAIT_MS)
    throw new Failure('directory-unavailable', 'the budget of requests to the directory is used up for now')
  await gate.pass(AbortSignal.timeout(DIRECTORY_WAIT_MS))
}

/** Tells a host's operator who asks and where to turn. */
function userAgent(config: Config): string {
  const contact = config.identity.contact ? `; ${config.identity.contact}` : ''
  return `aquifer/${VERSION} (+${config.server.publicUrl}; ${config.identity.did}${contact})`
}
