import { IncomingMessage } from 'node:http'
import { Socket } from 'node:net'
import { type Keypair, P256Keypair, Secp256k1Keypair } from '@atproto/crypto'
import { XRPCError } from '@atproto/xrpc-server'
import { UnknownIssuer } from '../../src/auth/errors.js'
import { createFailureLimiter } from '../../src/auth/limiter.js'
import { type Permission, permissionsFor } from '../../src/auth/permissions.js'
import { createServiceAuth, type ServiceAuthOptions, type Standing } from '../../src/auth/verifier.js'

/** What the tests of service auth share: real keys and tokens, and a world of issuers whose look-ups are counted. */

export const SERVICE_DID = 'did:web:backfill.example'
export const METHOD = 'network.example.backfill.createJob'
export const ALICE = 'did:plc:aaaaaaaaaaaaaaaaaaaaaaaa'
export const SERVICE_B = 'did:web:appview.example'
export const START_MS = Date.UTC(2026, 0, 2, 3, 4, 5)

export type Claims = Record<string, unknown>

export const base64Url = (value: string | Uint8Array) => Buffer.from(value).toString('base64url')
export const jsonPart = (value: unknown) => base64Url(JSON.stringify(value))

/** Signs the two parts as they are, whatever they say. */
export async function signParts(key: Keypair, header: string, payload: string): Promise<string> {
  const signed = `${header}.${payload}`
  return `${signed}.${base64Url(await key.sign(Buffer.from(signed)))}`
}

let tokens = 0

/** Claims that hold at `START_MS`, with an unused `jti`. */
export function goodClaims(issuer = ALICE): Claims & { exp: number; jti: string } {
  const iat = START_MS / 1_000
  tokens += 1
  return { iss: issuer, aud: SERVICE_DID, lxm: METHOD, iat, exp: iat + 60, jti: `token-${tokens}` }
}

/** A signed token; `undefined` takes a field out. */
export function makeToken(key: Keypair, claims: Claims = {}, header: Claims = {}): Promise<string> {
  const issuer = typeof claims.iss === 'string' ? claims.iss : ALICE
  return signParts(
    key,
    jsonPart({ typ: 'JWT', alg: key.jwtAlg, ...header }),
    jsonPart({ ...goodClaims(issuer), ...claims }),
  )
}

/** A request as Node hands it over, express or not. */
export function request(authorization?: string, method = METHOD, address = '192.0.2.1'): IncomingMessage {
  const socket = new Socket()
  Object.defineProperty(socket, 'remoteAddress', { value: address })
  const req = new IncomingMessage(socket)
  req.url = `/xrpc/${method}?limit=3`
  if (authorization !== undefined) req.headers.authorization = authorization
  return req
}

export interface World {
  nowMs: number
  /** Issuers' keys as the directory has them now. */
  readonly directory: Map<string, string>
  /** Keys as this service has cached them. */
  readonly cache: Map<string, string>
  /** Every look-up in the directory, in order. */
  readonly lookUps: string[]
  readonly remembered: { issuer: string; jti: string; expiresAt: Date }[]
  /** Awaited by every look-up: what a slow or broken directory does. */
  beforeLookUp: (did: string) => Promise<void>
  readonly options: ServiceAuthOptions
  call(token: string | undefined, permission?: Permission, req?: Partial<Call>): Promise<Outcome>
}

export interface Call {
  method: string
  address: string
}

export type Outcome = { did: string } | { status: number; error: string; message: string; cause: unknown }

export class UnexpectedError extends Error {}

/** That of a caller with nothing but permissions. */
export function standing(permissions: ReadonlySet<Permission>, more: Partial<Standing> = {}): Standing {
  return { permissions, jobsOf: [], requests: null, ...more }
}

/** A verifier over a directory with a cache in front of it, as the service has one. */
export function createWorld(
  issuers: Record<string, Keypair>,
  overrides: Partial<ServiceAuthOptions> = {},
): World {
  const directory = new Map(Object.entries(issuers).map(([did, key]) => [did, key.did()]))
  const cache = new Map<string, string>()
  const lookUps: string[] = []
  const remembered: World['remembered'] = []
  const used = new Set<string>()
  const world: World = {
    nowMs: START_MS,
    directory,
    cache,
    lookUps,
    remembered,
    beforeLookUp: async () => {},
    options: {
      serviceDid: SERVICE_DID,
      now: () => world.nowMs,
      limiter: createFailureLimiter({ now: () => world.nowMs, failuresMax: 1_000_000 }),
      admit: async (did) => standing(permissionsFor(did, { mode: 'open', admins: [], allowed: [] }, null)),
      rememberJti: async (entry) => {
        remembered.push(entry)
        const id = `${entry.issuer} ${entry.jti}`
        return used.size < used.add(id).size
      },
      resolveKey: async (did, forceRefresh) => {
        const cached = forceRefresh ? undefined : cache.get(did)
        if (cached) return cached
        lookUps.push(did)
        await world.beforeLookUp(did)
        const key = directory.get(did)
        if (!key) throw new UnknownIssuer(did)
        cache.set(did, key)
        return key
      },
      ...overrides,
    },
    async call(token, permission = 'read', { method = METHOD, address = '192.0.2.1' } = {}) {
      const req = request(token === undefined ? undefined : `Bearer ${token}`, method, address)
      return outcomeOf(verify(permission)({ req }))
    },
  }
  const verify = createServiceAuth(world.options)
  return world
}

/** What a caller would be told; anything but an XRPC error is let through. */
export async function outcomeOf(call: Promise<{ credentials: { did: string } }>): Promise<Outcome> {
  try {
    return { did: (await call).credentials.did }
  } catch (error) {
    if (!(error instanceof XRPCError)) throw new UnexpectedError('not an XRPC error', { cause: error })
    return {
      status: error.statusCode,
      error: error.error ?? '',
      message: error.payload.message ?? '',
      cause: error.cause,
    }
  }
}

export const newK256 = () => Secp256k1Keypair.create()
export const newP256 = () => P256Keypair.create()
