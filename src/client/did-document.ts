import { isIP } from 'node:net'

/** The part of a DID document that lets its DID call other services. */
export interface CallerDidDocument {
  readonly '@context': readonly string[]
  readonly id: string
  readonly verificationMethod: readonly {
    readonly id: string
    readonly type: 'Multikey'
    readonly controller: string
    readonly publicKeyMultibase: string
  }[]
}

const DID_KEY_PREFIX = 'did:key:'
const HOSTNAME =
  /^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?(\.[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)*(:[1-9][0-9]{0,4})?$/
const HOSTNAME_LENGTH_MAX = 253 + ':65535'.length

/**
 * What a did:web service must serve as `https://HOSTNAME/.well-known/did.json` so that it can call: its key under
 * `#atproto` (https://atproto.com/specs/did#public-keys-in-did-documents). A service that has a document already
 * adds the entry of `verificationMethod` to it.
 * @param options.hostname without scheme or path; a port is for localhost only
 * @param options.key whose public part is shown
 * @throws TypeError for what is no hostname
 */
export function callerDidDocument(options: {
  readonly hostname: string
  readonly key: { did(): string }
}): CallerDidDocument {
  const did = didWebOf(options.hostname)
  return {
    '@context': ['https://www.w3.org/ns/did/v1', 'https://w3id.org/security/multikey/v1'],
    id: did,
    verificationMethod: [
      {
        id: `${did}#atproto`,
        type: 'Multikey',
        controller: did,
        // A did:key is the multibase form of the key with a prefix.
        publicKeyMultibase: options.key.did().slice(DID_KEY_PREFIX.length),
      },
    ],
  }
}

function didWebOf(text: string): string {
  const hostname = text.toLowerCase().replace(/\.$/, '')
  const [name = '', port] = hostname.split(':')
  const usable = hostname.length <= HOSTNAME_LENGTH_MAX && HOSTNAME.test(hostname) && isIP(name) === 0
  if (!usable) {
    throw new TypeError(`a did:web needs a host name such as feeds.example.com, not ${JSON.stringify(text)}`)
  }
  if (port !== undefined && name !== 'localhost') {
    throw new TypeError(`a did:web of atproto has no port, except on localhost: ${JSON.stringify(text)}`)
  }
  return `did:web:${hostname.replace(':', '%3A')}`
}
