import type { CacheResult, DidCache, DidDocument } from '@atproto/identity'
import { type HttpClient, HttpFailure } from '../../src/atproto/http.js'
import type { HttpFailureClass } from '../../src/atproto/http-failure.js'
import { createFetch } from '../../src/atproto/http-fetch.js'
import { Identities, type IdentityOptions } from '../../src/atproto/identity.js'

/** A network of a few URLs behind the client's interface, and a cache in memory. */

export const ALICE = 'did:plc:aaaaaaaaaaaaaaaaaaaaaaaa'
export const BOB_WEB = 'did:web:bob.example.com'
export const DIRECTORY = 'https://plc.example.com'
export const RESOLVER = 'https://resolver.example.com'
export const NOW_MS = Date.UTC(2026, 0, 2, 3, 4, 5)
export const KEY = 'did:key:zQ3shokFTS3brHcDQrn82RUDfCZESWL1ZdCEJwekUDPQiYBme'

export interface Answer {
  readonly status?: number
  readonly headers?: Record<string, string>
  readonly json?: unknown
  readonly text?: string
  /** No answer at all, of this class. */
  readonly failure?: HttpFailureClass
  /** Thrown as it is. */
  readonly error?: Error
}

interface Changes {
  readonly handle?: string
  readonly pds?: string | undefined
  readonly keys?: { id: string; type: string; controller: string; publicKeyMultibase: string }[]
}

export function documentOf(did: string, changes: Changes = {}) {
  const { handle, pds, keys } = { pds: 'https://pds.example.com', ...changes }
  const key = {
    id: '#atproto',
    type: 'Multikey',
    controller: did,
    publicKeyMultibase: KEY.slice('did:key:'.length),
  }
  return {
    id: did,
    alsoKnownAs: handle === undefined ? [] : [`at://${handle}`],
    verificationMethod: keys ?? [key],
    service:
      pds === undefined
        ? []
        : [{ id: '#atproto_pds', type: 'AtprotoPersonalDataServer', serviceEndpoint: pds }],
  }
}

export function world(answers: Record<string, Answer>, options: Partial<IdentityOptions> = {}) {
  const asked: string[] = []
  const cached = new Map<string, DidDocument>()
  let cacheError: Error | null = null
  const respond = async (url: string) => {
    asked.push(url)
    const answer = answers[url]
    if (answer === undefined) throw new Error(`nobody should ask ${url}`)
    if (answer.error) throw answer.error
    if (answer.failure) throw new HttpFailure(answer.failure, `${new URL(url).host}: ${answer.failure}`)
    const body = Buffer.from(answer.text ?? JSON.stringify(answer.json ?? {}))
    return { status: answer.status ?? 200, headers: answer.headers ?? {}, body }
  }
  const http: HttpClient = {
    get: ({ url }) => respond(String(url)),
    fetch: createFetch(async ({ url }) => ({
      response: await respond(String(url)),
      url: new URL(url),
      hops: 0,
    })),
    listen: () => Promise.reject(new Error('nobody listens for an identity')),
    close: async () => {},
  }
  const cache: DidCache = {
    async checkCache(did): Promise<CacheResult | null> {
      if (cacheError) throw cacheError
      const doc = cached.get(did)
      return doc ? { did, doc, updatedAt: NOW_MS, stale: false, expired: false } : null
    },
    async cacheDid(did, doc) {
      if (cacheError) throw cacheError
      cached.set(did, JSON.parse(JSON.stringify(doc)))
    },
    async refreshCache() {},
    async clearEntry(did) {
      cached.delete(did)
    },
    async clear() {
      cached.clear()
    },
  }
  const identities = new Identities({
    http,
    cache,
    directoryUrl: DIRECTORY,
    handleResolverUrl: RESOLVER,
    allowPrivateNetwork: false,
    now: () => NOW_MS,
    random: () => 0,
    ...options,
  })
  return {
    identities,
    asked,
    answers,
    cached,
    failCache: (error: Error) => {
      cacheError = error
    },
  }
}
