import { randomUUID } from 'node:crypto'
import { once } from 'node:events'
import type { Server as HttpServer } from 'node:http'
import express, { type Express, type RequestHandler } from 'express'
import { createServer } from '../codegen/server/index.js'
import { ids } from '../codegen/server/lexicons.js'
import { INPUT_BYTES_MAX } from './api/describeService.js'
import { toXrpcError } from './api/errors.js'
import { registerMethods } from './api/index.js'
import { Failure, Unavailable } from './atproto/outcome.js'
import { serviceDidDocument } from './auth/did-document.js'
import { DirectoryUnavailable, IssuerUnresolvable, UnknownIssuer } from './auth/errors.js'
import { type AuthVerifier, createServiceAuth } from './auth/verifier.js'
import { SetupError } from './errors.js'
import { checkHealth } from './health.js'
import { admit } from './jobs/callers.js'
import { scrape } from './metrics/listener.js'
import type { Service } from './service.js'
import { Sockets } from './sockets.js'
import { spendToken } from './store/tokens.js'
import { DatabaseUnavailable } from './store/trouble.js'

/** How long requests under way may still take once the service is to stop. */
const DRAIN_MS = 10_000

/**
 * How long a connection is kept that nobody uses, ms: longer than proxies and clients keep theirs. One that is closed
 * just when it is used again costs a request.
 */
const KEEP_ALIVE_MS = 130_000

/** How often connections are looked for on which no request is under way any more. */
const IDLE_CHECK_MS = 50

type Parts = Pick<
  Service,
  'config' | 'serviceKey' | 'store' | 'notices' | 'identities' | 'engine' | 'metrics' | 'tell' | 'now'
>

export interface Listening extends AsyncDisposable {
  readonly server: HttpServer
}

/**
 * Answers requests from now on. Disposing of it takes no new ones, waits for those under way and ends the streams.
 * @param pingEveryMs between two looks at whether the other end of a stream is still there
 * @throws SetupError when the port cannot be had
 */
export async function startServer(parts: Parts, pingEveryMs?: number): Promise<Listening> {
  const { config, tell } = parts
  const { host, port } = config.server
  const sockets = new Sockets(pingEveryMs)
  // The app itself must listen: xrpc-server hooks into that for subscriptions.
  const server = createApp(parts, sockets).listen(port, host)
  server.keepAliveTimeout = KEEP_ALIVE_MS
  try {
    await once(server, 'listening')
  } catch (error) {
    throw new SetupError(`Cannot listen on ${host}:${port}: ${(error as Error).message}`, { cause: error })
  }
  tell('service.listening', {
    url: config.server.publicUrl,
    did: config.identity.did,
    key: parts.serviceKey.did,
    address: server.address(),
  })
  return { server, [Symbol.asyncDispose]: () => drain(server, sockets) }
}

async function drain(server: HttpServer, sockets: Sockets): Promise<void> {
  const closed = once(server, 'close')
  server.close()
  sockets.end()
  // A connection whose last request ends only now would be kept open for the client's next one.
  const idle = setInterval(() => server.closeIdleConnections(), IDLE_CHECK_MS)
  const force = setTimeout(() => server.closeAllConnections(), DRAIN_MS)
  await closed
  clearInterval(idle)
  clearTimeout(force)
}

function createApp(parts: Parts, sockets: Sockets): Express {
  const { config, tell } = parts
  const app = express()
  app.disable('x-powered-by')
  app.set('trust proxy', config.server.trustedProxies)
  app.use(withRequestId(parts))
  app.get('/xrpc/_health', health(parts))
  app.get('/.well-known/did.json', didDocument(parts))
  if (config.server.metricsPort === null) app.get('/metrics', metricsText(parts))
  const xrpc = createServer({
    validateResponse: true,
    payload: { jsonLimit: INPUT_BYTES_MAX, textLimit: INPUT_BYTES_MAX, blobLimit: 0 },
    errorParser: (error) => {
      const parsed = toXrpcError(error)
      if (parsed instanceof DirectoryUnavailable) tell('auth.directory-unreachable', { err: parsed.cause })
      else if (parsed.statusCode >= 500) tell('request.failed', { err: parsed.cause ?? error })
      return parsed
    },
  })
  registerMethods(xrpc, { ...parts, db: parts.store.db, auth: authOf(parts), stopping: sockets.stopping })
  sockets.watch(xrpc.xrpc.subscriptions.values())
  xrpc.xrpc.router.disable('x-powered-by')
  app.use(needsWebSocket(xrpc))
  app.use(xrpc.xrpc.router)
  return app
}

