import { isIP } from 'node:net'

/** The fragment of our service entry, with which `aud` may name us more closely. */
export const SERVICE_ID = 'atproto_backfill'

/** What kind of service the entry `#atproto_backfill` is. */
const SERVICE_TYPE = 'AtprotoBackfillService'

const DID_KEY_PREFIX = 'did:key:'

export interface DidDocument {
  readonly '@context': readonly string[]
  readonly id: string
  readonly verificationMethod?: readonly {
    readonly id: string
    readonly type: 'Multikey'
    readonly controller: string
    readonly publicKeyMultibase: string
  }[]
  readonly service: readonly {
    readonly id: string
    readonly type: string
    readonly serviceEndpoint: string
  }[]
}

/**
 * Our DID document, for `/.well-known/did.json` (DID Core 1.0, did:web, and the atproto DID specification).
 * @param endpoint where we answer; only its origin is used, as XRPC paths are always top-level
 * @param signingKey our public key as a did:key, if we sign requests to others
 * @throws TypeError for an endpoint or a key that is not of that form
 */
export function serviceDidDocument(options: {
  readonly did: string
  readonly endpoint: string
  readonly signingKey?: string
}): DidDocument {
  const { did, endpoint, signingKey } = options
  const service = [{ id: `#${SERVICE_ID}`, type: SERVICE_TYPE, serviceEndpoint: httpUrl(endpoint).origin }]
  if (signingKey === undefined) return { '@context': ['https://www.w3.org/ns/did/v1'], id: did, service }
  if (!signingKey.startsWith(`${DID_KEY_PREFIX}z`)) throw new TypeError('a signing key must be a did:key')
  return {
    '@context': ['https://www.w3.org/ns/did/v1', 'https://w3id.org/security/multikey/v1'],
    id: did,
    verificationMethod: [
      {
        id: `${did}#atproto`,
        type: 'Multikey',
        controller: did,
        // A did:key is the multibase form of the key with a prefix.
        publicKeyMultibase: signingKey.slice(DID_KEY_PREFIX.length),
      },
    ],
    service,
  }
}

/**
 * The did:web of a service, from its public URL: `https://backfill.example` → `did:web:backfill.example`,
 * `http://localhost:3000` → `did:web:localhost%3A3000`.
 * @throws TypeError for a URL with a path, a query or a user, or with an IP address, which did:web has no name for
 */
export function didWebFromUrl(publicUrl: string): string {
  const url = httpUrl(publicUrl)
  if (
    url.pathname !== '/' ||
    url.search !== '' ||
    url.hash !== '' ||
    url.username !== '' ||
    url.password !== ''
  ) {
    throw new TypeError(`a did:web needs a URL of only scheme, host and port: ${publicUrl}`)
  }
  const host = url.hostname.replace(/\.$/, '')
  if (host.startsWith('[') || isIP(host) !== 0) {
    throw new TypeError(`a did:web needs a host name (localhost will do), not an IP address: ${publicUrl}`)
  }
  return `did:web:${host}${url.port === '' ? '' : `%3A${url.port}`}`
}

function httpUrl(text: string): URL {
  const url = URL.canParse(text) ? new URL(text) : null
  if (url?.protocol === 'https:' || url?.protocol === 'http:') return url
  throw new TypeError(`not an http(s) URL: ${text}`)
}
