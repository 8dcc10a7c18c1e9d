import { LoopbackServer, sendError, sendJson } from './loopback.js'

export interface DidDocumentParts {
  /** The key of `#atproto`, as a did:key. */
  readonly signingKey: string
  readonly handle?: string
  /** By fragment, without the `#`. */
  readonly services?: Readonly<Record<string, { readonly type: string; readonly endpoint: string }>>
}

/** A did:web on loopback (`did:web:localhost%3APORT`) with the server of its document. */
export interface DidWeb extends AsyncDisposable {
  readonly did: string
  readonly server: LoopbackServer
  /** Replaces the document. */
  publish(parts: DidDocumentParts): void
}

/** Starts a did:web that has no document yet: resolving it gives 404. */
export async function startDidWeb(): Promise<DidWeb> {
  let document: object | null = null
  const server = await LoopbackServer.start((url, _request, response) => {
    if (url.pathname !== '/.well-known/did.json' || document === null) {
      sendError(response, 404, 'NotFound', 'there is no such document')
    } else {
      sendJson(response, 200, document)
    }
  })
  const did = `did:web:localhost%3A${server.port}`
  return {
    did,
    server,
    publish(parts) {
      document = didDocument(did, parts)
    },
    [Symbol.asyncDispose]: () => server.stop(),
  }
}

/** A DID document as atproto reads it (https://atproto.com/specs/did#did-documents). */
function didDocument(did: string, { signingKey, handle, services = {} }: DidDocumentParts): object {
  return {
    '@context': ['https://www.w3.org/ns/did/v1', 'https://w3id.org/security/multikey/v1'],
    id: did,
    alsoKnownAs: handle === undefined ? [] : [`at://${handle}`],
    verificationMethod: [
      {
        id: `${did}#atproto`,
        type: 'Multikey',
        controller: did,
        publicKeyMultibase: signingKey.replace(/^did:key:/, ''),
      },
    ],
    service: Object.entries(services).map(([fragment, { type, endpoint }]) => ({
      id: `#${fragment}`,
      type,
      serviceEndpoint: endpoint,
    })),
  }
}