function authOf({ config, store, identities, now }: Parts) {
  return createServiceAuth({
    serviceDid: config.identity.did,
    trustedProxies: config.server.trustedProxies,
    now,
    rememberJti: (token) => spendToken(store.db, token),
    admit: (did) => admit({ config, db: store.db, now }, did),
    async resolveKey(did, forceRefresh) {
      try {
        return await identities.signingKey(did, forceRefresh)
      } catch (error) {
        const final = error instanceof Failure && ['did-not-found', 'did-invalid'].includes(error.failure)
        if (error instanceof DatabaseUnavailable) throw error
        if (final || error instanceof Unavailable) throw new UnknownIssuer(error.message, { cause: error })
        throw new IssuerUnresolvable(`${did} cannot be resolved`, { cause: error })
      }
    },
  }) satisfies (permission: 'read') => AuthVerifier
}

/** Tells a plain request for a stream what is missing. */
function needsWebSocket({ xrpc }: { xrpc: { subscriptions: ReadonlyMap<string, unknown> } }): RequestHandler {
  return (req, res, next) => {
    const method = req.path.startsWith('/xrpc/') ? req.path.slice('/xrpc/'.length) : ''
    if (!xrpc.subscriptions.has(method)) return next()
    res.status(426).set({ connection: 'upgrade', upgrade: 'websocket' })
    res.json({ error: 'InvalidRequest', message: `${method} is a subscription: connect with a WebSocket` })
  }
}

/** The paths that a request is counted under; there is no end to those that strangers ask for. */
const COUNTED: ReadonlyMap<string, string> = new Map([
  ['/xrpc/_health', '_health'],
  ['/.well-known/did.json', 'did.json'],
  ['/metrics', 'metrics'],
  ...Object.values(ids).map((nsid) => [`/xrpc/${nsid}`, nsid] as const),
])

function kindOf(path: string): string {
  return COUNTED.get(path) ?? 'other'
}

/** Gives each request a name, ours or the caller's, and one line in the log when it is done. */
function withRequestId({ tell, metrics, now }: Parts): RequestHandler {
  return (req, res, next) => {
    const given = req.get('x-request-id')
    const id = given !== undefined && /^[\w.-]{1,64}$/.test(given) ? given : randomUUID()
    res.set('x-request-id', id)
    const began = now()
    const startedAt = performance.now()
    res.on('close', () => {
      metrics.answered(kindOf(req.path), res.statusCode, (performance.now() - startedAt) / 1_000)
      tell('request.finished', {
        request: id,
        method: req.method,
        path: req.path,
        status: res.statusCode,
        ms: now() - began,
      })
    })
    next()
  }
}

/** Whether this process can do its part: 503 when it cannot. */
function health(parts: Parts): RequestHandler {
  return async (_req, res) => {
    const { status, body } = await checkHealth(parts)
    res.status(status).json(body)
  }
}

function metricsText(parts: Parts): RequestHandler {
  return async (_req, res) => {
    const { type, text } = await scrape(parts)
    // As it is: express would put the version last.
    res.writeHead(200, { 'content-type': type }).end(text)
  }
}

function didDocument({ config, serviceKey }: Parts): RequestHandler {
  const { did } = config.identity
  return (_req, res) => {
    // A did:plc has its document in the directory; ours would only contradict it.
    if (!did.startsWith('did:web:'))
      return void res.status(404).json({ error: 'NotFound', message: `the DID is ${did}` })
    const signingKey = serviceKey.did
    res.json(serviceDidDocument({ did, endpoint: config.server.publicUrl, signingKey }))
  }
}
